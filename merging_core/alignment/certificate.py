"""Certificates: a symmetry is believed where a random member, applied in float64, leaves the outputs as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from merging_core.alignment.permuting import permuted
from merging_core.alignment.symmetry import Group, Symmetry

__all__ = ["TOLERANCE", "Certificate", "Frozen", "certified"]

Weights = Mapping[str, torch.Tensor]
Forward = Callable[[Weights, torch.Tensor], torch.Tensor]
TOLERANCE = 1e-6
"""Largest change of an output, as a share of the largest output, that counts as none."""


@dataclass(frozen=True)
class Frozen:
    """A group that stays as it is, with what its member changed (a share of the largest output), or why it had none."""

    group: str
    change: float
    why: str = ""


@dataclass(frozen=True)
class Certificate:
    """Which groups hold. `change`: what a random member of all of them together changed."""

    symmetry: Symmetry
    frozen: tuple[Frozen, ...]
    change: float
    n: int

    @property
    def sentence(self) -> str:
        """Say it in one line."""
        held, all_ = len(self.symmetry.groups), len(self.symmetry.groups) + len(self.frozen)
        kept = f"; kept as they are: {', '.join(one.group for one in self.frozen)}" if self.frozen else ""
        return f"certified {held} of {all_} groups on {self.n} inputs{kept}"


def certified(
    claimed: Symmetry, forward: Forward, weights: Weights, inputs: torch.Tensor, *, seed: int = 0
) -> Certificate:
    """Try claimed symmetries on a model: all at once, and where that changes the outputs, ever smaller halves.

    `weights` and `inputs` are taken in float64 where they are floating. The largest change of an output must be at most
    `TOLERANCE` times the largest output. Raises SpaceError where a claim names what is not there.

    Source: ours; every published fault of a specification (a typo, heads permuted flat, running statistics left out)
    changes outputs, so one random member finds it with probability close to 1.
    """
    claimed.check({name: tuple(leaf.shape) for name, leaf in weights.items()})
    precise = {name: leaf.double() if leaf.is_floating_point() else leaf for name, leaf in weights.items()}
    rows = inputs.double() if inputs.is_floating_point() else inputs
    with torch.no_grad():
        truth = forward(precise, rows)
        scale = float(truth[torch.isfinite(truth)].abs().max())
        member = claimed.drawn(seed)

        def change(groups: Sequence[Group]) -> float:
            moved = permuted(Symmetry(tuple(groups)), precise, member)
            return _distance(forward(moved, rows), truth) / (scale or 1.0)

        frozen = tuple(Frozen(group.name, found) for group, found in _guilty(claimed.groups, change))
        names = frozenset(group.name for group in claimed.groups) - {one.group for one in frozen}
        held = claimed.only(names)
        return Certificate(held, frozen, change(held.groups), len(inputs))


def _guilty(groups: Sequence[Group], change: Callable[[Sequence[Group]], float]) -> list[tuple[Group, float]]:
    """Return the groups that change something on their own, found by halving."""
    if not groups:
        return []
    found = change(groups)
    if found <= TOLERANCE:
        return []
    if len(groups) == 1:
        return [(groups[0], found)]
    middle = len(groups) // 2
    guilty = _guilty(groups[:middle], change) + _guilty(groups[middle:], change)
    return guilty or [(group, found) for group in groups]


def _distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the largest difference; infinite where one is finite and the other is not."""
    same = torch.isfinite(first) == torch.isfinite(second)
    if not bool(same.all()):
        return float("inf")
    both = torch.isfinite(first)
    return float((first[both] - second[both]).abs().max()) if bool(both.any()) else 0.0
