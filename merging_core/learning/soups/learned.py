"""The learned soup: how much of each model, for the whole or for each leaf, by gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from merging_core.engines.learned import COEFFICIENTS
from merging_core.learning.adamerging import PER, RATE, Coefficients
from merging_core.learning.attack_settings import DEFENCE
from merging_core.learning.contract import Draw, Ground, Learnable, LearnMethod, Optimiser, Phase, Shown, Update, Values
from merging_core.methods.info import ParameterInfo, Parameters, Source

__all__ = ["LEARNED_SOUP", "SOUP_SOURCE", "Shares"]

SHARES = "shares"
WEIGHTS = ParameterInfo(
    "weights",
    "Weights",
    "choice",
    "softmax",
    "Whether the models' weights are positive and add up to 1, by a softmax, or are free.",
    choices=("softmax", "free"),
)
SOUP_SOURCE = (
    "Wortsman et al.",
    2022,
    "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time",
    "https://arxiv.org/abs/2203.05482",
)


class Shares:
    """θ(ℓ) = Σ αₜ(ℓ)·θₜ(ℓ) = θ₀(ℓ) + Σ αₜ(ℓ)·τₜ(ℓ), with α the softmax over the models of what is learned."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._inner = ground, Coefficients(ground)
        self._softmax = ground.params["weights"] == "softmax"

    def start(self) -> Values:
        """Return what makes every model count the same."""
        ground = self._ground
        experts, leaves = len(ground.vectors), len(ground.space.leaves)
        shape = (experts,) if ground.params["per"] == "task" else (leaves, experts)
        return {SHARES: torch.full(shape, 0.0 if self._softmax else 1.0 / experts, device=ground.device)}

    def merged(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return the weights of the soup."""
        return self._inner.merged(self._coefficients(values), draw)

    def tensors(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return the shares as the coefficients that a recipe holds."""
        return self._inner.tensors(self._coefficients(values), draw)

    def shown(self, values: Mapping[str, torch.Tensor], draw: Draw) -> Shown:
        """Return the share of each model."""
        return self._inner.shown(self._coefficients(values), draw)

    def restart(self, values: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
        """Return the values as they were at the start."""
        return self.start()[name]

    def _coefficients(self, values: Mapping[str, torch.Tensor]) -> Values:
        shares = values[SHARES]
        return {COEFFICIENTS: torch.softmax(shares, dim=-1) if self._softmax else shares}


def _make(ground: Ground) -> Learnable:
    return Shares(ground)


def _phases(params: Parameters, steps: int) -> tuple[Phase, ...]:
    optimiser = Optimiser("adamw", rate=params.number("rate"), decay=0.01)
    return (Phase("shares", "Shares", steps, (Update(SHARES, optimiser),)),)


LEARNED_SOUP = LearnMethod(
    name="learned_soup",
    title="Learned soup",
    formula="θ(ℓ) = Σ αₜ(ℓ)·θₜ(ℓ), αₜ ≥ 0, Σ αₜ = 1, with the α that make the cross-entropy of labelled examples least",
    summary="Learns how much of each model every leaf takes, as an average whose weights follow the labels.",
    source=Source(
        *SOUP_SOURCE,
        "learned soup, also by layer",
        "labels come from the train split unless validation is named, which the paper takes; its numbers are then "
        "of examples that were learned from; logits are not scaled, where the paper learns a factor for them; a layer "
        "is a leaf",
    ),
    group="soups",
    objective="cross_entropy",
    splits=("train", "validation"),
    learns=("coefficients",),
    default_lambda=1.0,
    default_steps=200,
    batch=32,
    parameters=(replace(PER, help="Whether each model has one weight, or one for each leaf (the paper's layers)."),
                WEIGHTS, replace(RATE, default=0.1), *DEFENCE),
    make=_make,
    phases=_phases,
)  # fmt: skip
