"""Runs of learning of every kind, by one contract: whoever starts one need not know what it does.

    with open_run(spec, bench) as run:
        for event in run.events():
            ...

A run is what its method says (`LearnMethod.run`): statistics, a soup, the training of an expert; without one, gradient
steps on coefficients and masks. The last event says what became of it: `Finished` with a recipe, or `Trained` with an
expert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from merging_core.checkpoints.learned import LearnedTensors
from merging_core.engines.live import LiveEngine
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.tasks import AnyTask
from merging_core.learning.events import Event
from merging_core.learning.session import Session
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import State

__all__ = ["Bench", "Begin", "Heed", "Run", "open_run"]

Heed = Callable[[], Literal["go", "pause", "stop"]]
"""Asked before each step: go on, stand still, or end with what is there."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What a run works with. `store` takes learned tensors; the engine's catalog must find them there."""

    engine: LiveEngine
    evaluator: Evaluator
    tasks: tuple[AnyTask, ...]
    store: LearnedTensors
    expert: Path | None = None
    """The folder, not there yet, that a trained expert is written into; None where no expert is made."""


class Run(Protocol):
    """One run, a context: it lets go of its threads at the end."""

    @property
    def spec(self) -> LearnSpec:
        """What it was asked."""

    @property
    def steps(self) -> int:
        """How many steps it has."""

    @property
    def state(self) -> State:
        """Where it stands, after a `Paused`, a `Checked` or another event that follows a whole step.

        A run that is opened with it goes on to the bits of one that never stopped, on a CPU.
        """

    def events(self, heed: Heed = ...) -> Iterator[Event]:
        """Run to the end, or until `heed` says stop; the last event says what became of it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


Begin = Callable[[LearnSpec, Bench, State | None], Run]
"""How a method begins a run, or goes on from a state."""


def open_run(spec: LearnSpec, bench: Bench, state: State | None = None) -> Run:
    """Open what a run stands on, and return it at its beginning, or where an earlier part of it stood.

    Raises as planning and reading do, EvaluationError where a task cannot be learned from, PlanError where the state is
    of another specification or of other models, or the run does not fit the memory of its device.
    """
    if spec.info.run is not None:
        return spec.info.run(spec, bench, state)
    return Session(spec, bench, state)
