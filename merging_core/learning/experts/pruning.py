"""Diff pruning: a task vector that is trained together with a mask that makes it sparse, then under a fixed mask."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from merging_core.learning.contract import Draw, Ground, Learnable, LearnMethod, Optimiser, Phase, Shown, Update, Values
from merging_core.learning.experts.hard_concrete import hard_concrete, kept_probability, typical
from merging_core.learning.experts.methods import FRESH, optimiser_of, train_run
from merging_core.learning.experts.moving import BLOCKS, MOVES
from merging_core.learning.experts.weights import MovedWeights
from merging_core.learning.relaxation import uniform
from merging_core.methods.info import ParameterInfo, Parameters, Source

__all__ = ["DIFF_PRUNING", "PrunedWeights", "largest"]

CHANGE, LOGITS, GROUPS, FIXED = "change", "logits", "groups", "fixed"

_PARAMETERS = (
    ParameterInfo(
        "density", "Density", "number", 0.005, "The share of the scalars that the expert changes.", 0.0, 1.0,
        minimum_excluded=True, step=0.001, slider=(0.001, 0.2), unit="fraction kept",
    ),
    ParameterInfo(
        "penalty", "Penalty", "number", 10.0, "What a mask that keeps everything adds to the loss.", 0.0, 1e6,
        slider=(0.0, 50.0),
    ),
    ParameterInfo(
        "logit", "Initial logit", "number", 5.0, "Where every mask begins; at 5 almost all of them are 1.", -20.0, 20.0,
        slider=(-5.0, 10.0),
    ),
    ParameterInfo(
        "mask_rate", "Learning rate of the mask", "number", 0.1, "How far a step of the mask’s logits goes.", 0.0, 10.0,
        minimum_excluded=True, slider=(0.001, 0.5),
    ),
    ParameterInfo(
        "groups", "Groups", "choice", "leaf", "Whether the scalars of a leaf have a mask in common, too.",
        choices=("leaf", "none"),
    ),
    ParameterInfo(
        "mask_share", "Share for the mask", "number", 0.5, "The share of the steps in which the mask is learned, too.",
        0.0, 1.0,
    ),
)  # fmt: skip


def largest(change: torch.Tensor, density: float) -> torch.Tensor:
    """Return 1 for the share of the elements whose magnitude is largest, 0 for others; of equal ones the earlier.

    >>> largest(torch.tensor([0.1, -3.0, 2.0, 0.0]), 0.5).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    order = change.abs().argsort(descending=True, stable=True)
    mask = torch.zeros_like(change)
    mask[order[: round(density * len(change))]] = 1.0
    return mask


class PrunedWeights(MovedWeights):
    """θ = θ₀ + z ∘ w: first the vector w with a mask z drawn for each step, then w under the mask of the largest."""

    def start(self) -> Values:
        """Return no change, and all logits at their beginning."""
        logit, size = self.ground.params.number("logit"), len(self.start_weights)
        values = {
            CHANGE: torch.zeros_like(self.start_weights),
            LOGITS: torch.full_like(self.start_weights, logit),
            FIXED: torch.ones(size, device=self.ground.device),
        }
        if self._grouped:
            values[GROUPS] = self.start_weights.new_full((len(self.leaves),), logit)
        return values

    def merged(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return the weights of a step, or, settled, those that the expert would have."""
        if draw.settled:
            return self.placed(self.expert(values))
        mask = values[FIXED] if draw.phase else self._drawn(values, draw.step)
        return self.placed(self.start_weights + mask * values[CHANGE])

    def expert(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the base with its largest changes, as many as the density says."""
        change = self._pruned(values)
        return self.start_weights + change

    def plain(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the base with all changes under the mask as it is."""
        return self.start_weights + self._typical(values) * values[CHANGE]

    def penalty(self, values: Mapping[str, torch.Tensor], draw: Draw) -> torch.Tensor | None:
        """Return the share of the scalars that is expected to be kept, times the penalty."""
        if draw.phase:
            return None
        kept = kept_probability(values[LOGITS])
        if self._grouped:
            kept = kept * self._spread(kept_probability(values[GROUPS]))
        return self.ground.params.number("penalty") * kept.mean()

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Fix the mask at the end of the first phase: the largest elements of the masked vector."""
        if step == mask_steps(self.ground.params, steps):
            change = self._typical(values) * values[CHANGE]
            values[FIXED].copy_(largest(change, self.ground.params.number("density")))
            values[CHANGE].copy_(change * values[FIXED])
            for name in (LOGITS, GROUPS):
                if name in values:
                    values[name].fill_(math.inf)

    def shown(self, values: Mapping[str, torch.Tensor], draw: Draw) -> Shown:
        """Return for each leaf of the space the share that is kept: expected, then fixed; of what never moves 0."""
        fixed = bool(torch.isinf(values[LOGITS][0]))
        kept = values[FIXED] if fixed else kept_probability(values[LOGITS])
        if not fixed and self._grouped:
            kept = kept * self._spread(kept_probability(values[GROUPS]))
        means = [float(part.mean()) for part in kept.split_with_sizes(self.sizes)]
        own = dict(zip((leaf.name for leaf in self.leaves), means, strict=True))
        return Shown((), tuple(own.get(leaf.name, 0.0) for leaf in self.ground.space.leaves))

    @property
    def _grouped(self) -> bool:
        return self.ground.params["groups"] == "leaf"

    def _pruned(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        change = self._typical(values) * values[CHANGE]
        return change * largest(change, self.ground.params.number("density"))

    def _typical(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        mask = typical(values[LOGITS])
        return mask * self._spread(typical(values[GROUPS])) if self._grouped else mask

    def _drawn(self, values: Mapping[str, torch.Tensor], step: int) -> torch.Tensor:
        device, seed = self.ground.device, self.ground.seed
        mask = hard_concrete(values[LOGITS], uniform(seed, step, LOGITS, len(self.start_weights), device))
        if not self._grouped:
            return mask
        return mask * self._spread(hard_concrete(values[GROUPS], uniform(seed, step, GROUPS, len(self.leaves), device)))

    def _spread(self, groups: torch.Tensor) -> torch.Tensor:
        """Return the number of each leaf for each of its scalars."""
        return groups.repeat_interleave(torch.tensor(self.sizes, device=groups.device), output_size=sum(self.sizes))


def mask_steps(params: Parameters, steps: int) -> int:
    """Return in how many of the steps the mask is learned: one at least.

    >>> mask_steps(Parameters(mask_share=0.5), 9), mask_steps(Parameters(mask_share=0.0), 9)
    (4, 1)
    """
    return max(1, round(params.number("mask_share") * steps))


def _make(ground: Ground) -> Learnable:
    return PrunedWeights(ground)


def _phases(params: Parameters, steps: int) -> tuple[Phase, ...]:
    how, first = optimiser_of(params), mask_steps(params, steps)
    mask = Optimiser("adamw", rate=params.number("mask_rate"), cosine=how.cosine, warm_up=how.warm_up)
    names = (LOGITS, GROUPS) if params["groups"] == "leaf" else (LOGITS,)
    both = Update(CHANGE, how, together=tuple(Update(name, mask) for name in names))
    phases = (Phase("mask", "Vector and mask", first, (both,)),)
    return (*phases, Phase("fixed", "Vector", steps - first, (Update(CHANGE, how),))) if first < steps else phases


DIFF_PRUNING = LearnMethod(
    name="diff_pruning",
    title="Diff pruning",
    formula="θ = θ₀ + z ∘ w, z = min(1, max(0, 3·σ(logit u + α) − 1.5)), cross-entropy + penalty·E‖z‖₀/M; then z fixed",
    summary="Trains an expert that changes only a small share of the base’s numbers, and learns which.",
    source=Source(
        "Guo et al.",
        2021,
        "Parameter-Efficient Transfer Learning with Diff Pruning",
        "https://arxiv.org/abs/2012.07463",
        "sections 2 and 3",
        "the penalty is that of the share that is kept, where the paper counts scalars, so that it suits models of any "
        "size; the expected norm of a leaf’s common mask is the product of both probabilities, where the released code "
        "adds them; steps are AdamW’s with the rate of training an expert",
    ),
    group="experts",
    makes="expert",
    objective="cross_entropy",
    splits=("train",),
    learns=("weights", "mask"),
    default_steps=400,
    batch=64,
    subset="full",
    parameters=(*_PARAMETERS, *FRESH, MOVES, BLOCKS),
    make=_make,
    phases=_phases,
    run=train_run,
)
