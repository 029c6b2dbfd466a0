"""Statistics of each expert by itself: its Fisher information, or the Gram matrices of what its own layers read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from merging_core.checkpoints.ref import Ref
from merging_core.engines.measured import FISHER
from merging_core.learning.batches import ROWS
from merging_core.learning.measuring.experts import Examined, examined, weights_of_expert
from merging_core.learning.measuring.fisher import AT_ONCE, EXAMPLES, fisher_sums
from merging_core.learning.measuring.grams import COUNT, gram_sums
from merging_core.learning.measuring.keeping import find, keep
from merging_core.learning.measuring.run import Measuring, Sums
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import State
from merging_core.methods.info import Parameters
from merging_core.methods.matrices import is_matrix
from merging_core.space.parameter_space import ParameterSpace

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench

__all__ = ["MeasuringAlone", "gram_bytes", "linear_leaves", "means"]


class MeasuringAlone(Measuring):
    """One expert after the other. Raises as `open_run` says."""

    def __init__(self, spec: LearnSpec, bench: Bench, state: State | None = None) -> None:
        super().__init__(spec, bench, state)
        self._fisher = spec.method == "fisher"
        form = str(spec.params["form"]) if self._fisher else "own"
        self._experts = examined(
            spec, self.plan, spec.teachers(bench.tasks), "fisher" if self._fisher else "gram", form, self.device
        )
        self._refs: dict[int, Ref] = {}
        for place, expert in enumerate(self._experts):
            found = find(bench.store, expert.about)
            if found is not None:
                self._refs[place] = found
        self._weights: tuple[int, Mapping[str, torch.Tensor]] | None = None

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        """The step after the last batch of each expert."""
        ends, total = [], 0
        for expert in self._experts:
            total += -(-expert.n // self.spec.batch)
            ends.append(total)
        return tuple(ends)

    @property
    def steps(self) -> int:
        """All batches of all experts."""
        return self._ends[-1]

    def peak_bytes(self) -> int:
        """One expert, its sums, those of the parts that wait to be added, and the gradients of each worker."""
        size, workers = self.plan.space.size, self.workers
        if self.spec.method != "fisher":
            return 4 * size + (workers + 2) * gram_bytes(self.plan.space)
        return 4 * size + (workers + 2) * 8 * size + workers * 4 * max(size, AT_ONCE)

    def _place(self, step: int) -> int:
        return next(place for place, end in enumerate(self._ends) if step < end)

    def _title(self, step: int) -> str:
        return f"Measuring {self.plan.survey.experts[self._place(step)].label}"

    def _known(self, step: int) -> int:
        while step < self.steps and (place := self._place(step)) in self._refs:
            step = self._ends[place]
            self._sums = {}
        return step

    def _measure(self, step: int) -> Iterator[None]:
        place = self._place(step)
        expert, batch = self._experts[place], self.spec.batch
        start = (step - (self._ends[place - 1] if place else 0)) * batch
        rows = expert.rows[start : start + batch].to(self.device)
        weights = self._weights_of(place)
        wanted = linear_leaves(self.plan.space)
        merged = {leaf.name: weights[leaf.name] for leaf in self.plan.space.leaves if leaf.elements}

        def work(part: torch.Tensor) -> Sums:
            if not self._fisher:
                return gram_sums(expert.source, weights, part, wanted)
            form = expert.about.form
            return {FISHER + name: value for name, value in fisher_sums(expert.source, merged, part, form).items()}

        size = ROWS if not self._fisher else batch if expert.about.form == "batch" else EXAMPLES
        yield from self.in_parts(work, rows, size)
        if start + batch >= expert.n:
            self._keep(place, expert)

    def _weights_of(self, place: int) -> Mapping[str, torch.Tensor]:
        if self._weights is None or self._weights[0] != place:
            self._weights = None
            self._weights = (place, weights_of_expert(self.plan, place, self.device))
        return self._weights[1]

    def _keep(self, place: int, expert: Examined) -> None:
        self._refs[place] = keep(self.bench.store, expert.about, means(self._sums, expert.n))
        self._sums = {}

    def _statistics(self) -> Sequence[Ref]:
        for place, expert in enumerate(self._experts):
            if place in self._refs:
                continue
            done = max(0, (self._step - (self._ends[place - 1] if place else 0)) * self.spec.batch)
            rest = replace(expert, about=replace(expert.about, n=done))
            self._refs[place] = keep(self.bench.store, rest.about, means(self._sums, done) if done else {})
            self._sums = {}
        return [self._refs[place] for place in range(len(self._experts))]


def means(sums: Sums, n: int) -> Sums:
    """Return sums over n examples, or over as many inputs as were counted, as means in float32."""
    found = {}
    for name, value in sums.items():
        if name.startswith(COUNT):
            continue
        count = sums.get(COUNT + name.partition("/")[2])
        mean = value / (n if count is None else count)
        if count is not None:
            mean = (mean + mean.T) / 2
        found[name] = mean.to(torch.float32)
    return found


def linear_leaves(space: ParameterSpace) -> tuple[str, ...]:
    """Return the leaves that RegMean sees as matrices; which are linear layers shows while the model answers."""
    return tuple(leaf.name for leaf in space.leaves if leaf.elements and is_matrix(leaf.name, leaf.shape, Parameters()))


def gram_bytes(space: ParameterSpace) -> int:
    """Return the bytes of all Gram matrices in float64, where every such leaf is a linear layer [out, in]."""
    wanted = set(linear_leaves(space))
    return sum(8 * leaf.shape[1] ** 2 for leaf in space.leaves if leaf.name in wanted)
