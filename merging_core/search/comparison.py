"""All methods that apply to the same experts, at their defaults and after a short search, measured alike.

    validation, no search     shown: the whole split
    validation, with search   chosen by: the first half of the split's stratified order; shown: the rest, for all rows
    test, with search         chosen by: the whole of validation; shown: the whole of test, for all rows

So no number that is shown was ever the best of several on the same examples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from merging_core.engines.live import LiveEngine
from merging_core.errors import BasinError, CancelledError, EvaluationError, Problem
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.ensemble import ensemble_scores
from merging_core.evaluation.evaluator import Evaluator, Part, halves, parts_of
from merging_core.evaluation.report import Report, TaskScore, compare, make_report
from merging_core.evaluation.tasks import AnyTask
from merging_core.methods.contract import MethodInfo
from merging_core.methods.registry import methods
from merging_core.recipes import Recipe, parse_recipe
from merging_core.search.coordinates import BUDGET, search, settings_changed
from merging_core.search.entries import Entry, Found, Outcome, Reference, Skipped

__all__ = ["SPLITS", "Question", "Row", "compared"]

SPLITS = ("validation", "test")
Row = Reference | Entry | Skipped
Cancelled = Callable[[], bool]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Question:
    """What is compared: a base (or none), experts in order, tasks, and where numbers come from.

    `experts`: for a task's name the reference of its own expert, where one is known. `methods`: names, None for all.
    """

    base: str | None
    models: tuple[str, ...]
    tasks: tuple[AnyTask, ...]
    experts: Mapping[str, str]
    split: str = "validation"
    search: bool = False
    budget: int = BUDGET
    methods: tuple[str, ...] | None = None

    @property
    def chosen_by(self) -> tuple[Part, ...]:
        """The examples that settings are chosen by; none without a search."""
        if not self.search:
            return ()
        whole = parts_of(self.tasks, "validation", "full")
        return whole if self.split == "test" else halves(whole)[0]

    @property
    def shown(self) -> tuple[Part, ...]:
        """The examples that every number in a row comes from; none of them is among `chosen_by`."""
        whole = parts_of(self.tasks, self.split, "full")
        if not self.search or self.split == "test":
            return whole
        return halves(whole)[1]

    @property
    def infos(self) -> tuple[MethodInfo, ...]:
        """The methods that are asked about, in the order of the registry."""
        return tuple(info for info in methods() if self.methods is None or info.name in self.methods)

    def defaults(self, info: MethodInfo) -> Recipe:
        """Return a method's recipe with nothing chosen.

        Raises RecipeError where it does not take these models, EvaluationError where it needs data.
        """
        if info.needs_data:
            must = f"{info.title} is given data to adapt on"
            raise EvaluationError(Problem(must, "none", "", "a comparison has none"))
        models = [{"ref": ref} for ref in self.models]
        base = {} if self.base is None else {"base": self.base}
        return parse_recipe({"version": 1, **base, "models": models, "method": {"name": info.name}, "seed": 0})

    def words(self) -> str:
        """Say in one sentence where the numbers come from."""
        n = sum(part.stop - part.start for part in self.shown)
        if not self.search:
            return f"All of the {self.split} split, {n:,} examples."
        chosen = sum(part.stop - part.start for part in self.chosen_by)
        if self.split == "test":
            return (
                f"Numbers are from all of the test split, {n:,} examples; "
                f"settings were chosen by the {chosen:,} of validation, among at most {self.budget} of each method."
            )
        return (
            f"Numbers are from {n:,} examples of validation; settings were chosen by the other {chosen:,}, "
            f"among at most {self.budget} of each method."
        )


def compared(
    question: Question,
    engine: LiveEngine,
    evaluator: Evaluator,
    cancelled: Cancelled | None = None,
    progress: Progress | None = None,
) -> Iterator[Row]:
    """Yield what merges are held against, then one row for each method as soon as it is known.

    A method that does not apply, or whose defaults cannot be merged, gives its reason. The same question has the same
    answers. `progress` hears the share that is done and what is being done; `cancelled` is asked before each merge and
    each batch. Raises EvaluationError where tasks and models do not fit or a task is too small to be divided,
    whatever opening a checkpoint raises, and CancelledError.
    """
    bench = _Bench(question, engine, evaluator, cancelled)
    tell = progress or (lambda share, what: None)
    infos = question.infos
    steps = len(infos) + 1
    tell(0.0, "what merges are held against")
    yield from bench.references()
    for place, info in enumerate(infos, 1):
        tell(place / steps, info.title)
        yield bench.row(info)
    tell(1.0, "")


class _Bench:
    """One question being answered."""

    def __init__(
        self, question: Question, engine: LiveEngine, evaluator: Evaluator, cancelled: Cancelled | None
    ) -> None:
        self._question, self._engine, self._evaluator = question, engine, evaluator
        self._cancelled = cancelled or (lambda: False)
        self._shown, self._chosen_by = question.shown, question.chosen_by
        empty = [part.task.name for part in (*self._shown, *self._chosen_by) if part.stop <= part.start]
        if empty:
            must = "a task has an example to choose by and another to show"
            raise EvaluationError(*(Problem(must, "too few", name, "leave the search out") for name in empty))
        self._first = engine.opened(question.base or question.models[0])
        self._experts: dict[str, TaskScore] = {}

    def references(self) -> Iterator[Reference]:
        """Measure base, own experts, simple average and ensemble; what does not apply is left out."""
        question, config = self._question, self._first.config
        if question.base is not None:
            yield Reference("base", "Base", self._report(self._engine.checkpoint(question.base)))
        for part in self._shown:
            own = question.experts.get(part.task.name)
            if own is not None and own in question.models:
                (score,) = self._evaluator.scores(
                    config, self._engine.checkpoint(own, question.base), [part], self._cancelled
                )
                self._experts[part.task.name] = score
        if len(self._experts) == len(self._shown):
            own_scores = [self._experts[part.task.name] for part in self._shown]
            yield Reference("experts", "Each task’s own expert", make_report(own_scores, "full"))
        members = [self._engine.checkpoint(ref, question.base) for ref in question.models]
        yield Reference(
            "average", "Simple average", self._report(self._engine.simple_average(question.models, question.base))
        )
        if all(part.task.metric == "accuracy" for part in self._shown):
            scores = ensemble_scores(self._evaluator, config, members, self._shown, self._cancelled)
            yield Reference("ensemble", "Output ensemble", self._made(scores))

    def row(self, info: MethodInfo) -> Entry | Skipped:
        """Measure one method, or say why it has no row."""
        begun = time.perf_counter()
        try:
            start = self._question.defaults(info)
            defaults = self._outcome(start)
        except CancelledError:
            raise
        except BasinError as error:
            return Skipped(info.name, info.title, info.group, str(error.problems[0]))
        found = self._found(start, defaults) if self._chosen_by else None
        return Entry(info.name, info.title, info.group, defaults, found, time.perf_counter() - begun)

    def _found(self, start: Recipe, defaults: Outcome) -> Found | None:
        """Search among the method's settings, and measure the best on examples that the search did not see."""
        chosen = search(start, self._score, self._question.budget)
        if chosen is None:
            return None
        outcome = defaults if chosen.recipe == start else self._outcome(chosen.recipe)
        gain = compare(outcome.report, defaults.report).average
        return Found(outcome, chosen.tried, chosen.score, settings_changed(start, chosen.recipe), gain)

    def _score(self, recipe: Recipe) -> float | None:
        """Return the accuracy that settings are chosen by; None for a setting that cannot be merged."""
        try:
            weights = self._merged(recipe)[0]
        except CancelledError:
            raise
        except BasinError:
            return None
        scores = self._evaluator.scores(self._first.config, weights, self._chosen_by, self._cancelled)
        return make_report(scores, "full").average

    def _outcome(self, recipe: Recipe) -> Outcome:
        weights, identity = self._merged(recipe)
        return Outcome(recipe, identity, self._report(weights))

    def _merged(self, recipe: Recipe) -> tuple[Weights, str]:
        if self._cancelled():
            raise CancelledError(Problem("the comparison runs to its end", "a wish to stop"))
        self._engine.prepare(recipe, self._cancelled)
        merged = self._engine.merge(recipe)
        return merged.weights, merged.hash

    def _report(self, weights: Weights) -> Report:
        return self._made(self._evaluator.scores(self._first.config, weights, self._shown, self._cancelled))

    def _made(self, scores: Sequence[TaskScore]) -> Report:
        return make_report(scores, "full", self._experts)
