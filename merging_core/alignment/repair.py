"""REPAIR: a merged model whose units vary as much as its parents', layer by layer, written back into its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import conv2d, linear
from torch.overrides import TorchFunctionMode

from merging_core.alignment.observing import Forward, Weights

__all__ = ["LayerSpread", "Repaired", "Spread", "repaired", "spreads"]

_EPSILON = 1e-5
_LAYERS = {linear: (1, "weight", -1), torch.addmm: (2, "mat2", -1), conv2d: (1, "weight", 1)}
"""Where each kind of layer takes its weight, and along which axis it writes its outputs."""
Spread = tuple[torch.Tensor, torch.Tensor]
"""Mean and standard deviation of each output of a layer, [out] float64."""


@dataclass(frozen=True)
class LayerSpread:
    """How much a layer's outputs vary in the merge, as a share of the parents': mean over its units of the variance."""

    leaf: str
    before: float | None
    after: float


@dataclass(frozen=True, eq=False)
class Repaired:
    """Weights after REPAIR, and the variance of each layer before and after it."""

    weights: Mapping[str, torch.Tensor]
    layers: tuple[LayerSpread, ...]


def spreads(forward: Forward, weights: Weights, rows: torch.Tensor, leaves: Sequence[str]) -> dict[str, Spread]:
    """Return mean and standard deviation of what each of the named layers writes on some rows."""
    watching = _Mending(weights, dict.fromkeys(leaves))
    with torch.enable_grad(), watching:  # where gradients may be taken, layers are torch's own
        forward(weights, rows)
    return watching.seen


def repaired(
    forward: Forward,
    merged: Weights,
    parents: Sequence[Mapping[str, Spread]],
    shares: Sequence[float],
    rows: torch.Tensor,
    leaves: Sequence[str],
    before: Mapping[str, Spread] | None = None,
) -> Repaired:
    """Return the merge with each of the named layers rescaled and shifted, from the first to the last.

    σ* = Σ shareᵢ·σᵢ and μ* = Σ shareᵢ·μᵢ of the parents, each in its own network (`spreads`); W ← (σ*/σ)·W, and
    b ← (σ*/σ)·(b − μ) + μ*, where μ and σ are those of the merge after all layers before were repaired: one pass finds
    them. Standard deviations are interpolated, not variances. A layer without a bias is only rescaled. σ is taken as
    √(σ² + 1e-5). `before`: what the merge's layers write as it is, where that is to be told beside it.

    Source: Jordan et al. 2023, arXiv:2211.08403, section 4, and its code. Deviation: the numbers are those of these
    rows, not running averages over batches.
    """
    goals: dict[str, Spread | None] = {
        leaf: (_mixed([one[leaf][0] for one in parents], shares), _mixed([one[leaf][1] for one in parents], shares))
        for leaf in leaves
    }
    mending = _Mending(merged, goals)
    with torch.enable_grad(), mending:
        forward(merged, rows)
    told = []
    for leaf in leaves:
        vary = torch.stack([one[leaf][1] ** 2 for one in parents]).mean()
        lost = None if before is None else float((before[leaf][1] ** 2).mean() / vary)
        told.append(LayerSpread(leaf, lost, float(mending.after[leaf] / vary)))
    return Repaired({**merged, **mending.weights}, tuple(told))


class _Mending(TorchFunctionMode):
    """Rescales and shifts what layers write while a model runs, and keeps the weights that do the same.

    A layer without a goal is only looked at: `seen` is what each layer writes before it is moved.
    """

    def __init__(self, merged: Weights, goals: Mapping[str, Spread | None]) -> None:
        super().__init__()
        self.seen: dict[str, Spread] = {}
        self.weights: dict[str, torch.Tensor] = {}
        self.after: dict[str, torch.Tensor] = {}
        self._merged, self._goals = merged, goals
        self._names = {id(merged[leaf]): leaf for leaf in goals}
        self._moves: dict[str, Spread] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        known = _LAYERS.get(func)
        if known is None:
            return found
        place, name, axis = known
        leaf = self._names.get(id(args[place] if len(args) > place else (kwargs or {}).get(name)))
        if leaf is None:
            return found
        outputs = found.movedim(axis, -1)
        if leaf not in self.seen:
            self.seen[leaf] = _spread(outputs.detach().flatten(0, -2))
        goal = self._goals[leaf]
        if goal is None:
            return found
        if leaf not in self._moves:
            self._moves[leaf] = self._move(leaf, goal, turned=func is torch.addmm)
        scale, shift = (one.to(found.dtype) for one in self._moves[leaf])
        return (outputs * scale + shift).movedim(-1, axis)

    def _move(self, leaf: str, goal: Spread, *, turned: bool) -> Spread:
        """Return what outputs are multiplied by and what is added, and write both into the weights."""
        mean, spread = self.seen[leaf]
        scale = goal[1] / (spread**2 + _EPSILON).sqrt()
        weight, bias = self._merged[leaf], f"{leaf.removesuffix('weight')}bias"
        along = scale if turned else scale.reshape(-1, *[1] * (weight.dim() - 1))
        self.weights[leaf] = (weight.double() * along).to(weight.dtype)
        self.after[leaf] = ((spread * scale) ** 2).mean()
        if not leaf.endswith("weight") or bias not in self._merged:
            return scale, torch.zeros_like(scale)
        shift = goal[0] - scale * mean
        self.weights[bias] = (self._merged[bias].double() * scale + shift).to(weight.dtype)
        return scale, shift


def _mixed(parts: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    return torch.stack([share * part for share, part in zip(shares, parts, strict=True)]).sum(0)


def _spread(outputs: torch.Tensor) -> Spread:
    variance, mean = torch.var_mean(outputs, dim=0, correction=0)
    return mean.double(), variance.double().sqrt()
