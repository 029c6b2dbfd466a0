"""What the studio needs from the core, as one seam: `app.studio.bench` has the real one, tests may bring another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.families import Family
from app.state import StudioState
from app.tasks.shelf import TaskShelf
from merging_core.engines.live import LiveEngine
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.tasks import Task
from merging_core.evaluation.text_tasks import TextClassification

__all__ = ["Cancelled", "Correct", "FamilyTask", "Models", "Numbers", "Scored", "Workbench"]

Cancelled = Callable[[], bool]
Numbers = dict[str, Any]
"""Plain JSON, of the shapes that docs/architecture.md lists."""
FamilyTask = Task | TextClassification
"""A task that a family is measured on."""
Correct = Mapping[str, NDArray[np.bool_]]
"""Per task, which examples were right."""


@dataclass(frozen=True)
class Scored:
    """Accuracy numbers of one merge, and the examples behind them."""

    numbers: Numbers
    correct: Correct


@dataclass(frozen=True)
class Foretold:
    """Accuracies by task that the tangent at the base foretells, on a subset of validation."""

    subset: str
    accuracies: Mapping[str, float]


@dataclass(frozen=True)
class Models:
    """The core behind a workbench, for rooms that look at single pictures."""

    engine: LiveEngine
    evaluator: Evaluator
    tasks_of: Callable[[Family], tuple[FamilyTask, ...]]
    """The tasks of a family, read once; raises where the caller may not have one, or one is not prepared."""
    shelf: TaskShelf
    """The tasks that visitors had prepared."""


class Workbench(Protocol):
    """Merges and measures. Everything may be called from several threads at once."""

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that can be looked at."""

    def models(self) -> Models | None:
        """The core behind it; nothing where numbers come from somewhere else."""

    def description(self) -> Numbers:
        """Version, device, families, tasks, registry and limits, for the page."""

    def offered(self) -> list[Numbers]:
        """`{ref, adapter}` of what can be picked beside the families', such as folders of this machine."""

    def check(self, family: Family) -> list[Numbers]:
        """Describe every checkpoint of a family; raises with all that keeps them from being merged or measured."""

    def survey(self, family: Family) -> list[Numbers]:
        """As `check`, from headers alone; each description says how many bytes of it are `missing` here."""

    def identity(self, state: StudioState) -> str:
        """The hash of the state's recipe."""

    def pins(self, state: StudioState) -> dict[str, str]:
        """Each reference of the state's recipe, with the same reference pinned by content."""

    def named(self, state: StudioState) -> None:
        """Hear that a link, a saved result or the history names this state, so that what it needs stays here."""

    def evaluation(self, family: Family) -> str:
        """A digest of what a test score depends on beside the recipe."""

    def accuracy(self, state: StudioState, split: str, subset: str, cancelled: Cancelled) -> Scored:
        """Merge and measure; raises `CancelledError` when it was stopped."""

    def foretold(self, state: StudioState, subset: str) -> Foretold | None:
        """The accuracy of each task on validation that the tangent at the base foretells; None where it does not."""

    def grow_ghosts(self, state: StudioState, cancelled: Cancelled) -> Numbers:
        """Find more of what that takes: `{known: subsets, complete}`; raises `CancelledError`."""

    def waiting(self, state: StudioState) -> float:
        """The seconds, about, until the state can be merged at once; 0 where it can."""

    def prepare(self, state: StudioState, cancelled: Cancelled) -> None:
        """Do what merging the state takes, so that it can be merged at once; raises `CancelledError`."""

    def path(self, state: StudioState, fine: bool, cancelled: Cancelled) -> Numbers:
        """Measure along the state's path."""

    def layers(self, state: StudioState) -> Numbers:
        """Look at the weights, layer by layer."""

    def difference(self, a: Correct, b: Correct, family: Family | None = None) -> Numbers:
        """Compare two merges on the same examples: `{average: {difference, interval, n}, tasks: [...]}`."""

    def warm(self, cancelled: Cancelled) -> None:
        """Compute what the first page needs; raises `CancelledError` when it was stopped."""
