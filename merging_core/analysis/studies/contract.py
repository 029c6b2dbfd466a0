"""What a study is: a question asked of some models, whose answer is coarse at once and becomes finer.

A study says what it is in a frozen `Study`, and answers with an iterator of findings, each complete in itself: the
first within a second on the zoo, the last the whole. Whoever asks stops wherever time is up. What was measured goes
into a `Memory`, so that asking again goes on instead of beginning anew. The registry drives the page, the command line
and the tests; adding a study touches its own file, the registry and its chart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from merging_core.engines.live import LiveEngine
from merging_core.engines.points import Points, points_of
from merging_core.errors import CancelledError, Problem
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.tasks import AnyTask
from merging_core.methods.info import Description, Parameters, ParameterValue

if TYPE_CHECKING:
    from merging_core.analysis.studies.memory import Memory
    from merging_core.analysis.studies.spec import StudySpec

__all__ = ["Answer", "Finding", "Study", "StudyBench", "Table"]

Answer = Callable[["StudySpec", "StudyBench", "Memory"], Iterator["Finding"]]


@dataclass(frozen=True, eq=False)
class Finding:
    """What a study knows so far.

    `numbers`: plain JSON values. `sentence` in it says in one line what is shown, on which split and of how many
    examples. `share` of the work is done, in [0, 1]. `long`: what comes next takes minutes, so whoever answers people
    at once stops here and lets a job go on.
    """

    numbers: Mapping[str, object]
    share: float
    long: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is left to find."""
        return self.share >= 1.0


@dataclass(frozen=True, eq=False)
class StudyBench:
    """What a study works with; `tasks` are those of its specification, loaded."""

    engine: LiveEngine
    evaluator: Evaluator
    tasks: tuple[AnyTask, ...]
    cancelled: Callable[[], bool] = field(default=lambda: False)

    def points(self, spec: StudySpec) -> Points:
        """Return the models of a specification in its order. Raises as `points_of` does."""
        return points_of(self.engine, spec.models, spec.base)

    def heed(self) -> None:
        """Raise CancelledError where nobody waits any more."""
        if self.cancelled():
            raise CancelledError(Problem("a study goes on while its answer is wanted", "a newer request"))


@dataclass(frozen=True)
class Table:
    """Numbers as one tidy table, with units in the header; a cell is text, a number or nothing."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Study(Description):
    """A kind of question. `models`: how many it takes, at least and at most (None: any number)."""

    group: Literal["paths", "planes", "tangent space", "task vectors", "behaviour"]
    models: tuple[int, int | None]
    needs_base: bool = False
    measures: bool = True
    """Whether it runs models on the examples of tasks, and so has tasks and splits."""
    splits: tuple[str, ...] = ("validation",)
    """Which splits it measures on unless told otherwise, among validation and train."""
    trains: bool | tuple[str, *tuple[ParameterValue, ...]] = False
    """Whether it learns from examples: then it takes minutes. A parameter and its values: only with those."""
    answer: Answer = field(repr=False)
    tables: Callable[[Mapping[str, object]], Mapping[str, Table]] = field(repr=False)
    """The numbers of a finding as tables, by name: what the command line prints and what downloads as CSV."""

    def learns(self, params: Parameters) -> bool:
        """Say whether it learns from examples with these parameters."""
        if isinstance(self.trains, bool):
            return self.trains
        name, *values = self.trains
        return params.get(name) in values

    def as_json(self) -> dict[str, object]:
        """Return what a page needs to offer it."""
        return {
            **self.describe(),
            "group": self.group,
            "models": list(self.models),
            "needs_base": self.needs_base,
            "measures": self.measures,
            "splits": list(self.splits),
            "trains": self.trains is not False,
        }
