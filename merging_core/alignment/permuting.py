"""Permutations at work: a model with its units in another order, and permutations one after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy
import torch

from merging_core.alignment.symmetry import Indices, Symmetry

__all__ = ["after", "entries", "inverse", "permuted"]


def permuted(
    symmetry: Symmetry, weights: Mapping[str, torch.Tensor], member: Mapping[str, Indices]
) -> dict[str, torch.Tensor]:
    """Return weights with the units of every class in the order of its permutation.

    Along each place of a class, new[i] = old[indices[i]]. Leaves of no class, and classes without a permutation, stay
    as they are and are shared. Shapes and dtypes stay.

    >>> from merging_core.alignment.symmetry import AxisClass, Free, Site, Symmetry
    >>> hidden = Free(AxisClass("hidden", 2, (Site("in.weight", 0), Site("out.weight", 1))))
    >>> weights = {"in.weight": torch.tensor([[1.0], [2.0]]), "out.weight": torch.tensor([[3.0, 4.0]])}
    >>> swapped = permuted(Symmetry((hidden,)), weights, {"hidden": numpy.array([1, 0])})
    >>> swapped["in.weight"].tolist(), swapped["out.weight"].tolist()
    ([[2.0], [1.0]], [[4.0, 3.0]])
    """
    found = dict(weights)
    for units in symmetry.classes:
        indices = member.get(units.name)
        if indices is None or (indices == numpy.arange(units.size)).all():
            continue
        for site in units.sites:
            leaf = found.get(site.leaf)
            if leaf is not None:
                places = torch.from_numpy(entries(indices, leaf.shape[site.axis], site.offset, site.repeat))
                found[site.leaf] = leaf.index_select(site.axis, places.to(leaf.device))
    return found


def entries(indices: Indices, length: int, offset: int = 0, repeat: int = 1) -> Indices:
    """Return the order of all entries of an axis of which the units from `offset` on are permuted.

    >>> entries(numpy.array([1, 0]), 5, offset=1, repeat=2).tolist()
    [0, 3, 4, 1, 2]
    """
    found = numpy.arange(length)
    moved = (indices[:, None] * repeat + numpy.arange(repeat)).reshape(-1)
    found[offset : offset + len(moved)] = offset + moved
    return found


def after(first: Mapping[str, Indices], then: Mapping[str, Indices]) -> dict[str, Indices]:
    """Return the permutations that do `first` and `then` the others.

    >>> turn = {"hidden": numpy.array([1, 2, 0])}
    >>> after(turn, turn)["hidden"].tolist(), after(turn, inverse(turn))["hidden"].tolist()
    ([2, 0, 1], [0, 1, 2])
    """
    return {name: first[name][indices] for name, indices in then.items()}


def inverse(member: Mapping[str, Indices]) -> dict[str, Indices]:
    """Return the permutations that undo these."""
    return {name: numpy.argsort(indices) for name, indices in member.items()}
