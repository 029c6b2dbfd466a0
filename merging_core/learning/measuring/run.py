"""Runs that measure each expert on examples of its task, and end in a recipe that names what was measured.

Examples are looked at in fixed parts, each on one core of a CPU, and sums are float64 and added in order, so the same
examples give the same bits. What was measured before, of the same expert on the same examples, is found and not
measured again.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import torch

from merging_core.checkpoints.ref import Ref
from merging_core.cores import MAX_WORKERS, cores, single_threaded_pool
from merging_core.evaluation.report import Report
from merging_core.learning.contract import Shown
from merging_core.learning.events import Checked, Event, Finished, Progress
from merging_core.learning.heeding import heeded
from merging_core.learning.session import check_memory
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import State, check_state
from merging_core.methods.registry import method
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench, Heed

__all__ = ["Measuring", "Sums"]

Sums = dict[str, torch.Tensor]
_SPLIT = "validation"
_EVERY_SECONDS = 0.4


class Measuring(ABC):
    """What all such runs share: the loop, its events, and where it stands. A step is one batch of one expert."""

    def __init__(self, spec: LearnSpec, bench: Bench, state: State | None) -> None:
        self.spec, self.bench = spec, bench
        self.plan = bench.engine.plan(spec.recipe())
        self.device = bench.engine.device
        self.workers = min(MAX_WORKERS, cores()) if self.device.type == "cpu" else 1
        check_memory(self.peak_bytes(), self.device)
        self._models = tuple(checkpoint.content() for checkpoint in self.plan.survey.checkpoints)
        if state is not None:
            check_state(state, spec, self._models)
        self._step = state.step if state is not None else 0
        self._sums: Sums = {name: value.clone() for name, value in state.values.items()} if state is not None else {}
        self._seconds = state.seconds if state is not None else 0.0
        self._pool = single_threaded_pool(self.workers, "basin-measuring") if self.device.type == "cpu" else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    @abstractmethod
    def steps(self) -> int:
        """All batches of all experts."""

    @abstractmethod
    def peak_bytes(self) -> int:
        """What is held at the peak, activations aside."""

    @abstractmethod
    def _title(self, step: int) -> str:
        """What a step measures, in words."""

    @abstractmethod
    def _known(self, step: int) -> int:
        """Return the next step of which the result is not here yet."""

    @abstractmethod
    def _measure(self, step: int) -> Iterator[None]:
        """Do one step, yielding now and then, and keep what is whole."""

    @abstractmethod
    def _statistics(self) -> Sequence[Ref]:
        """Return what was measured of every expert; where it was stopped before, of what was looked at."""

    @property
    def state(self) -> State:
        """Where the run stands, between two steps."""
        values = {name: value.detach().clone() for name, value in self._sums.items()}
        return State(self.spec, self._models, self._step, self._step, values, seconds=self._seconds)

    def events(self, heed: Heed = lambda: "go") -> Iterator[Event]:
        """Run to the end, or until `heed` says stop; what is not measured is averaged. Raises as evaluating does."""
        begun, earlier = time.perf_counter(), self._seconds
        before = self._report(self.spec.recipe(), "full")
        if self._step == 0:
            yield self._progress(None)
            yield Checked(0, self._report(self.spec.recipe(), self.spec.subset), best=True)
        told, first, stopped = 0.0, self._step, False
        while (step := self._known(self._step)) < self.steps:
            self._step, first = step, first + step - self._step
            asked = time.perf_counter()
            wish = yield from heeded(heed, self._step)
            begun += time.perf_counter() - asked
            if wish == "stop":
                stopped = True
                break
            for _ in self._measure(self._step):
                if time.perf_counter() - told > _EVERY_SECONDS:
                    told = time.perf_counter()
                    yield self._progress(self._left(begun, first))
            self._step += 1
            self._seconds = earlier + time.perf_counter() - begun
            if time.perf_counter() - told > _EVERY_SECONDS or self._step == self.steps:
                told = time.perf_counter()
                yield self._progress(self._left(begun, first))
        if not stopped:
            self._step = self.steps
        recipe = self.measured_recipe(self._statistics())
        self._seconds = earlier + time.perf_counter() - begun
        yield Checked(self._step, self._report(recipe, self.spec.subset), best=True)
        yield Finished(
            step=self._step,
            kept_step=self._step,
            recipe=recipe,
            hash=self.bench.engine.plan(recipe).hash,
            before=before,
            after=self._report(recipe, "full"),
            split=self.spec.split,
            transductive=self.spec.transductive,
            seen=self.spec.seen,
            chosen_by="",
            stopped=stopped,
            seconds=self._seconds,
        )

    def bare_recipe(self) -> Recipe:
        """Return the recipe of the merge, without statistics."""
        name = "fisher" if self.spec.method == "fisher" else "regmean"
        known = {parameter.name for parameter in method(name).parameters}
        params = {key: value for key, value in self.spec.params.as_json().items() if key in known}
        return parse_recipe({**self.spec.recipe().as_json(), "method": {"name": name, "params": params}})

    def measured_recipe(self, statistics: Sequence[Ref]) -> Recipe:
        """Return the recipe that names what was measured of each expert."""
        found = self.bare_recipe()
        models = [replace(entry, statistics=str(ref)) for entry, ref in zip(found.models, statistics, strict=True)]
        return replace(found, models=tuple(models))

    def in_parts(self, work: Callable[[torch.Tensor], Sums], rows: torch.Tensor, size: int) -> Iterator[None]:
        """Add what `work` says of each part of some rows to the sums, in order, yielding after each."""
        for found in self._each(work, torch.split(rows, size)):
            for name, value in found.items():
                self._sums[name] = self._sums[name].add_(value) if name in self._sums else value
            yield

    def _each(self, work: Callable[[torch.Tensor], Sums], parts: Sequence[torch.Tensor]) -> Iterator[Sums]:
        if self._pool is None:
            yield from map(work, parts)
            return
        waiting: deque[Future[Sums]] = deque()
        try:
            for part in parts:
                if len(waiting) > self.workers:
                    yield waiting.popleft().result()
                waiting.append(self._pool.submit(work, part))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _report(self, recipe: Recipe, subset: Literal["preview", "full"]) -> Report:
        merged = self.bench.engine.merge(recipe)
        return self.bench.evaluator.evaluate(
            self.plan.survey.reference.config, merged.weights, self.bench.tasks, _SPLIT, subset,
            transductive=self.spec.transductive,
        )  # fmt: skip

    def _progress(self, left: float | None) -> Progress:
        title = self._title(min(self._step, self.steps - 1))
        return Progress(self._step, self.steps, title, None, (), Shown(), left)

    def _left(self, begun: float, first: int) -> float | None:
        done = self._step - first
        return (time.perf_counter() - begun) / done * (self.steps - self._step) if done > 0 else None
