"""Scoring pairs of task vectors, as they are and as each method leaves them; a memory keeps what was added up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.vectors.effects import SUM, Effect
from merging_core.analysis.vectors.ground import Ground
from merging_core.analysis.vectors.scores import PairSums, scores_of
from merging_core.methods.contract import CombineContext, gather
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe
from merging_core.space.reductions import BLOCK

__all__ = ["AT_ONCE", "Pair", "PairScores"]

Pair = tuple[int, int]
AT_ONCE = 16 * BLOCK
"""Elements of a pair that are looked at between two findings."""


@dataclass(frozen=True, eq=False)
class PairScores:
    """Pairs of the models of a ground, and the sums over them that a memory holds."""

    ground: Ground
    bench: StudyBench
    memory: Memory
    seed: int

    def recipe(self, effect: Effect, pair: Pair) -> Recipe:
        """Return the merge of a pair by a method at its defaults."""
        models = [{"ref": self.ground.models[t]} for t in pair]
        document = {"version": 1, "base": self.ground.base, "models": models, "seed": self.seed}
        return parse_recipe({**document, **effect.document})

    def sums(self, effect: Effect, pair: Pair) -> PairSums:
        """Return what was added up so far."""
        found = self.memory.get(_name(effect, pair))
        return PairSums.empty() if found is None else PairSums.of_arrays(found)

    def of(self, effect: Effect, pair: Pair) -> dict[str, float | None] | None:
        """Return the scores of what was added up; nothing before anything was."""
        sums = self.sums(effect, pair)
        return scores_of(sums) if sums.elements else None

    def add_up(self, effect: Effect, pair: Pair) -> Iterator[int]:
        """Add up what two experts contribute, piece by piece; yields how many elements each piece had.

        Raises as `LiveEngine.parts` does, and CancelledError.
        """
        sums = self.sums(effect, pair)
        if sums.elements >= self.ground.elements:
            return
        plan, _, masked = self.ground.engine.parts(self.recipe(effect, pair))
        _, _, raw = self.ground.engine.parts(self.recipe(SUM, pair))
        info, params, ones = plan.stages.method, plan.stages.params, torch.ones(2, device=masked[0].device)
        starts = range(0, plan.space.size, AT_ONCE)
        pieces = (_piece(masked, start) for start in starts)
        context = CombineContext(params, gather(info, pieces, ones, params))
        for start in starts[sums.elements // AT_ONCE :]:
            self.bench.heed()
            parts = effect.contributions(_piece(masked, start), context)
            sums = sums.with_piece(parts.cpu(), _piece(raw, start).cpu())
            self.memory.put(_name(effect, pair), **sums.as_arrays())
            yield parts.shape[1]


def _piece(vectors: tuple[torch.Tensor, ...], start: int) -> torch.Tensor:
    return torch.stack([vector[start : start + AT_ONCE] for vector in vectors])


def _name(effect: Effect, pair: Pair) -> str:
    return f"pair {effect.name} {pair[0]} {pair[1]}"
