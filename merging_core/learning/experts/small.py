"""SaRA: training only the smallest weights of the base, which matter least to what it can do already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from merging_core.learning.contract import Draw, Ground, Learnable, LearnMethod, Phase, Shown, Update, Values
from merging_core.learning.experts.averages import WEIGHTS
from merging_core.learning.experts.methods import FRESH, optimiser_of, train_run
from merging_core.learning.experts.moving import BLOCKS, MOVES
from merging_core.learning.experts.weights import MovedWeights
from merging_core.learning.relaxation import uniform
from merging_core.methods.info import ParameterInfo, Parameters, Source

__all__ = ["SARA", "SmallWeights", "nuclear_norm", "smallest"]

KEPT = "kept"

_PARAMETERS = (
    ParameterInfo(
        "choose", "Chosen by", "choice", "density", "Whether a share of the weights moves, or all below a threshold.",
        choices=("density", "threshold"),
    ),
    ParameterInfo(
        "density", "Density", "number", 0.2, "The share of the weights that moves: the smallest.", 0.0, 1.0,
        minimum_excluded=True, slider=(0.01, 0.5), only_when=("choose", "density"),
    ),
    ParameterInfo(
        "threshold", "Threshold", "number", 2e-3, "Weights whose magnitude is below it move.", 0.0, 1e6,
        minimum_excluded=True, step=0.0001, slider=(0.0001, 0.01), only_when=("choose", "threshold"),
    ),
    ParameterInfo(
        "rank_penalty", "Rank penalty", "number", 5e-4, "What the nuclear norm of the moving weights adds to the loss.",
        0.0, 1e3, step=0.0001, slider=(0.0, 0.01),
    ),
    ParameterInfo(
        "first_share", "First share", "number", 0.5, "The share of the steps after which those that are small still "
        "are chosen again.", 0.05, 1.0,
    ),
)  # fmt: skip


def smallest(weights: torch.Tensor, params: Parameters) -> tuple[torch.Tensor, float]:
    """Return the places of the weights that move, in order, and the magnitude up to which a weight is small.

    >>> smallest(torch.tensor([0.3, -0.1, 0.0, 2.0]), Parameters(choose="density", density=0.5))[0].tolist()
    [1, 2]
    """
    sizes = weights.abs()
    if params["choose"] == "threshold":
        threshold = params.number("threshold")
        return (sizes < threshold).nonzero().flatten(), threshold
    places = sizes.argsort(stable=True)[: round(params.number("density") * len(sizes))].sort().values
    return places, float(sizes[places].max()) if len(places) else 0.0


def nuclear_norm(matrix: torch.Tensor) -> torch.Tensor:
    """Return the sum of the singular values, with the gradient U·Vᵀ, which exists at equal ones too.

    >>> round(float(nuclear_norm(torch.diag(torch.tensor([3.0, 4.0])))), 4)
    7.0
    """
    left, _, right = torch.linalg.svd(matrix.detach(), full_matrices=False)
    norm: torch.Tensor = ((left @ right) * matrix).sum()
    return norm


class SmallWeights(MovedWeights):
    """θ: the base, of which the smallest weights move; in the second phase those that are still small."""

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.places, self.threshold = smallest(self.start_weights, ground.params)
        starts = [0]
        for size in self.sizes:
            starts.append(starts[-1] + size)
        self._matrices = [
            (
                leaf.shape,
                *torch.searchsorted(self.places.cpu(), torch.tensor([start, start + leaf.elements])).tolist(),
                start,
            )
            for leaf, start in zip(self.leaves, starts[:-1], strict=True)
            if len(leaf.shape) == 2 and min(leaf.shape) > 1
        ]

    def start(self) -> Values:
        """Return the smallest weights, all of them moving."""
        weights = self.start_weights[self.places]
        return {WEIGHTS: weights.clone(), KEPT: torch.ones_like(weights)}

    def merged(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return the weights of a step; those of the expert are the same."""
        return self.placed(self.expert({**values, WEIGHTS: _moving(values)}))

    def expert(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the base with its smallest weights as they are by then."""
        return self.start_weights.index_copy(0, self.places, values[WEIGHTS])

    def plain(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the same."""
        return self.expert(values)

    def penalty(self, values: Mapping[str, torch.Tensor], draw: Draw) -> torch.Tensor | None:
        """Return the nuclear norm of one matrix's moving weights, for all matrices, times the penalty.

        Which one is a seeded draw for each step; times their number it is the sum of all on average.
        """
        penalty = self.ground.params.number("rank_penalty")
        if not penalty or not self._matrices:
            return None
        chance = float(uniform(self.ground.seed, draw.step, "nuclear", 1))
        shape, first, last, start = self._matrices[int(chance * len(self._matrices))]
        weights = (_moving(values) * values[KEPT])[first:last]
        matrix = weights.new_zeros(shape[0] * shape[1]).index_copy(0, self.places[first:last] - start, weights)
        return penalty * len(self._matrices) * nuclear_norm(matrix.view(shape))

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Choose those that are still small once more at the end of the first phase."""
        if step == first_phase(self.ground.params, steps) < steps:
            values[KEPT].copy_((values[WEIGHTS].abs() <= self.threshold).to(values[KEPT]))

    def shown(self, values: Mapping[str, torch.Tensor], draw: Draw) -> Shown:
        """Return for each leaf of the space the share of it that moves."""
        counts = torch.zeros(sum(self.sizes), device=values[KEPT].device).index_copy(0, self.places, values[KEPT])
        means = [float(part.mean()) for part in counts.split_with_sizes(self.sizes)]
        own = dict(zip((leaf.name for leaf in self.leaves), means, strict=True))
        return Shown((), tuple(own.get(leaf.name, 0.0) for leaf in self.ground.space.leaves))


def first_phase(params: Parameters, steps: int) -> int:
    """Return how many steps there are before the weights are chosen once more.

    >>> first_phase(Parameters(first_share=0.5), 9), first_phase(Parameters(first_share=1.0), 9)
    (4, 9)
    """
    return max(1, round(params.number("first_share") * steps))


def _moving(values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the weights, of which only those that are kept are differentiated by."""
    weights = values[WEIGHTS]
    return torch.where(values[KEPT] > 0.0, weights, weights.detach())


def _make(ground: Ground) -> Learnable:
    return SmallWeights(ground)


def _phases(params: Parameters, steps: int) -> tuple[Phase, ...]:
    update = Update(WEIGHTS, optimiser_of(params))
    first = first_phase(params, steps)
    phases = (Phase("small", "Smallest weights", first, (update,)),)
    return (*phases, Phase("still", "Still small", steps - first, (update,))) if first < steps else phases


SARA = LearnMethod(
    name="sara",
    title="SaRA",
    formula="θ = θ₀ + m ∘ Δ, m = 1 where θ₀ is smallest; cross-entropy + penalty·Σ of the nuclear norms of m ∘ θ",
    summary="Trains only the base’s smallest weights, which matter least to what it can do already.",
    source=Source(
        "Hu et al.",
        2025,
        "SaRA: High-Efficient Diffusion Model Fine-tuning with Progressive Sparse Low-Rank Adaptation",
        "https://arxiv.org/abs/2409.06633",
        "section 4",
        "a share of the weights moves unless a threshold is named; each step takes the nuclear norm of one matrix, "
        "drawn by the seed, times their number, where the released code takes one as it is; signs are kept, where that "
        "code begins with magnitudes; no weight decay; classification, where the paper trains diffusion models",
    ),
    group="experts",
    makes="expert",
    objective="cross_entropy",
    splits=("train",),
    learns=("weights",),
    default_steps=400,
    batch=64,
    subset="full",
    parameters=(*_PARAMETERS, *(replace(info, default=1e-3) if info.name == "rate" else info for info in FRESH
                                if info.name != "decay"), MOVES, BLOCKS),
    make=_make,
    phases=_phases,
    run=train_run,
)  # fmt: skip
