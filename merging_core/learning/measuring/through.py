"""RegMean++: what each expert's layers read behind layers that are merged already, depth after depth.

At each depth an expert answers with the merged leaves of all depths before and its own from there on; then that depth
is merged, by the very function and numbers that the recipe will be merged with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from merging_core.checkpoints.ref import Ref
from merging_core.cores import on_one_core
from merging_core.engines.kernel import combine_piece, combine_whole
from merging_core.engines.measured import GRAM, TURNED
from merging_core.engines.settings import settings_of, terms_of
from merging_core.learning.batches import ROWS
from merging_core.learning.measuring.alone import gram_bytes, linear_leaves, means
from merging_core.learning.measuring.experts import Examined, examined, weights_of_expert
from merging_core.learning.measuring.grams import gram_sums
from merging_core.learning.measuring.keeping import find, keep
from merging_core.learning.measuring.run import Measuring, Sums
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import State
from merging_core.methods.contract import CombineContext
from merging_core.methods.measured import Measured
from merging_core.methods.regmean import REGMEAN
from merging_core.recipes.stages import stages
from merging_core.space.depth import Depth
from merging_core.space.parameter_space import SpaceLeaf

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench

__all__ = ["MeasuringThrough"]

_DONE = "done/"


class MeasuringThrough(Measuring):
    """One depth after the other, and at each one expert after the other. Raises as `open_run` says."""

    def __init__(self, spec: LearnSpec, bench: Bench, state: State | None = None) -> None:
        super().__init__(spec, bench, state)
        found = examined(spec, self.plan, spec.teachers(bench.tasks), "gram", "merged", self.device)
        merge = _digest(spec, found)
        self._experts = tuple(replace(one, about=replace(one.about, merge=merge)) for one in found)
        refs = [find(bench.store, expert.about) for expert in self._experts]
        self._refs = [ref for ref in refs if ref is not None]
        self._terms = terms_of(settings_of(stages(self.bare_recipe()), self.plan.space.leaves), self.device)
        self._merged: dict[str, torch.Tensor] = {}
        self._weights: tuple[int, Mapping[str, torch.Tensor]] | None = None

    @cached_property
    def _wanted(self) -> dict[Depth, tuple[str, ...]]:
        """The matrices of each depth, from the first to the last."""
        names = set(linear_leaves(self.plan.space))
        grouped: dict[Depth, list[str]] = {}
        for leaf in self._in_order:
            if leaf.name in names:
                grouped.setdefault(leaf.depth, []).append(leaf.name)
        return {depth: tuple(group) for depth, group in grouped.items()}

    @cached_property
    def _in_order(self) -> tuple[SpaceLeaf, ...]:
        return tuple(sorted(self.plan.space.leaves, key=lambda leaf: leaf.depth.order))

    @cached_property
    def _batches(self) -> tuple[tuple[int, int], ...]:
        """The expert and the first example of each step at one depth."""
        size = self.spec.batch
        return tuple((place, at) for place, one in enumerate(self._experts) for at in range(0, one.n, size))

    @property
    def steps(self) -> int:
        """All batches of all experts, at each depth."""
        return len(self._wanted) * len(self._batches)

    def peak_bytes(self) -> int:
        """The matrices of all experts in float32, one expert and the merge, and sums of one depth for each part."""
        space = self.plan.space
        of_depths: dict[Depth, int] = {}
        for leaf in space.leaves:
            if leaf.name in set(linear_leaves(space)):
                of_depths[leaf.depth] = of_depths.get(leaf.depth, 0) + 8 * leaf.shape[1] ** 2
        deepest = max(of_depths.values(), default=0)
        count = len(self.plan.survey.experts)
        return count * (gram_bytes(space) // 2 + deepest) + (self.workers + 1) * deepest + 8 * space.size

    def _place(self, step: int) -> tuple[Depth, int, int]:
        depth = list(self._wanted)[step // len(self._batches)]
        return depth, *self._batches[step % len(self._batches)]

    def _title(self, step: int) -> str:
        depth, place, _ = self._place(step)
        where = (
            f"block {depth.index + 1} of {depth.count}"
            if depth.index is not None
            else f"what comes {depth.side} the blocks"
        )
        return f"Measuring {where}, {self.plan.survey.experts[place].label}"

    def _known(self, step: int) -> int:
        return self.steps if len(self._refs) == len(self._experts) else step

    def _measure(self, step: int) -> Iterator[None]:
        depth, place, start = self._place(step)
        expert = self._experts[place]
        rows = expert.rows[start : start + self.spec.batch].to(self.device)
        before = self._merged_before(depth)
        weights = {**self._weights_of(place), **before}

        def work(part: torch.Tensor) -> Sums:
            found = gram_sums(expert.source, weights, part, self._wanted[depth])
            return {f"{place}/{name}": value for name, value in found.items()}

        yield from self.in_parts(work, rows, ROWS)
        if (step + 1) % len(self._batches) == 0:
            self._settle()

    def _settle(self) -> None:
        """Turn the sums of a depth into means, which are kept."""
        done = {name: value for name, value in self._sums.items() if name.startswith(_DONE)}
        for place, expert in enumerate(self._experts):
            own = {name: value for name, value in self._sums.items() if name.startswith(f"{place}/")}
            named = {name.partition("/")[2]: value for name, value in own.items()}
            done |= {f"{_DONE}{place}/{name}": value for name, value in means(named, expert.n).items()}
        self._sums = done

    def _weights_of(self, place: int) -> Mapping[str, torch.Tensor]:
        if self._weights is None or self._weights[0] != place:
            self._weights = None
            self._weights = (place, weights_of_expert(self.plan, place, self.device))
        return self._weights[1]

    def _merged_before(self, depth: Depth) -> Mapping[str, torch.Tensor]:
        """Return the merged leaves of all depths before one."""
        order = {leaf.name: place for place, leaf in enumerate(self.plan.space.leaves)}
        for leaf in self._in_order:
            if leaf.depth.order < depth.order and leaf.name not in self._merged:
                self._merged[leaf.name] = on_one_core(lambda leaf=leaf: self._merge(leaf, order[leaf.name]))  # type: ignore[misc]
        return self._merged

    def _merge(self, leaf: SpaceLeaf, place: int) -> torch.Tensor:
        """Merge one leaf as the recipe does."""
        models = [one.read(leaf.name).to(device=self.device, dtype=torch.float32) for one in self.plan.survey.experts]
        terms, whole = self._terms[place], REGMEAN.whole_leaf
        if whole is None or not leaf.elements or not whole.takes(leaf.name, leaf.shape, terms.params):
            rows = torch.stack([model.reshape(-1) for model in models])
            return combine_piece(rows, terms.weights, REGMEAN, CombineContext(terms.params)).view(leaf.shape)
        found = [self._sums.get(f"{_DONE}{at}/{GRAM}{leaf.name}") for at in range(len(models))]
        turned = [self._sums.get(f"{_DONE}{at}/{TURNED}{leaf.name}") for at in range(len(models))]
        known = turned if any(one is not None for one in turned) else found
        grams = tuple(torch.empty(0, 0) if one is None else one.to(self.device) for one in known)
        context = CombineContext(terms.params, measured=Measured(grams, turned=known is turned))
        return combine_whole(models, terms.weights, whole, context)

    def _statistics(self) -> Sequence[Ref]:
        if len(self._refs) == len(self._experts):
            return self._refs
        whole = self._step >= self.steps
        for place, expert in enumerate(self._experts[len(self._refs) :], len(self._refs)):
            prefix = f"{_DONE}{place}/"
            own = {name.removeprefix(prefix): one for name, one in self._sums.items() if name.startswith(prefix)}
            merge = expert.about.merge if whole else f"{expert.about.merge}, as far as step {self._step}"
            self._refs.append(keep(self.bench.store, replace(expert.about, merge=merge), own))
        return self._refs


def _digest(spec: LearnSpec, experts: Sequence[Examined]) -> str:
    """Return what names everything that the merged layers follow from: experts, examples, and numbers of the merge."""
    told = [str(spec.params.as_json()), *(bytes(expert.about.tensor().tolist()).decode() for expert in experts)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]
