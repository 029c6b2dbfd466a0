"""Mutual information of units: how much what one does says of what the other does, straight or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy
import torch
from numpy.typing import NDArray

from merging_core.alignment.activation_matching import Moments
from merging_core.alignment.observing import Forward, Weights, layers_in, observed
from merging_core.alignment.symmetry import Symmetry
from merging_core.errors import EvaluationError, Problem

__all__ = ["Joint", "edges_of", "joints_of", "signed_gains"]

_SAMPLED = 256
"""Observations of each batch from which the edges of bins come, at most."""
_CELLS = 1 << 28
"""Counts of one class at most: 1 GB."""


@dataclass(eq=False)
class Joint:
    """How often two models' units fell into each pair of bins; it grows batch by batch.

    `edges`: for each model, [size, bins − 1], the upper ends of all bins but the last of each unit.
    """

    edges: tuple[torch.Tensor, torch.Tensor]
    n: int = 0
    counts: torch.Tensor | None = field(default=None, repr=False)

    def add(self, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        """Take in observations [n, size] of both."""
        found = _marks(ours, self.edges[0]).T @ _marks(theirs, self.edges[1])
        self.counts = found if self.counts is None else self.counts.add_(found)
        self.n += len(ours)

    def gains(self) -> NDArray[numpy.float64]:
        """Return the mutual information in nats of our unit i and their unit j, [size, size].

        Iᵢⱼ = Σ over bins u, v of p(u, v)·log(p(u, v) / (p(u)·p(v))), p being shares of the n observations. On average
        it is too large by about (r − 1)·(c − 1) / 2n for units that know nothing of each other, r and c being the bins
        that each of them uses; the same for all pairs of the same r and c, so the order of such pairs stays.
        """
        if self.counts is None:
            raise ValueError("information is of observations")
        size, bins = self.edges[0].shape[0], self.edges[0].shape[1] + 1
        rows = []
        for unit in self.counts.view(size, bins, size, bins):
            joint = unit.movedim(1, 0).double() / self.n
            chance = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
            rows.append(torch.special.xlogy(joint, joint / torch.where(chance > 0, chance, 1.0)).sum((1, 2)))
        return torch.stack(rows).clamp(min=0).cpu().numpy()


def edges_of(observations: Sequence[torch.Tensor], bins: int) -> torch.Tensor:
    """Return the upper ends of all bins but the last of each unit, [size, bins − 1]: its quantiles.

    A value at an end belongs to the bin below, so that what is often exactly 0 has one bin of its own.

    >>> edges_of([torch.tensor([[0.0], [1.0], [2.0], [3.0]])], 2).tolist()
    [[1.5]]
    """
    together = torch.cat(tuple(observations))
    levels = torch.linspace(0, 1, bins + 1, dtype=together.dtype, device=together.device)[1:-1]
    return torch.quantile(together, levels, dim=0).T.contiguous()


def joints_of(
    symmetry: Symmetry, forward: Forward, target: Weights, weights: Weights, batches: Iterable[torch.Tensor], bins: int
) -> dict[str, Joint]:
    """Return the joint counts of every class that layers show, over all batches of rows.

    Two passes: the edges come from at most 256 observations of each batch, evenly spaced, the counts from all. Raises
    EvaluationError with every class that would take more than a gigabyte.

    Source: Li et al. 2015, arXiv:1511.07543, section 3.2. Deviation: there a network estimates it, here bins count.
    """
    rows = tuple(batches)
    models, samples = (target, weights), dict[str, tuple[list[torch.Tensor], list[torch.Tensor]]]()
    for batch in rows:
        for place, model in enumerate(models):
            for name, units in observed(symmetry, model, layers_in(forward, model, batch)).items():
                step = -(-len(units) // _SAMPLED)
                samples.setdefault(name, ([], []))[place].append(units[::step])
    problems = [
        Problem("a class has at most 268 million pairs of bins", f"{size:,} units with {bins} bins each", name, fix)
        for name, (ours, _) in samples.items()
        if ((size := ours[0].shape[1]) * bins) ** 2 > _CELLS
        for fix in ("choose fewer bins or another match",)
    ]
    if problems:
        raise EvaluationError(*problems)
    found = {name: Joint((edges_of(ours, bins), edges_of(theirs, bins))) for name, (ours, theirs) in samples.items()}
    for batch in rows:
        seen = [observed(symmetry, model, layers_in(forward, model, batch)) for model in models]
        for name, joint in found.items():
            joint.add(seen[0][name], seen[1][name])
    return found


def signed_gains(joints: Mapping[str, Joint], moments: Mapping[str, Moments]) -> dict[str, NDArray[numpy.float64]]:
    """Return the mutual information of each pair of units, with the sign of their correlation.

    A unit tells just as much of its opposite as of its like, and no permutation turns a sign: without the sign, units
    that cancel each other would be put in one place.
    """
    return {name: joint.gains() * numpy.sign(moments[name].gains("correlation")) for name, joint in joints.items()}


def _marks(units: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Return a one in the bin of each unit in each observation, [n, size·bins] float32: sums up to 2²⁴ are exact."""
    bins = torch.searchsorted(edges, units.T.contiguous()).T
    found = torch.zeros(*bins.shape, edges.shape[1] + 1, device=units.device)
    return found.scatter_(2, bins[..., None], 1.0).flatten(1)
