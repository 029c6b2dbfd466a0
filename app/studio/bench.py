"""The workbench over the embedded zoo: the live engine merges, the evaluator measures, and measurements are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from app.families import Family
from app.hub.source import VisitorsHub
from app.learned import LearnedShelf, learned_of
from app.own_family import family_named
from app.settings import Settings
from app.state import StudioState
from app.studio.description import (
    describe_adapter,
    describe_checkpoint,
    describe_family,
    describe_task,
    device_name,
    registry,
)
from app.studio.families_of_zoo import families_of
from app.studio.family_tasks import FamilyTasks
from app.studio.ghosts import Ghosts
from app.studio.here import check_here, opened_all
from app.studio.memo import Memo
from app.studio.numbers import (
    References,
    accuracy_numbers,
    correct_of,
    difference_numbers,
    layer_numbers,
    path_numbers,
)
from app.studio.workbench import Cancelled, Correct, FamilyTask, Foretold, Models, Numbers, Scored
from app.tasks.shelf import TaskShelf
from app.zero_gpu import lent_gpu
from merging_core import __version__
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.adapter_config import ADAPTER_MODEL
from merging_core.checkpoints.local import LocalFolders
from merging_core.checkpoints.uploads import UploadedCheckpoints
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines.live import LiveEngine
from merging_core.engines.points import points_of
from merging_core.errors import BasinError, EvaluationError, Problem
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.ensemble import ensemble
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.paths import Point, point_of, trace
from merging_core.evaluation.report import Report, Subset, TaskScore, make_report
from merging_core.evaluation.subsets import PREVIEW
from merging_core.methods.varying import Varying
from merging_core.recipes import Recipe, parse_recipe, recipe_hash
from merging_core.recipes.changes import with_lambda
from merging_core.recipes.resolving import references
from merging_core.space.vocabulary import BY_TOKEN

__all__ = ["ZooBench"]

_LAMBDA_END = 1.5
_REPORTS = 256
_PATHS = 64
_FINE_SECONDS = 0.4
_OWN = 16
"""Families of visitors whose tasks and references are remembered."""


class ZooBench:
    """Merges and measures the zoo's checkpoints; safe to use from several threads.

    `hub`: where models of the Hub come from; without it there are none. `uploads`: where visitors' checkpoints lie, on
    a server that takes some. `learned`: where learned tensors lie; without it none can be merged.
    `fine_seconds`: how long one request for more of a path's points may take before it answers with what it has.

    Raises: `CheckpointError` if the zoo cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        hub: VisitorsHub | None = None,
        uploads: UploadedCheckpoints | None = None,
        learned: LearnedShelf | None = None,
        fine_seconds: float = _FINE_SECONDS,
    ) -> None:
        self._fine_seconds = fine_seconds
        self._zoo = load_zoo(settings.zoo)
        self._local = LocalFolders(settings.models) if settings.models is not None else None
        largest = settings.allowance.model_bytes
        self._learned = learned
        tensors = learned.tensors if learned is not None else None
        self._catalog = Catalog(
            self._zoo, hub=hub, local=self._local, uploads=uploads, learned=tensors, largest=largest
        )
        # A GPU that is lent looks as if it were always there; what runs all the time stays on the CPU.
        self._lent = lent_gpu() if settings.zero_gpu else None
        device = "cpu" if settings.zero_gpu else settings.device
        self._engine = LiveEngine(self._catalog, device, settings.memory_budget)
        self._evaluator = Evaluator(self._engine.device)
        self._budget = settings.memory_budget
        self.families = families_of(self._zoo)
        self.shelf = TaskShelf(settings.scratch / "tasks" if settings.scratch is not None else None, hub)
        self._tasks = FamilyTasks(self._zoo, self.shelf, sum(len(family.tasks) for family in self.families))
        self._pins: Memo[str] = Memo(512)
        self._reports: Memo[Report] = Memo(_REPORTS)
        self._references: Memo[References] = Memo(6 * (len(self.families) + _OWN))
        self._paths: Memo[dict[tuple[str, float], Point]] = Memo(_PATHS)
        self._ghosts = Ghosts(self.models(), lambda family: self._reference_key(family, "validation", ""))

    def models(self) -> Models:
        """Return the engine, the evaluator and the tasks, for rooms that look at single pictures."""
        return Models(self._engine, self._evaluator, self._tasks_of, self.shelf)

    def description(self) -> Numbers:
        """Return version, device, families, tasks, registry and limits."""
        tasks = [task for family in self.families for task in self._tasks_of(family)]
        return {
            "version": __version__,
            "device": device_name(self._engine.device),
            "families": [describe_family(family) for family in self.families],
            "tasks": [describe_task(task) for task in tasks],
            "registry": registry(),
            "limits": {"memory": self._budget, "preview": PREVIEW, "lambda": [0.0, _LAMBDA_END]},
        }

    def offered(self) -> list[Numbers]:
        """Return the checkpoints that can be picked beside the families': reference, and what an adapter is."""
        names = self._local.names() if self._local is not None else ()
        return [{"ref": f"local:{name}", "adapter": self._adapter(name)} for name in names]

    def _adapter(self, name: str) -> Numbers | None:
        """Return what the page says of a folder's LoRA adapter; None for a model, and for what cannot be opened."""
        with suppress(BasinError):
            if self._local is not None and (self._local.folder(name) / ADAPTER_MODEL).is_file():
                return describe_adapter(self._engine.opened(f"local:{name}"))
        return None

    def survey(self, family: Family) -> list[Numbers]:
        """Open every checkpoint, read its headers, and plan the first merge.

        Raises: `BasinError` of the first of these steps that finds something, with all that it finds.
        """
        opened = opened_all(family.refs, self._engine.opened)
        self._engine.plan(parse_recipe(family.start))
        missing = self._catalog.missing_bytes(family.refs)
        return [
            {**describe_checkpoint(checkpoint), "missing": missing.get(ref, 0)}
            for ref, checkpoint in zip(family.refs, opened, strict=True)
        ]

    def check(self, family: Family) -> list[Numbers]:
        """Do as `survey`, and ask the first checkpoint every task. Raises: as `survey`, and what the tasks say."""
        described = self.survey(family)
        check_here(family.refs, self._engine.opened)
        if tasks := self._tasks.of(self._tasks.ready(family)):
            config = self._engine.opened(family.refs[0]).config
            weights = self._engine.checkpoint(family.refs[0])
            self._evaluator.evaluate(config, weights, tasks, "validation", "preview")
        return described

    def identity(self, state: StudioState) -> str:
        """Return the recipe's hash."""
        return self._hash(state.recipe)

    def pins(self, state: StudioState) -> dict[str, str]:
        """Return each reference of the recipe, pinned."""
        return self._pinned(state.recipe)

    def named(self, state: StudioState) -> None:
        """Keep the state's learned tensors here: a link, a saved result or the history names them from now on."""
        if self._learned is not None:
            self._learned.name(*learned_of(state.recipe))

    def evaluation(self, family: Family) -> str:
        """Return a digest of the tasks' files and the library's version."""
        return self._tasks.digest(family)

    def accuracy(self, state: StudioState, split: str, subset: str, cancelled: Cancelled) -> Scored:
        """Merge and measure, or remember.

        Raises: whatever the engine says of the recipe; `CancelledError` when it was stopped.
        """
        family = self._family(state)
        if not family.tasks:
            fix = "choose one under Choose models"
            raise EvaluationError(Problem("a merge is measured on tasks", "a family without one", "", fix))
        check_here(family.refs, self._engine.opened)
        self._tasks.admit(family)
        wanted: Subset = "preview" if subset == "preview" else "full"
        identity = (self._hash(state.recipe), self._tasks.digest(family))
        references = self._references_of(family, split, wanted, cancelled)
        report = self._reports.known((*identity, split, wanted))
        if report is None and (full := self._reports.known((*identity, split, "full"))) is not None:
            report = make_report(_previews(full.tasks), "preview", references.experts)
        if report is None:
            merged = self._engine.merge(state.recipe)
            config = merged.plan.survey.reference.config
            tasks = self._tasks_of(family)
            first = self._reports.known((*identity, split, "preview"))
            measured = self._measured_merge(config, merged.weights, tasks, split, wanted, first, cancelled)
            report = self._reports.keep((*identity, split, wanted), measured.against(references.experts))
        report = replace(report, transductive=self._is_transductive(state.recipe))
        return Scored(accuracy_numbers(report, references, family), correct_of(report))

    def _is_transductive(self, recipe: Recipe) -> bool:
        return self._learned is not None and self._learned.is_transductive(*learned_of(recipe))

    def _measured_merge(  # noqa: PLR0913
        self,
        config: Mapping[str, Any],
        weights: Weights,
        tasks: Sequence[FamilyTask],
        split: str,
        subset: Subset,
        first: Report | None,
        cancelled: Cancelled,
    ) -> Report:
        """Measure a merge, going on from its preview; the whole split on a GPU that is lent, where there is one."""
        if self._lent is not None and subset == "full":
            report = self._lent(config, weights, tasks, split)
            if report is not None:
                return report
        if first is None:
            return self._evaluator.evaluate(config, weights, tasks, split, subset, cancelled)
        return self._evaluator.finish(config, weights, tasks, first, cancelled)

    def foretold(self, state: StudioState, subset: str) -> Foretold | None:
        """Return what the tangent at the base foretells, where it is known."""
        return self._ghosts.foretold(state.recipe, self._family(state), "preview" if subset == "preview" else "full")

    def grow_ghosts(self, state: StudioState, cancelled: Cancelled) -> Numbers:
        """Find more of the tangents of the state's family. Raises: as `path` does."""
        family = self._family(state)
        check_here(family.refs, self._engine.opened)
        return self._ghosts.grow(family, cancelled)

    def waiting(self, state: StudioState) -> float:
        """Estimate the seconds until the state can be merged at once; raises as `layers` does."""
        check_here(references(state.recipe), self._engine.opened)
        return self._engine.waiting(state.recipe)

    def prepare(self, state: StudioState, cancelled: Cancelled) -> None:
        """Do what merging the state takes before layer scaling and λ."""
        self._engine.prepare(state.recipe, cancelled)

    def path(self, state: StudioState, fine: bool, cancelled: Cancelled) -> Numbers:
        """Measure a path, keeping what is known.

        At first the ends, the middle and the current place, on validation; with `fine` more of the 25 points, on train
        too, as many as a moment allows: whoever wants all asks again until the path is complete.
        """
        family, recipe = self._family(state), state.recipe
        ends = (state.path.a, state.path.b) if state.path.kind == "between" else references(recipe)
        check_here([str(ref) for ref in ends], self._engine.opened)
        tasks = self._tasks_of(family)
        current = None
        if state.path.kind == "lambda":
            config = self._engine.plan(recipe).survey.reference.config
            weights_at: Callable[[float], Weights] = lambda t: self._engine.along_lambda(recipe, t).weights  # noqa: E731
            memory = self._paths.get((family.name, self._hash(with_lambda(recipe, 1.0))), dict)
            here = recipe.lambda_
            current = here if not isinstance(here, Varying) and 0.0 <= here <= _LAMBDA_END else None
            self._recall(memory, state, family)
            end = _LAMBDA_END
        else:
            a, b = str(state.path.a), str(state.path.b)
            line = points_of(self._engine, (a, b), family.base)
            config, weights_at = line.config, lambda t: line.weights(line.mixed((1.0 - t, t)))
            memory = self._paths.get((family.name, self._pin(a), self._pin(b)), dict)
            end = 1.0
        steps = trace(
            self._evaluator,
            config,
            weights_at,
            tasks,
            ends=(0.0, end),
            current=current,
            splits=("validation",),
            later_splits=("train",),
            cancelled=cancelled,
            memory=memory,
        )
        path = next(steps)
        until = time.monotonic() + self._fine_seconds
        while fine and not path.complete and time.monotonic() < until:
            path = next(steps)
        return path_numbers(path, state, family, tasks)

    def _recall(self, memory: dict[tuple[str, float], Point], state: StudioState, family: Family) -> None:
        """Put in what other panels have measured: the base, which is every path's start, and the merge itself."""
        lambda_ = state.recipe.lambda_
        here = self._reports.known((self._hash(state.recipe), self._tasks.digest(family), "validation", "preview"))
        if here is not None and not isinstance(lambda_, Varying):
            memory.setdefault(("validation", lambda_), point_of(here, lambda_))
        start = self._references.known(self._reference_key(family, "validation", "preview"))
        if start is not None and family.base is not None and state.recipe.base == family.base:
            memory.setdefault(("validation", 0.0), point_of(start.base, 0.0))

    def layers(self, state: StudioState) -> Numbers:
        """Look at the weights, layer by layer."""
        check_here(references(state.recipe), self._engine.opened)
        return layer_numbers(self._engine.layers(state.recipe), state, self._family(state))

    def difference(self, a: Correct, b: Correct, family: Family | None = None) -> Numbers:
        """Compare two merges on the same examples: second − first; tasks are called as everywhere else.

        `family`: theirs, where it may be a visitor's own, with tasks of its own.
        """
        titles = {
            task.name: family.title_of_task(task.name, task.title)
            for family in self.families
            for task in self._tasks_of(family)
        }
        if family is not None:
            titles |= {spec.name: spec.title for spec in family.specs}
            titles = {name: family.title_of_task(name, titles.get(name, name)) for name in a}
        return difference_numbers(a, b, titles)

    def warm(self, cancelled: Cancelled) -> None:
        """Measure what every merge is held against: the previews first, so that the first page can be answered."""
        for subset in ("preview", "full"):
            for family in self.families:
                self._references_of(family, "validation", subset, cancelled)

    def _family(self, state: StudioState) -> Family:
        return family_named(self.families, state.family)

    def _tasks_of(self, family: Family) -> tuple[FamilyTask, ...]:
        return self._tasks.of(family)

    def _pin(self, ref: str) -> str:
        """Return a reference with the pin of its content; what lies in the zoo does not change while this runs.

        All else is opened, so that nothing that is remembered by a pin reaches whoever may not read the checkpoint.
        """
        if ref.startswith("zoo:"):
            return self._pins.get(ref, lambda: str(self._catalog.pin(ref)))
        checkpoint = self._engine.opened(ref)
        if checkpoint.ref.commit is not None:
            return str(checkpoint.ref)
        return str(replace(checkpoint.ref, pin=checkpoint.content()))

    def _hash(self, recipe: Recipe) -> str:
        return recipe_hash(recipe, self._pinned(recipe))

    def _pinned(self, recipe: Recipe) -> dict[str, str]:
        if recipe.vocabulary == BY_TOKEN:
            return self._engine.plan(recipe).pins
        return {ref: self._pin(ref) for ref in references(recipe)}

    def _references_of(self, family: Family, split: str, subset: Subset, cancelled: Cancelled) -> References:
        key = self._reference_key(family, split, subset)
        return self._references.get(key, lambda: self._measured(family, split, subset, cancelled), cancelled)

    def _reference_key(self, family: Family, split: str, subset: str) -> tuple[object, ...]:
        """Return where references are kept: by content, since a folder of this machine may change."""
        return (family.name, self._tasks.digest(family), *(self._pin(ref) for ref in family.refs), split, subset)

    def _measured(self, family: Family, split: str, subset: Subset, cancelled: Cancelled) -> References:
        """Measure base, simple average, ensemble, and each task's own expert."""
        full = self._references.known(self._reference_key(family, split, "full"))
        if subset == "preview" and full is not None:
            base, average, mixture = (
                make_report(_previews(one.tasks), "preview") for one in (full.base, full.average, full.ensemble)
            )
            experts = {task: _previews([score])[0] for task, score in full.experts.items()}
            return References(base, average, mixture, experts)
        tasks, refs = self._tasks_of(family), [expert.ref for expert in family.experts]
        origin = family.base or refs[0]
        config = self._engine.opened(origin).config
        weights = [self._engine.checkpoint(ref, family.base) for ref in refs]
        own: dict[str, TaskScore] = {}
        for expert, found in zip(family.experts, weights, strict=True):
            if expert.task in family.tasks and expert.task not in own:
                task = [one for one in tasks if one.name == expert.task]
                own[expert.task] = self._evaluator.evaluate(config, found, task, split, subset, cancelled).tasks[0]
        mean = self._engine.simple_average(refs, family.base)
        return References(
            base=self._evaluator.evaluate(config, self._engine.checkpoint(origin), tasks, split, subset, cancelled),
            average=self._evaluator.evaluate(config, mean, tasks, split, subset, cancelled),
            ensemble=ensemble(self._evaluator, config, weights, tasks, split, subset, cancelled),
            experts=own,
        )


def _previews(scores: Sequence[TaskScore]) -> list[TaskScore]:
    return [score.first(min(PREVIEW, score.n)) for score in scores]
