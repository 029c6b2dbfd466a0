"""Activation matching: units that do the same on examples are the same unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy
import torch
from numpy.typing import NDArray

from merging_core.alignment.observing import Forward, Weights, layers_in, observed
from merging_core.alignment.symmetry import Indices, Symmetry
from merging_core.alignment.weight_matching import best_member

__all__ = ["Cost", "Moments", "match_activations", "match_gains", "moments_of", "take_in"]

Cost = Literal["correlation", "l2"]


@dataclass(eq=False)
class Moments:
    """Sums over observations of two models' units, [size] and [size, size] float64; they grow batch by batch."""

    n: int = 0
    sums: tuple[torch.Tensor, torch.Tensor] | None = None
    squares: tuple[torch.Tensor, torch.Tensor] | None = None
    products: torch.Tensor | None = field(default=None)

    def add(self, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        """Take in observations [n, size] of both."""
        found = (ours.sum(0), theirs.sum(0)), ((ours**2).sum(0), (theirs**2).sum(0)), ours.T @ theirs
        if self.sums is None or self.squares is None or self.products is None:
            self.sums, self.squares, self.products = found
        else:
            self.sums = self.sums[0] + found[0][0], self.sums[1] + found[0][1]
            self.squares = self.squares[0] + found[1][0], self.squares[1] + found[1][1]
            self.products = self.products + found[2]
        self.n += len(ours)

    def gains(self, cost: Cost) -> NDArray[numpy.float64]:
        """Return what it is worth to put their unit j in the place of our unit i, [size, size].

        `correlation`: Pearson's; 0 where a unit never changes. `l2`: −E‖aᵢ − bⱼ‖².
        """
        if self.sums is None or self.squares is None or self.products is None:
            raise ValueError("moments are of observations")
        ours, theirs = (one / self.n for one in self.sums)
        squares = tuple(one / self.n for one in self.squares)
        products = self.products / self.n
        if cost == "l2":
            return (2 * products - squares[0][:, None] - squares[1][None, :]).numpy()
        spread = [(square - mean**2).clamp(min=0).sqrt() for square, mean in zip(squares, (ours, theirs), strict=True)]
        floor = 1e-12 * max(float(square.abs().max()) for square in squares) ** 0.5
        covariance = products - ours[:, None] * theirs[None, :]
        known = (spread[0][:, None] > floor) & (spread[1][None, :] > floor)
        scale = spread[0][:, None] * spread[1][None, :]
        return torch.where(known, covariance / torch.where(known, scale, 1.0), 0.0).clamp(-1, 1).numpy()


def moments_of(
    symmetry: Symmetry, forward: Forward, target: Weights, weights: Weights, batches: Iterable[torch.Tensor]
) -> dict[str, Moments]:
    """Return the moments of every class that layers show, over all batches of rows."""
    found: dict[str, Moments] = {}
    for rows in batches:
        take_in(found, symmetry, forward, target, weights, rows)
    return found


def take_in(  # noqa: PLR0913
    moments: dict[str, Moments],
    symmetry: Symmetry,
    forward: Forward,
    target: Weights,
    weights: Weights,
    rows: torch.Tensor,
) -> None:
    """Add what both models' units do on some more rows."""
    ours, theirs = (observed(symmetry, one, layers_in(forward, one, rows)) for one in (target, weights))
    for name, activations in ours.items():
        moments.setdefault(name, Moments()).add(activations, theirs[name])


def match_activations(
    symmetry: Symmetry, moments: Mapping[str, Moments], cost: Cost = "correlation"
) -> tuple[dict[str, Indices], dict[str, NDArray[numpy.float64]]]:
    """Return the permutations of the second model under which its units do what the first one's do, and how well.

    The second answer is the correlation of each matched unit, [size] for each class. Classes that were not observed,
    or that are tied to one that was not, keep their order.

    Source: Li et al. 2015, arXiv:1511.07543, and Ainsworth et al. 2023, arXiv:2209.04836, section 3.1 (there without
    centring); Jordan et al. 2023, arXiv:2211.08403 (correlation).
    """
    member = match_gains(symmetry, {name: one.gains(cost) for name, one in moments.items()})
    alike = {
        name: one.gains("correlation")[numpy.arange(len(member[name])), member[name]] for name, one in moments.items()
    }
    return member, alike


def match_gains(symmetry: Symmetry, gains: Mapping[str, NDArray[numpy.float64]]) -> dict[str, Indices]:
    """Return the permutations that gain most, where gains [size, size] are known for every class of a group."""
    member = symmetry.identity()
    for group in symmetry.groups:
        names = [units.name for units in group.classes]
        if all(name in gains for name in names):
            member |= best_member(group, {name: gains[name] for name in names})
    return member
