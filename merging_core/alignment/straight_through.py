"""Straight-through midpoint matching: permutations sought by the loss of the middle, with gradient steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from merging_core.alignment.permuting import permuted
from merging_core.alignment.symmetry import Indices, Symmetry
from merging_core.alignment.weight_matching import match_weights

__all__ = ["Judge", "Slope", "Standing", "begun", "middle", "stepped"]

Weights = Mapping[str, torch.Tensor]
Slope = Callable[[Weights, int], tuple[float, Weights]]
"""The loss of weights on the batch of a step, and its gradient by the leaves that have one."""
Judge = Callable[[Weights], float]
"""The loss of weights on examples that stay the same."""
MOMENTUM = 0.9


@dataclass(frozen=True, eq=False)
class Standing:
    """Where a search stands after `step` steps.

    `member`: the projection of the copy now; `best` and `loss`: the permutations whose middle was judged best so far.
    `batch`: the loss of the middle on the last batch.
    """

    copy: Weights
    momentum: Weights
    member: Mapping[str, Indices]
    best: Mapping[str, Indices]
    loss: float
    step: int = 0
    batch: float = float("nan")
    judged: frozenset[bytes] = field(default=frozenset(), repr=False)


def middle(first: Weights, second: Weights) -> dict[str, torch.Tensor]:
    """Return the mean of two models' leaves, as the first names them; what is not floating is the first's."""
    return {name: (leaf + second[name]) / 2 if leaf.is_floating_point() else leaf for name, leaf in first.items()}


def begun(symmetry: Symmetry, target: Weights, weights: Weights, judge: Judge, *, seed: int = 0) -> Standing:
    """Return a search at its start: a copy of the first model, projected by weight matching.

    The second model as it stands is judged too, so the best is never worse than no permutation.
    """
    names = dict.fromkeys(site.leaf for units in symmetry.classes for site in units.sites if site.compared)
    copy = {name: target[name].float().clone() for name in names}
    still = {name: torch.zeros_like(leaf) for name, leaf in copy.items()}
    identity = symmetry.identity()
    standing = Standing(copy, still, identity, identity, judge(middle(target, weights)))
    return _projected(standing, symmetry, target, weights, judge, seed)


def stepped(  # noqa: PLR0913
    standing: Standing,
    symmetry: Symmetry,
    target: Weights,
    weights: Weights,
    slope: Slope,
    judge: Judge,
    *,
    rate: float,
    seed: int = 0,
) -> Standing:
    """Return the search one step later.

    The loss is that of ½·(A + π(B)), π being the permutations that bring B nearest to the copy; its gradient by π(B)
    goes straight to the copy, as if it were π(B). SGD with momentum 0.9. The projection starts from the last one. New
    permutations are judged, and the best are kept.

    Source: Ainsworth et al. 2023, arXiv:2209.04836, algorithm 2 and its code (`mnist_mlp_ste2.py`). Deviation: the best
    are chosen by the loss on examples that stay the same, where the code takes that of each batch.
    """
    loss, gradient = slope(middle(target, permuted(symmetry, weights, standing.member)), standing.step)
    momentum = {
        name: MOMENTUM * one + 0.5 * gradient[name] if name in gradient else MOMENTUM * one
        for name, one in standing.momentum.items()
    }
    copy = {name: leaf - rate * momentum[name] for name, leaf in standing.copy.items()}
    moved = Standing(
        copy, momentum, standing.member, standing.best, standing.loss, standing.step + 1, loss, standing.judged
    )
    return _projected(moved, symmetry, target, weights, judge, seed)


def _projected(  # noqa: PLR0913
    standing: Standing, symmetry: Symmetry, target: Weights, weights: Weights, judge: Judge, seed: int
) -> Standing:
    """Return it with the permutations nearest to its copy, judged where they are new."""
    *_, found = match_weights(symmetry, standing.copy, weights, seed=seed + standing.step, start=standing.member)
    key = b"".join(found.member[name].tobytes() for name in sorted(found.member))
    best, loss = standing.best, standing.loss
    if key not in standing.judged:
        now = judge(middle(target, permuted(symmetry, weights, found.member)))
        if now < loss:
            best, loss = found.member, now
    return Standing(
        standing.copy, standing.momentum, found.member, best, loss, standing.step, standing.batch,
        standing.judged | {key},
    )  # fmt: skip
