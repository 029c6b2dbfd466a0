"""Sinkhorn re-basin: soft permutations learned by gradients, made hard by assignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from merging_core.alignment.permuting import permuted
from merging_core.alignment.soft import hardened, logits_of, soft_member, softly_permuted
from merging_core.alignment.straight_through import Judge, Slope, middle
from merging_core.alignment.symmetry import Indices, Symmetry

__all__ = ["SoftStanding", "distance", "soft_begun", "soft_stepped"]

Weights = Mapping[str, torch.Tensor]
ROUNDS, TEMPERATURE = 20, 1.0
_BETAS, _EPSILON, _DECAY = (0.9, 0.999), 1e-8, 0.01


@dataclass(frozen=True, eq=False)
class SoftStanding:
    """Where a search stands after `step` steps.

    `first` and `second`: the moments of AdamW. `best` and `loss`: the hard permutations that were judged best so far.
    `soft`: the loss of the soft ones at the last step.
    """

    logits: Weights
    first: Weights
    second: Weights
    best: Mapping[str, Indices]
    loss: float
    step: int = 0
    soft: float = float("nan")
    judged: frozenset[bytes] = field(default=frozenset(), repr=False)


def soft_begun(symmetry: Symmetry, weights: Weights, judge: Judge, *, seed: int = 0) -> SoftStanding:
    """Return a search at its start: the identity with a little noise; the second model as it stands is judged."""
    logits = {name: leaf.to(next(iter(weights.values())).device) for name, leaf in logits_of(symmetry, seed).items()}
    still = {name: torch.zeros_like(leaf) for name, leaf in logits.items()}
    return SoftStanding(logits, still, still, symmetry.identity(), judge(weights))


def soft_stepped(
    standing: SoftStanding,
    symmetry: Symmetry,
    target: Weights,
    weights: Weights,
    slope: Slope | None,
    judge: Judge,
    *,
    rate: float,
) -> SoftStanding:
    """Return the search one step later; `judge` is of the permuted second model.

    With `slope` the loss is that of ½·(A + P(B)) on the batch of the step, without it ‖A − P(B)‖² over permuted leaves;
    P is made of logits by 20 rounds of Sinkhorn at temperature 1, and AdamW moves them through all rounds. The nearest
    hard permutations are judged where they are new, and the best are kept.

    Source: Guerrero Peña et al. 2023, arXiv:2212.12042. Deviations: gradients go through the rounds instead of implicit
    differentiation; heads are soft over heads and within each pair of them, as products.
    """
    leaves = {name: leaf.detach().clone().requires_grad_() for name, leaf in standing.logits.items()}
    with torch.enable_grad():
        member = soft_member(symmetry, leaves, TEMPERATURE, ROUNDS)
        moved = softly_permuted(symmetry, weights, member)
        if slope is None:
            aim = distance(symmetry, target, moved)
            loss = float(aim.detach())
        else:
            half = middle(target, moved)
            loss, steep = slope({name: leaf.detach() for name, leaf in half.items()}, standing.step)
            aim = torch.stack([(half[name] * leaf).sum() for name, leaf in steep.items()]).sum()
        slopes = torch.autograd.grad(aim, list(leaves.values()), materialize_grads=True)
    moved_on = _adamw(standing, dict(zip(leaves, slopes, strict=True)), rate)
    return _judged(replace(moved_on, soft=loss), symmetry, weights, member, judge)


def distance(symmetry: Symmetry, target: Weights, weights: Weights) -> torch.Tensor:
    """Return ‖A − B‖² over the leaves that a symmetry compares."""
    names = dict.fromkeys(site.leaf for units in symmetry.classes for site in units.sites if site.compared)
    return torch.stack([((target[name] - weights[name]) ** 2).sum() for name in names]).sum()


def _adamw(standing: SoftStanding, slopes: Weights, rate: float) -> SoftStanding:
    """Return it after a step of AdamW, with weight decay 0.01."""
    logits, first, second, step = dict(standing.logits), dict(standing.first), dict(standing.second), standing.step + 1
    for name, slope in slopes.items():
        first[name] = torch.lerp(slope, first[name], _BETAS[0])
        second[name] = torch.lerp(slope**2, second[name], _BETAS[1])
        mean, square = first[name] / (1 - _BETAS[0] ** step), second[name] / (1 - _BETAS[1] ** step)
        logits[name] = logits[name] * (1 - rate * _DECAY) - rate * mean / (square.sqrt() + _EPSILON)
    return replace(standing, logits=logits, first=first, second=second, step=step)


def _judged(
    standing: SoftStanding, symmetry: Symmetry, weights: Weights, member: Weights, judge: Judge
) -> SoftStanding:
    """Return it with the hard permutations nearest to soft ones judged, where they are new."""
    hard = hardened(symmetry, member)
    key = b"".join(hard[name].tobytes() for name in sorted(hard))
    if key in standing.judged:
        return standing
    now = judge(permuted(symmetry, weights, hard))
    better = now < standing.loss
    return replace(
        standing,
        best=hard if better else standing.best,
        loss=now if better else standing.loss,
        judged=standing.judged | {key},
    )
