"""Weight matching: the permutations of one model under which its weights lie closest to another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from merging_core.alignment.permuting import entries, permuted
from merging_core.alignment.symmetry import AxisClass, Free, Group, Heads, Indices, Symmetry

__all__ = ["Matching", "at_home", "best_member", "match_weights"]

Weights = Mapping[str, torch.Tensor]
_SWEEPS = 100
_PROGRESS = 1e-12
Gains = Mapping[str, NDArray[numpy.float64]]
"""For each class of a group, [size, size]: what it is worth to put the old unit of a column in the place of a row."""


@dataclass(frozen=True)
class Matching:
    """Permutations that bring one model to another. `gain`: ⟨A, π(B)⟩ over all places; `sweeps` it took."""

    member: Mapping[str, Indices]
    gain: float
    sweeps: int
    complete: bool = False


def match_weights(
    symmetry: Symmetry,
    target: Weights,
    weights: Weights,
    *,
    seed: int = 0,
    restarts: int = 1,
    start: Mapping[str, Indices] | None = None,
    heed: Callable[[], None] = lambda: None,
) -> Iterator[Matching]:
    """Yield ever better permutations π of `weights` that maximise ⟨A, π(B)⟩, A being `target`; the last is complete.

    Coordinate descent: groups in a random order, each assigned optimally while the others stand still, until a sweep
    changes nothing. `restarts` times, from `start` or the identity and then from random members; the best is kept.
    Products are sums in float64. Deterministic by the seed.

    Source: Ainsworth, Hayase and Srinivasa 2023, arXiv:2209.04836, algorithm 1. Deviation: heads of an attention are
    assigned as a whole by the value of their best inner assignments.
    """
    ours = _doubles(symmetry, target), _doubles(symmetry, weights)
    best: Matching | None = None
    for attempt in range(max(1, restarts)):
        chance = numpy.random.default_rng((seed, attempt))
        member = dict(start or symmetry.identity()) if attempt == 0 else symmetry.drawn(int(chance.integers(1 << 31)))
        sweep = 0
        while sweep < _SWEEPS:
            sweep, progress = sweep + 1, False
            for place in chance.permutation(len(symmetry.groups)):
                heed()
                group = symmetry.groups[place]
                gains = {units.name: _gains(symmetry, units, *ours, member) for units in group.classes}
                found = best_member(group, gains)
                before = sum(_pairs(gains[name], member[name]) for name in gains)
                if sum(_pairs(gains[name], found[name]) for name in gains) > before + _PROGRESS * max(1.0, abs(before)):
                    member, progress = {**member, **found}, True
            reached = Matching(dict(member), _agreement(symmetry, *ours, member), sweep)
            if best is None or reached.gain > best.gain:
                best = reached
            yield best
            if not progress:
                break
    if best is None:
        raise RuntimeError("a matching has a sweep")
    yield Matching(best.member, best.gain, best.sweeps, complete=True)


def at_home(symmetry: Symmetry, target: Weights, weights: Weights) -> float:
    """Return the share of units whose weights agree most with those of their namesake, in [0, 1]; 0 without units.

    Near 1, the models are aligned already: they were fine-tuned from one base. From different starts it is about one
    over the number of units.
    """
    ours, member = (_doubles(symmetry, target), _doubles(symmetry, weights)), symmetry.identity()
    found, total = 0, 0
    for units in symmetry.classes:
        gains = _gains(symmetry, units, *ours, member)
        found += int((gains.argmax(axis=1) == numpy.arange(units.size)).sum())
        total += units.size
    return found / total if total else 0.0


def best_member(group: Group, gains: Gains) -> dict[str, Indices]:
    """Return the member of a group that gains most, exactly for free groups and for heads without shared keys."""
    if isinstance(group, Free):
        return {group.name: _assigned(gains[group.name])[0]}
    if isinstance(group, Heads):
        return _best_heads(group, gains)
    raise TypeError(f"no assignment for {type(group).__name__}")


def _best_heads(group: Heads, gains: Gains) -> dict[str, Indices]:
    """Assign key heads, for each pair the query heads, and for those the units within."""
    each, shared, (width, value_width) = group.heads // group.shared, group.shared, group.widths
    queries = gains[group.queries.name].reshape(shared, each, width, shared, each, width)
    keys = gains[group.keys.name].reshape(shared, width, shared, width)
    values = gains[group.values.name].reshape(shared, value_width, shared, value_width)
    outputs = gains[group.outputs.name].reshape(shared, each, value_width, shared, each, value_width)
    worth = numpy.empty((shared, shared))
    inner: dict[tuple[int, int], tuple[Indices, Indices, Indices]] = {}
    for new in range(shared):
        for old in range(shared):
            inner[new, old] = within = _best_within(
                queries[new, :, :, old], keys[new, :, old], values[new, :, old], outputs[new, :, :, old], group.rotary
            )
            worth[new, old] = _worth(
                queries[new, :, :, old], keys[new, :, old], values[new, :, old], outputs[new, :, :, old], *within
            )
    order = _assigned(worth)[0]
    chosen = [inner[new, int(old)] for new, old in enumerate(order)]
    rows = (numpy.stack([one[part] for one in chosen]) for part in range(3))
    return group.made(order, *rows)


def _best_within(
    queries: NDArray[numpy.float64],
    keys: NDArray[numpy.float64],
    values: NDArray[numpy.float64],
    outputs: NDArray[numpy.float64],
    rotary: bool,
) -> tuple[Indices, Indices, Indices]:
    """Return the order of query heads and of units within a pair of key heads: in turns, until neither gains."""
    each, width = queries.shape[0], keys.shape[0]
    heads, tied = numpy.arange(each), numpy.arange(width)
    inside = numpy.arange(values.shape[0])
    last = -numpy.inf
    while True:
        picked = numpy.arange(each)
        if not rotary:
            tied = _assigned(keys + sum(queries[new, :, heads[new]] for new in picked))[0]
        inside = _assigned(values + sum(outputs[new, :, heads[new]] for new in picked))[0]
        if each > 1:
            of_heads = [
                [_pairs(queries[new, :, old], tied) + _pairs(outputs[new, :, old], inside) for old in picked]
                for new in picked
            ]
            heads = _assigned(numpy.array(of_heads))[0]
        now = _worth(queries, keys, values, outputs, heads, tied, inside)
        if each == 1 or now <= last + _PROGRESS:
            return heads, tied, inside
        last = now


def _worth(
    queries: NDArray[numpy.float64],
    keys: NDArray[numpy.float64],
    values: NDArray[numpy.float64],
    outputs: NDArray[numpy.float64],
    heads: Indices,
    tied: Indices,
    inside: Indices,
) -> float:
    of_queries = sum(_pairs(queries[new, :, old], tied) for new, old in enumerate(heads))
    of_outputs = sum(_pairs(outputs[new, :, old], inside) for new, old in enumerate(heads))
    return of_queries + of_outputs + _pairs(keys, tied) + _pairs(values, inside)


def _gains(
    symmetry: Symmetry, units: AxisClass, target: Weights, weights: Weights, member: Mapping[str, Indices]
) -> NDArray[numpy.float64]:
    """Return Σ over the places of a class of A·π(B)ᵀ, [size, size], π permuting every other axis of the leaf."""
    total = torch.zeros(units.size, units.size, dtype=torch.float64)
    for site in (site for site in units.sites if site.compared):
        ours, theirs = target[site.leaf], weights[site.leaf]
        for other in symmetry.classes:
            for place in other.sites:
                if place.leaf == site.leaf and place.axis != site.axis:
                    moved = entries(member[other.name], theirs.shape[place.axis], place.offset, place.repeat)
                    theirs = theirs.index_select(place.axis, torch.from_numpy(moved))
        rows = [
            leaf.narrow(site.axis, site.offset, units.size * site.repeat).movedim(site.axis, 0).reshape(units.size, -1)
            for leaf in (ours, theirs)
        ]
        total += rows[0] @ rows[1].T
    return total.numpy()


def _agreement(symmetry: Symmetry, target: Weights, weights: Weights, member: Mapping[str, Indices]) -> float:
    moved = permuted(symmetry, weights, member)
    return float(sum((target[name] * moved[name]).sum() for name in target))


def _assigned(gains: NDArray[numpy.float64]) -> tuple[Indices, float]:
    rows, columns = linear_sum_assignment(gains, maximize=True)
    return columns.astype(numpy.int64), float(gains[rows, columns].sum())


def _pairs(gains: NDArray[numpy.float64], indices: Indices) -> float:
    return float(gains[numpy.arange(len(indices)), indices].sum())


def _doubles(symmetry: Symmetry, weights: Weights) -> dict[str, torch.Tensor]:
    """Return the leaves that have places to compare, in float64."""
    names = dict.fromkeys(site.leaf for units in symmetry.classes for site in units.sites if site.compared)
    return {name: weights[name].double() for name in names}
