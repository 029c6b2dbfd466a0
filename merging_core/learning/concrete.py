"""Concrete subspaces: one mask for all experts, learned alone or together with the experts' coefficients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch

from merging_core.engines.learned import COEFFICIENTS, MASK
from merging_core.learning.adamerging import (
    INITIAL,
    PER,
    RATE,
    coefficient_rows,
    coefficient_tensors,
    coefficients_shown,
    leaf_views,
)
from merging_core.learning.contract import Draw, Ground, Learnable, LearnMethod, Optimiser, Phase, Shown, Update, Values
from merging_core.learning.leaves import merged_leaf
from merging_core.learning.relaxation import Kind, concrete_mask, uniform
from merging_core.methods.info import ParameterInfo, Parameters, Source

__all__ = [
    "CONCRETE_ADAMERGING",
    "CONCRETE_TASK_ARITHMETIC",
    "MASK_PARAMETERS",
    "SCALE",
    "MaskedCoefficients",
    "mask_alone",
    "mask_phase",
    "temperature_at",
]

LOGITS = "logits"
_SETTLED = -1
"""The step whose chance the mask of a recipe is drawn with."""
_FINAL: Mapping[str, Kind] = {"sample": "soft", "coin": "coin", "threshold": "hard", "probability": "mean"}

SCALE = ParameterInfo(
    "lambda",
    "λ",
    "number",
    0.3,
    "Scales what the experts add while the mask is learned.",
    -10.0,
    10.0,
    slider=(0.0, 1.0),
)
LOGIT = ParameterInfo(
    "logit",
    "Initial logit",
    "number",
    0.0,
    "Where every scalar's logit begins; at 0 a scalar is kept with probability one half.",
    -20.0,
    20.0,
    slider=(-5.0, 5.0),
)
TEMPERATURE = ParameterInfo(
    "temperature",
    "Temperature",
    "number",
    0.5,
    "How soft a sampled mask is: near 0 it is almost 0 or 1.",
    1e-3,
    10.0,
    slider=(0.05, 2.0),
)
FINAL_TEMPERATURE = replace(
    TEMPERATURE,
    name="final_temperature",
    title="Temperature at the end",
    help="What the temperature falls or rises to, by equal factors, until the masks are learned.",
)
SAMPLE = ParameterInfo(
    "sample",
    "While learning",
    "choice",
    "soft",
    "Whether steps take the relaxed mask, or its 0 and 1 with the gradient of the relaxed one.",
    choices=("soft", "straight"),
)
FINAL = ParameterInfo(
    "final",
    "Mask of the recipe",
    "choice",
    "sample",
    "One seeded relaxed sample, a coin for each scalar, whether its probability is above one half, or the probability.",
    choices=("sample", "coin", "threshold", "probability"),
)
MASK_RATE = replace(RATE, name="mask_rate", title="Learning rate of the mask", slider=(0.0001, 0.5))
MASK_SHARE = ParameterInfo(
    "mask_share",
    "Share for the mask",
    "number",
    0.5,
    "The share of the steps in which the mask is learned; in the rest the coefficients are.",
    0.0,
    1.0,
)
INNER = ParameterInfo(
    "inner",
    "Inner step",
    "choice",
    "gradient",
    "How coefficients move before each step of the mask: along the gradient, or by Adam, as the released code does.",
    choices=("gradient", "adam"),
)
INNER_RATE = replace(
    RATE,
    name="inner_rate",
    title="Inner rate",
    default=0.1,
    help="How far the inner step goes; the released code has 1.",
)
MASK_PARAMETERS = (LOGIT, MASK_RATE, TEMPERATURE, FINAL_TEMPERATURE, SAMPLE, FINAL)


class MaskedCoefficients:
    """θ = θ₀ + λ·(m ∘ Σ cₜτ̂ₜ) with a mask m of all leaves but single numbers; c is 1 unless it is learned too.

    The first phase draws a new mask for each step, at coefficients that begin each step where they began; the second,
    where there is one, moves the coefficients under the one mask of the recipe.
    """

    def __init__(self, ground: Ground, *, scale: float, coefficients: bool) -> None:
        self._ground, self._scale, self._learned = ground, scale, coefficients
        self._views = leaf_views(ground)
        self._sizes = [leaf.elements for leaf in ground.space.leaves]

    def start(self) -> Values:
        """Return all logits and coefficients at their initial value."""
        ground, params = self._ground, self._ground.params
        values = {LOGITS: torch.full((ground.space.size,), params.number("logit"), device=ground.device)}
        return {**values, COEFFICIENTS: self._initial()} if self._learned else values

    def merged(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return the merged weights."""
        leaves = self._ground.space.leaves
        rows = coefficient_rows(self._coefficients(values, draw), len(leaves))
        masks = self._masks(values, draw)
        return {
            leaf.name: merged_leaf(row, mask, base, vectors, self._scale).view(leaf.shape)
            for leaf, row, mask, (base, vectors) in zip(leaves, rows, masks, self._views, strict=True)
        }

    def tensors(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return mask and coefficients as a recipe holds them."""
        pairs = zip(self._ground.space.leaves, self._masks(values, draw), strict=True)
        found = {f"{MASK}{leaf.name}": mask.view(leaf.shape) for leaf, mask in pairs if mask is not None}
        if self._learned:
            found |= coefficient_tensors(self._coefficients(values, draw), self._ground)
        return found

    def shown(self, values: Mapping[str, torch.Tensor], draw: Draw) -> Shown:
        """Return coefficients, and the mean probability of each leaf."""
        shares = torch.stack(
            [
                torch.sigmoid(part).mean() if part.numel() > 1 else part.new_ones(())
                for part in values[LOGITS].split_with_sizes(self._sizes)
            ]
        )
        rows = coefficients_shown(self._coefficients(values, draw)) if self._learned else ()
        return Shown(rows, tuple(shares.cpu().tolist()))

    def restart(self, values: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
        """Return the coefficients as they were at the start."""
        return self._initial()

    def _initial(self) -> torch.Tensor:
        ground, params = self._ground, self._ground.params
        experts, leaves = len(ground.vectors), len(ground.space.leaves)
        shape = (experts,) if params["per"] == "task" else (leaves, experts)
        return torch.full(shape, params.number("initial"), device=ground.device)

    def _coefficients(self, values: Mapping[str, torch.Tensor], draw: Draw) -> torch.Tensor:
        if not self._learned:
            return torch.ones(len(self._ground.vectors), device=self._ground.device)
        return self._initial() if draw.settled and draw.phase == 0 else values[COEFFICIENTS]

    def _masks(self, values: Mapping[str, torch.Tensor], draw: Draw) -> list[torch.Tensor | None]:
        params, ground = self._ground.params, self._ground
        sampled = not draw.settled and draw.phase == 0
        step = draw.step if sampled else _SETTLED
        kind = _step_kind(params) if sampled else _FINAL[str(params["final"])]
        share = draw.share if draw.phase == 0 else 1.0
        temperature = temperature_at(params, share)
        found: list[torch.Tensor | None] = []
        # Parts of one split give one gradient; slices would give a whole vector of zeros for each leaf.
        for leaf, logits in zip(ground.space.leaves, values[LOGITS].split_with_sizes(self._sizes), strict=True):
            if leaf.elements <= 1:
                found.append(None)
                continue
            chance = uniform(ground.seed, step, leaf.name, leaf.elements, ground.device)
            found.append(concrete_mask(logits, chance, temperature, kind))
        return found


def temperature_at(params: Parameters, share: float) -> float:
    """Return the temperature when a share of the mask's steps is over: from first to last by equal factors.

    >>> round(temperature_at(Parameters(temperature=1.0, final_temperature=0.01), 0.5), 12)
    0.1
    """
    first, last = params.number("temperature"), params.number("final_temperature")
    return first * math.exp(share * math.log(last / first))


def _step_kind(params: Parameters) -> Kind:
    return "straight" if params["sample"] == "straight" else "soft"


def _mask_update(params: Parameters) -> Update:
    return Update(LOGITS, Optimiser("adam", rate=params.number("mask_rate")))


def mask_alone(ground: Ground) -> Learnable:
    """Return a mask for all experts, with λ as the one coefficient."""
    return MaskedCoefficients(ground, scale=ground.params.number("lambda"), coefficients=False)


def _mask_and_coefficients(ground: Ground) -> Learnable:
    return MaskedCoefficients(ground, scale=1.0, coefficients=True)


def mask_phase(params: Parameters, steps: int) -> tuple[Phase, ...]:
    """Return the one phase in which the mask is learned."""
    return (Phase("mask", "Mask", steps, (_mask_update(params),)),)


def _two_phases(params: Parameters, steps: int) -> tuple[Phase, ...]:
    rate = params.number("inner_rate")
    how = Optimiser("adam", rate=rate) if params["inner"] == "adam" else Optimiser("sgd", rate=rate)
    inner = Update(COEFFICIENTS, how, restart=True)
    outer = Update(COEFFICIENTS, Optimiser("adam", rate=params.number("rate")))
    first = round(params.number("mask_share") * steps)
    return (
        Phase("mask", "Mask", first, (inner, _mask_update(params))),
        Phase("coefficients", "Coefficients", steps - first, (outer,), restarts=(COEFFICIENTS,)),
    )


_PAPER = ("Tang et al.", 2023, "Concrete Subspace Learning based Interference Elimination for Multi-task Model Fusion",
          "https://arxiv.org/abs/2312.06173")  # fmt: skip
_INPUTS = "inputs come from the calibration split unless another is named, where the released code takes test inputs; "

CONCRETE_TASK_ARITHMETIC = LearnMethod(
    name="concrete_task_arithmetic",
    title="Concrete task arithmetic",
    formula="θ = θ₀ + λ·(m ∘ Σ τₜ), mᵢ = σ((logit uᵢ + xᵢ)/T) ÷ its mean over the leaf; the x make the entropy least",
    summary="Learns which scalars all experts may change, so that the merge is sure of its answers.",
    source=Source(
        *_PAPER,
        "Concrete task arithmetic",
        _INPUTS + "single numbers have no mask; the mask of the recipe is seeded",
    ),
    group="masks",
    objective="entropy",
    splits=("calibration", "train", "validation", "test"),
    learns=("mask",),
    default_lambda=0.3,
    default_steps=500,
    parameters=(SCALE, *MASK_PARAMETERS),
    make=mask_alone,
    phases=mask_phase,
)

CONCRETE_ADAMERGING = LearnMethod(
    name="concrete_adamerging",
    title="Concrete AdaMerging",
    formula="θ(ℓ) = θ₀(ℓ) + m ∘ Σ λₜ(ℓ)·τₜ(ℓ): first the mask m, each step after one step of the λ; then the λ under m",
    summary="Learns a mask for all experts, and then how much of each expert every leaf takes under it.",
    source=Source(
        *_PAPER,
        "Concrete AdaMerging, task-wise and layer-wise",
        _INPUTS + "coefficients are put back to their start before the inner gradient is taken, where the released "
        "code takes it at those of the step before; the inner step follows the gradient, the released one is Adam’s at "
        "rate 1; no second derivative, as there",
    ),
    group="masks",
    objective="entropy",
    splits=("calibration", "train", "validation", "test"),
    learns=("mask", "coefficients"),
    default_lambda=1.0,
    default_steps=600,
    parameters=(PER, INITIAL, RATE, MASK_SHARE, INNER, INNER_RATE, *MASK_PARAMETERS),
    make=_mask_and_coefficients,
    phases=_two_phases,
)
