"""What the named endpoints do: each reads its arguments, takes its turn with everybody else, and answers plain JSON.

Measuring goes through the scheduler of errands: bounded, fair between visitors, beside the sliders. A test score is the
studio's own: counted, recorded, and the same merge again is not a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from app.endpoints.questions import family_of, linked, model_named, recipe_of, refs_of, state_of, tasks_of
from app.families import Family
from app.hub.admission import Admission
from app.hub.service import HubDesk
from app.job_desk import JobDesk
from app.live import Cancelled, Scheduler
from app.own_family import family_named
from app.sharing import link
from app.state import StudioState, parse_state
from app.studio.here import check_here
from app.studio.service import Studio
from app.studio.slow_merges import SlowMerges
from app.studio.workbench import Models, Workbench
from app.tasks.spec import NAME_START, TaskSpec
from merging_core.engines import Plan
from merging_core.engines.points import points_of
from merging_core.errors import BasinError, EvaluationError, Problem, RecipeError
from merging_core.evaluation.paths import trace
from merging_core.export import in_words
from merging_core.recipes import Recipe, parse_recipe
from merging_core.recipes.files import recipe_to_yaml

__all__ = ["MOST_POINTS", "SPLITS", "SUBSETS", "AnsweredError", "Endpoints"]

Answer = dict[str, Any]
Result = TypeVar("Result")
SPLITS = ("validation", "test")
SUBSETS = ("preview", "full")
MOST_POINTS = 25


class AnsweredError(BasinError):
    """A function of the studio has refused; the sentences are its own."""


class Endpoints:
    """Every method takes a visitor's id and what a program sent. Raises: `BasinError`, and what nobody expected."""

    def __init__(  # noqa: PLR0913
        self,
        workbench: Workbench,
        studio: Studio,
        scheduler: Scheduler,
        admission: Admission,
        slow: SlowMerges | None = None,
        jobs: JobDesk | None = None,
        hub: HubDesk | None = None,
    ) -> None:
        self._jobs = jobs
        self._hub = hub
        self._workbench = workbench
        self._slow = slow
        self._studio = studio
        self._scheduler = scheduler
        self._admission = admission

    async def plan(self, visitor: str, recipe: object) -> Answer:
        """Check and price a recipe from headers."""
        asked = await self._admission.resolved(visitor, recipe_of(recipe))
        state_of(asked, self._workbench.families)
        await self._admission.admit(visitor, refs_of(asked))

        def work(cancelled: Cancelled) -> Answer:
            made: Plan = self._models().engine.plan(asked)
            return {**made.as_json(), "words": in_words(asked)}

        return await self._in_turn(visitor, "plan", work)

    async def evaluate(  # noqa: PLR0913
        self, visitor: str, recipe: object, split: object, subset: object, tasks: object = ""
    ) -> Answer:
        """Merge and measure on the tasks that are named, or on every task of the recipe's family."""
        _check(split, SPLITS, "split")
        _check(subset, SUBSETS, "subset")
        state = self._measurable(await self._state(visitor, recipe, tasks_of(tasks)))
        if split == "test":
            if subset != "full":
                must, fix = "a test score is of the full split", "leave subset out, or look at validation"
                raise EvaluationError(Problem(must, str(subset), "subset", fix))
            scored = _sound(await self._studio.score_on_test(visitor, {"state": state.as_json()}))
            return {"hash": scored["hash"], "numbers": scored["numbers"], "test_scores": scored["test_scores"]}

        def work(cancelled: Cancelled) -> Answer:
            found = self._workbench.accuracy(state, "validation", str(subset), cancelled)
            return {"hash": self._workbench.identity(state), "numbers": found.numbers}

        await self._ready(visitor, "evaluate", state)
        return await self._in_turn(visitor, "evaluate", work)

    async def interpolate(  # noqa: PLR0913
        self, visitor: str, a: object, b: object, points: object, subset: object, tasks: object = ""
    ) -> Answer:
        """Measure the straight line between two models on validation, and its barrier."""
        _check(subset, SUBSETS, "subset")
        if isinstance(points, bool) or not isinstance(points, int) or not 2 <= points <= MOST_POINTS:
            must = f"points is a whole number from 2 to {MOST_POINTS}"
            raise EvaluationError(Problem(must, repr(points)[:40], "points"))
        start, end = await self._model(visitor, a, "a"), await self._model(visitor, b, "b")
        family = self._family_of([*refs_of(start), *refs_of(end)], tasks_of(tasks))
        await self._admission.admit(visitor, family.refs)

        def work(cancelled: Cancelled) -> Answer:
            models = self._models()
            check_here(family.refs, models.engine.opened)
            alone = {"version": 1, "models": [{"ref": refs_of(start)[0]}], "method": {"name": "linear"}}
            config = models.engine.plan(parse_recipe(alone)).survey.reference.config
            line = points_of(models.engine, (start, end))
            *_, path = trace(
                models.evaluator,
                config,
                lambda t: line.weights(line.mixed((1.0 - t, t))),
                models.tasks_of(family),
                points=points,
                splits=("validation",),
                subset="preview" if subset == "preview" else "full",
                cancelled=cancelled,
            )
            names = [one if isinstance(one, str) else in_words(one) for one in (start, end)]
            return {"a": names[0], "b": names[1], "family": family.name, **path.as_json()}

        return await self._in_turn(visitor, "interpolate", work)

    async def layers(self, visitor: str, recipe: object) -> Answer:
        """Look at the weights, layer by layer."""
        state = await self._state(visitor, recipe)
        if state.recipe.base is None:
            must = "layers are looked at against a base"
            raise RecipeError(Problem(must, "none", "base", "name one"))

        def work(cancelled: Cancelled) -> Answer:
            return {"hash": self._workbench.identity(state), "numbers": self._workbench.layers(state)}

        await self._ready(visitor, "layers", state)
        return await self._in_turn(visitor, "layers", work)

    async def download(self, visitor: str, recipe: object) -> Answer:
        """Begin to download the models of the Hub that a recipe names; while it goes on, the same again is the same."""
        asked = await self._admission.resolved(visitor, recipe_of(recipe))
        refs = [ref for ref in dict.fromkeys(refs_of(asked)) if ref.startswith("hub:")]
        if not refs:
            must = "a recipe whose models are downloaded names models of the Hub"
            raise RecipeError(Problem(must, "none", "models", "nothing is to be downloaded"))
        if self._hub is None:
            raise RecipeError(
                Problem("this server uses models of the Hub", "one that does not", "models", "ask another")
            )
        return {"job": _sound(await self._hub.download(visitor, {"refs": refs}))["job"]}

    def job(self, visitor: str, given: object) -> Answer:
        """Say how a job of this visitor stands."""
        if self._jobs is None:
            raise RecipeError(Problem("this server has jobs", "one that has none", "id", "ask another"))
        return {"job": _sound(self._jobs.status(visitor, {"job": given}))["job"]}

    def methods(self) -> Answer:
        """Return the registry: methods, masks, layer scalings, and the numbers that all recipes share."""
        found: Answer = self._workbench.description()["registry"]
        return found

    def zoo(self) -> Answer:
        """Return the families with their checkpoints and first recipes, and the tasks."""
        said = self._workbench.description()
        starts = {family.name: family.start for family in self._workbench.families}
        families = [{**family, "start": starts[family["name"]]} for family in said["families"]]
        return {"families": families, "tasks": said.get("tasks", []), "version": said["version"]}

    async def share_link(self, visitor: str, recipe: object, address: str) -> Answer:
        """Write the link that opens the studio with this recipe; `address` is where the page is."""
        state = await self._state(visitor, recipe)
        query = f"s={link.encode(state.as_json())}"
        return {"query": query, "url": f"{address.rstrip('/')}/?{query}", "hash": self._workbench.identity(state)}

    async def open_link(self, visitor: str, given: object) -> Answer:
        """Read a link back into its recipe."""
        state = parse_state(linked(given), self._workbench.families)
        await self._admission.admit(visitor, refs_of(state.recipe))
        return {
            "family": state.family,
            "recipe": state.recipe.as_json(),
            "yaml": recipe_to_yaml(state.recipe),
            "words": in_words(state.recipe),
            "hash": self._workbench.identity(state),
        }

    async def _state(self, visitor: str, recipe: object, tasks: Sequence[str] = ()) -> StudioState:
        """Read a recipe, find its commits and its family, and ask whether the visitor may read all of it."""
        asked = await self._admission.resolved(visitor, recipe_of(recipe))
        state = state_of(asked, self._workbench.families, tasks, self._specs(tasks))
        await self._admission.admit(visitor, family_named(self._workbench.families, state.family).refs)
        return state

    async def _model(self, visitor: str, given: object, where: str) -> Recipe | str:
        """Read one end of a line, and find its commits."""
        model = model_named(given, where)
        if isinstance(model, str):
            return await self._admission.pinned(visitor, model)
        return await self._admission.resolved(visitor, model)

    async def _ready(self, visitor: str, what: str, state: StudioState) -> None:
        """Wait for a slow merge where nobody's quick question waits for it."""
        if self._slow is not None:
            await self._slow.ready(visitor, f"endpoint {what}", "endpoint", 0, state)

    async def _in_turn(self, visitor: str, what: str, work: Callable[[Cancelled], Result]) -> Result:
        """Wait for the scheduler to do the work; whoever stops waiting leaves it to stop between two batches."""
        return await asyncio.wrap_future(self._scheduler.submit(visitor, f"endpoint {what}", "endpoint", 0, work))

    def _measurable(self, state: StudioState) -> StudioState:
        if not family_named(self._workbench.families, state.family).tasks:
            known = ", ".join(sorted({task for family in self._workbench.families for task in family.tasks}))
            fix = f"name some in tasks: {known}"
            raise EvaluationError(Problem("a merge is measured on tasks", "none that its models name", "tasks", fix))
        return state

    def _specs(self, tasks: Sequence[str]) -> list[TaskSpec]:
        """Return what those of the tasks are made of that visitors had prepared here."""
        own = [name for name in tasks if name.startswith(NAME_START)]
        return [self._models().shelf.named(name) for name in own] if own else []

    def _family_of(self, refs: Sequence[str], tasks: Sequence[str]) -> Family:
        families = self._workbench.families
        family = family_named(families, family_of(refs, None, families, tasks, self._specs(tasks)))
        strange = [ref for ref in refs if not family.has(ref)]
        if strange:
            must = f"both ends are made of checkpoints of one family, such as {family.name}"
            raise RecipeError(Problem(must, strange[0][:80], "", f"known are: {', '.join(family.refs)}"))
        if not family.tasks:
            known = ", ".join(sorted({task for one in families for task in one.tasks}))
            raise EvaluationError(Problem("a line is measured on tasks", "none", "tasks", f"name some: {known}"))
        return family

    def _models(self) -> Models:
        models = self._workbench.models()
        if models is None:
            raise EvaluationError(Problem("this server has checkpoints", "none", "", "ask another"))
        return models


def _check(given: object, known: Sequence[str], where: str) -> None:
    if given not in known:
        raise EvaluationError(Problem(f"{where} is {' or '.join(known)}", repr(given)[:40], where))


def _sound(answer: Answer) -> Answer:
    """Return an answer of a function of the page; raises AnsweredError where it is a refusal."""
    if not answer["ok"]:
        raise _again(answer)
    return answer


def _again(answer: Answer) -> AnsweredError:
    """Return the refusal of a function of the studio as an error with the same sentences."""
    fields = ("must", "got", "where", "fix")
    problems = answer.get("problems") or [{"must": "the newest request is answered", "got": "a newer one"}]
    told = [Problem(*(str(one.get(field, "")) for field in fields)) for one in problems if one.get("must")]
    unexpected = Problem("Basin answers", "an error of its own", "", str(answer.get("reference", "")))
    return AnsweredError(*(told or [unexpected]))
