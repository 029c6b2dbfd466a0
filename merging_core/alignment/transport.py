"""Optimal-transport fusion: units of one network carried to those of another, of equal width or not, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import identity as diagonal
from scipy.sparse import kron, vstack
from scipy.special import logsumexp

from merging_core.alignment.symmetry import AxisClass, Free, Symmetry
from merging_core.errors import Problem, SpaceError

__all__ = ["Fusion", "costs_of", "entropic_plan", "exact_plan", "fused"]

Weights = Mapping[str, torch.Tensor]
Numbers = NDArray[numpy.float64]
_ROUNDS, _CLOSE = 10_000, 1e-9


@dataclass(frozen=True, eq=False)
class Fusion:
    """A fused model of the first one's widths, the second as it was carried there, and the plan of each class.

    A plan [ours, theirs] says how much of each of their units goes to each of ours; it adds up to 1. `preserving`:
    whether every plan is a permutation, so that what was carried still computes what the second model does.
    """

    weights: Weights
    carried: Weights
    plans: Mapping[str, Numbers]
    preserving: bool


def costs_of(ours: torch.Tensor, theirs: torch.Tensor) -> Numbers:
    """Return the squared distance of each of our rows [n, d] from each of theirs [m, d], [n, m].

    >>> costs_of(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [2.0]])).tolist()
    [[1.0, 4.0], [1.0, 0.0]]
    """
    first, second = ours.double(), theirs.double()
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None, :]
    return (squares - 2 * first @ second.T).clamp(min=0).cpu().numpy()


def exact_plan(costs: Numbers) -> Numbers:
    """Return the plan with the least Σ plan·costs whose rows add up to 1/n and columns to 1/m.

    An assignment where n = m, else a linear program.
    """
    ours, theirs = costs.shape
    if ours == theirs:
        plan = numpy.zeros_like(costs)
        plan[linear_sum_assignment(costs)] = 1.0 / ours
        return plan
    rows = kron(diagonal(ours), numpy.ones((1, theirs)))
    columns = kron(numpy.ones((1, ours)), diagonal(theirs))
    shares = numpy.concatenate((numpy.full(ours, 1.0 / ours), numpy.full(theirs, 1.0 / theirs)))
    found = linprog(costs.reshape(-1), A_eq=vstack((rows, columns)).tocsr(), b_eq=shares, method="highs")
    if found.x is None:
        raise ArithmeticError(f"no plan was found: {found.message}")
    return numpy.asarray(found.x, dtype=numpy.float64).reshape(ours, theirs)


def entropic_plan(costs: Numbers, strength: float) -> Numbers:
    """Return the plan with the least Σ plan·costs + ε·Σ plan·log plan, ε being `strength` times the largest cost.

    Sinkhorn's algorithm in logarithms, until rows add up to 1/n to 1e-9 of it; columns add up to 1/m.

    Source: Cuturi 2013, arXiv:1306.0895.
    """
    ours, theirs = costs.shape
    kernel = -costs / (strength * (float(costs.max()) or 1.0))
    first, second = numpy.zeros(ours), numpy.zeros(theirs)
    for _ in range(_ROUNDS):
        first = -numpy.log(ours) - logsumexp(kernel + second[None, :], axis=1)
        second = -numpy.log(theirs) - logsumexp(kernel + first[:, None], axis=0)
        plan = numpy.exp(kernel + first[:, None] + second[None, :])
        if numpy.abs(plan.sum(1) * ours - 1).max() < _CLOSE:
            break
    return numpy.asarray(plan, dtype=numpy.float64)


def fused(  # noqa: PLR0913
    ours: Symmetry,
    theirs: Symmetry,
    target: Weights,
    weights: Weights,
    *,
    share: float = 0.5,
    strength: float | None = None,
    activations: tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]] | None = None,
) -> Fusion:
    """Return (1 − share)·A + share·T(B), T carrying B's units to A's, class by class in their order.

    The plan of a class comes of what its units do on examples, `activations` [n, size] of both models, or else of the
    weights that write them, B's incoming units being carried already. It is exact, or with a `strength` entropic. What
    writes a unit is the weighted mean of what writes its partners; what reads a unit is divided among its partners, so
    that a unit and its copies are one. Both networks have the same chain of layers, each class written along the first
    axis and read along the second; raises SpaceError with every class for which that does not hold.

    Source: Singh and Jaggi 2020, arXiv:1910.05653, and its code. Deviation: what reads is divided by the marginal of
    the second model, where the code takes that of the first; of equal widths both are the same.
    """
    pairs = _paired(ours, theirs)
    carried, plans = dict(weights), dict[str, Numbers]()
    for first, second in pairs:
        if activations is None:
            costs = costs_of(_writing(first, target), _writing(second, carried))
        else:
            costs = costs_of(activations[0][first.name].T, activations[1][second.name].T)
        plan = exact_plan(costs) if strength is None else entropic_plan(costs, strength)
        plans[first.name] = plan
        write, read = torch.from_numpy(plan * first.size), torch.from_numpy(plan * second.size)
        for site in second.sites:
            leaf = carried[site.leaf]
            moved = leaf.double().movedim(site.axis, 0)
            units = moved.reshape(second.size, -1)
            along = write if site.axis == 0 else read
            shape = (first.size * site.repeat, *moved.shape[1:])
            carried[site.leaf] = (along.to(leaf.device) @ units).reshape(shape).movedim(0, site.axis).to(leaf.dtype)
    middle = {
        name: ((1 - share) * leaf.double() + share * carried[name].double()).to(leaf.dtype)
        for name, leaf in target.items()
    }
    preserving = all(
        bool((numpy.isclose(plan * len(plan), 0) | numpy.isclose(plan * len(plan), 1)).all()) for plan in plans.values()
    )
    return Fusion(middle, carried, plans, preserving)


def _writing(units: AxisClass, weights: Weights) -> torch.Tensor:
    """Return what writes each unit of a class, [size, numbers]."""
    return torch.cat([weights[site.leaf].reshape(units.size, -1).double() for site in units.sites if site.axis == 0], 1)


def _paired(ours: Symmetry, theirs: Symmetry) -> list[tuple[AxisClass, AxisClass]]:
    """Return the classes of both in their order."""
    second = {units.name: units for units in theirs.classes}
    problems, pairs = [], []
    must = "a class is one of a chain of layers, the same in both models"
    for group in ours.groups:
        for units in group.classes:
            other = second.pop(units.name, None)
            places = {(site.leaf, site.axis, site.repeat) for site in units.sites}
            alike = other is not None and places == {(site.leaf, site.axis, site.repeat) for site in other.sites}
            plain = all(site.offset == 0 and site.axis <= 1 and site.compared for site in units.sites)
            if other is None or not (isinstance(group, Free) and alike and plain):
                problems.append(Problem(must, "another", units.name))
            else:
                pairs.append((units, other))
    problems += [Problem(must, "another", name) for name in second]
    if problems:
        raise SpaceError(*problems)
    return pairs
