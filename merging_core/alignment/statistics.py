"""Batch normalisation after a merge: running statistics that are those of the merge, not a mean of its parents'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from merging_core.alignment.observing import Forward, Weights, layers_in
from merging_core.alignment.repair import LayerSpread, Repaired

__all__ = ["re_estimated"]

_EPSILON = 1e-5


def re_estimated(
    forward: Forward,
    merged: Weights,
    parents: Sequence[Weights],
    rows: torch.Tensor,
    statistics: Mapping[str, tuple[str, str]],
) -> Repaired:
    """Return the merge with the running statistics that its layers have on rows, from the first layer to the last.

    `statistics`: for each layer that batch normalisation follows, the leaves with mean and variance of what it writes.
    They are exact for these rows: each layer is measured after all layers before it were, over rows and positions; the
    variance is that of the rows, divided by n. What is told of a layer is the variance after normalisation, as a share
    of the parents', the parents with the statistics they bring.

    Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.2 (`bn_update`), and Jordan et al. 2023, arXiv:2211.08403,
    section 3. Deviation: one pass over the rows for each layer instead of running averages.
    """
    weights, told = dict(merged), []
    of_parents = [_measured(forward, one, rows, tuple(statistics)) for one in parents]
    before = _measured(forward, merged, rows, tuple(statistics))
    for leaf in before:
        mean, variance = statistics[leaf]
        found = _measured(forward, weights, rows, (leaf,))[leaf]
        for name, value in zip((mean, variance), found, strict=True):
            weights[name] = value.to(weights[name].dtype)
        goal = torch.stack(
            [_normalised(known[leaf][1], one[variance]) for known, one in zip(of_parents, parents, strict=True)]
        ).mean()
        shares = (
            float(_normalised(known[leaf][1], one[variance]).mean() / goal)
            for known, one in ((before, merged), ({leaf: found}, weights))
        )
        told.append(LayerSpread(leaf, *shares))
    return Repaired(weights, tuple(told))


def _measured(
    forward: Forward, weights: Weights, rows: torch.Tensor, leaves: Sequence[str]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return mean and variance of what these layers write, in the order in which they run."""
    found = {}
    for layer in layers_in(forward, weights, rows):
        if layer.leaf in leaves:
            written = layer.output(weights)
            found[layer.leaf] = written.mean(0), written.var(0, unbiased=False)
    return found


def _normalised(variance: torch.Tensor, running: torch.Tensor) -> torch.Tensor:
    """Return what variance is left after division by the running one."""
    return variance / (running.double() + _EPSILON)
