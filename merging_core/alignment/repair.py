"""REPAIR: a merged model whose units vary as much as its parents', layer by layer, written back into its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from merging_core.alignment.observing import Forward, Weights, layers_in

__all__ = ["LayerSpread", "Repaired", "repaired"]

_EPSILON = 1e-5
Statistics = tuple[torch.Tensor, torch.Tensor]
"""Mean and standard deviation of each output of a layer, [out] float64."""


@dataclass(frozen=True)
class LayerSpread:
    """How much a layer's outputs vary in the merge, as a share of the parents': mean over its units of the variance."""

    leaf: str
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Repaired:
    """Weights after REPAIR, and the variance of each layer before and after it."""

    weights: Mapping[str, torch.Tensor]
    layers: tuple[LayerSpread, ...]


def repaired(
    forward: Forward,
    merged: Weights,
    parents: Sequence[Weights],
    shares: Sequence[float],
    rows: torch.Tensor,
    leaves: Sequence[str],
) -> Repaired:
    """Return the merge with each of the named layers rescaled and shifted, from the first to the last.

    σ* = Σ shareᵢ·σᵢ and μ* = Σ shareᵢ·μᵢ of the parents, each in its own network; W ← (σ*/σ)·W, and
    b ← (σ*/σ)·(b − μ) + μ*, where μ and σ are those of the merge after all layers before were repaired. Standard
    deviations are interpolated, not variances. A layer without a bias is only rescaled. σ is taken as √(σ² + 1e-5).

    Source: Jordan et al. 2023, arXiv:2211.08403, section 4, and its code. Deviation: one pass over the rows for each
    layer instead of running averages, so the numbers are those of these rows.
    """
    known = [{layer.leaf: _statistics(layer.output(one)) for layer in layers_in(forward, one, rows)} for one in parents]
    before = {layer.leaf: _statistics(layer.output(merged)) for layer in layers_in(forward, merged, rows)}
    weights, told = dict(merged), []
    for leaf in leaves:
        goal = tuple(
            torch.stack([share * one[leaf][part] for share, one in zip(shares, known, strict=True)]).sum(0)
            for part in (0, 1)
        )
        layer = next(one for one in layers_in(forward, weights, rows) if one.leaf == leaf)
        mean, spread = _statistics(layer.output(weights))
        scale = goal[1] / (spread**2 + _EPSILON).sqrt()
        weight = weights[leaf]
        along = scale if layer.turned else scale.reshape(-1, *[1] * (weight.dim() - 1))
        weights[leaf] = (weight.double() * along).to(weight.dtype)
        if layer.bias:
            bias = weights[layer.bias]
            weights[layer.bias] = ((bias.double() - mean) * scale + goal[0]).to(bias.dtype)
        parents_vary = torch.stack([one[leaf][1] ** 2 for one in known]).mean()
        now = (spread * scale) ** 2
        told.append(
            LayerSpread(leaf, float((before[leaf][1] ** 2).mean() / parents_vary), float(now.mean() / parents_vary))
        )
    return Repaired(weights, tuple(told))


def _statistics(outputs: torch.Tensor) -> Statistics:
    return outputs.mean(0), outputs.var(0, unbiased=False).sqrt()
