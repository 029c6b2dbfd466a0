"""Where one looks in a subspace: its models, the middles between them, their mean, and places drawn by chance.

A place is one weight a model. In the *hull* the weights add up to 1 and θ = Σ aᵢ·θᵢ; in the *span* around the base they
are free and θ = θ₀ + Σ aᵢ·(θᵢ − θ₀).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy
from numpy.typing import NDArray

__all__ = ["LEAST", "MOST", "Place", "directions", "drawn", "inside", "named", "rounded"]

LEAST, MOST = -0.5, 1.5
"""Between which a weight stays."""
_DIGITS = 4
_SUM = 0.3
"""How much of the sum of all task vectors is looked at: the default of task arithmetic."""

Weights = tuple[float, ...]


@dataclass(frozen=True)
class Place:
    """One place. `kind`: model, base, middle, centroid, sum, random or search; `models`: those it is made of."""

    kind: str
    weights: Weights
    models: tuple[int, ...] = ()


def named(models: int, around_base: bool) -> Iterator[Place]:
    """Yield the places that have a name, those at models first.

    >>> [place.weights for place in named(2, False)]
    [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]
    >>> [place.kind for place in named(2, True)]
    ['base', 'model', 'model', 'middle', 'sum']
    """
    everyone = tuple(range(models))
    if around_base:
        yield Place("base", (0.0,) * models)
    for model in everyone:
        yield Place("model", _on((model,), models, 1.0), (model,))
    if models > 2:
        yield Place("centroid", _on(everyone, models, 1.0 / models), everyone)
    for pair in combinations(everyone, 2):
        yield Place("middle", _on(pair, models, 0.5), pair)
    if around_base:
        yield Place("sum", (_SUM,) * models, everyone)


def drawn(models: int, count: int, seed: int, around_base: bool) -> Iterator[Place]:
    """Yield places by chance: evenly among weights that add up to 1, or among weights from 0 to 1."""
    chance = numpy.random.Generator(numpy.random.PCG64([seed, models]))
    for _ in range(count):
        weights = chance.uniform(0.0, 1.0, models) if around_base else chance.dirichlet(numpy.ones(models))
        yield Place("random", rounded(weights, around_base))


def directions(models: int, around_base: bool) -> list[NDArray[numpy.float64]]:
    """Return along what a search goes: more of one model, and in the hull less of all others alike.

    >>> [one.tolist() for one in directions(3, False)][0]
    [1.0, -0.5, -0.5]
    """
    whole = numpy.eye(models)
    return list(whole if around_base else whole - (1.0 - whole) / (models - 1))


def rounded(weights: Sequence[float] | NDArray[numpy.float64], around_base: bool) -> Weights:
    """Return weights of a few digits; in the hull the largest takes what rounding leaves."""
    found = [round(float(weight), _DIGITS) + 0.0 for weight in weights]
    if not around_base:
        largest = max(range(len(found)), key=found.__getitem__)
        found[largest] = round(found[largest] + 1.0 - sum(found), _DIGITS)
    return tuple(found)


def inside(weights: Sequence[float]) -> bool:
    """Say whether all weights are ones that are looked at."""
    return all(LEAST <= weight <= MOST for weight in weights)


def _on(some: Sequence[int], models: int, weight: float) -> Weights:
    return tuple(weight if model in some else 0.0 for model in range(models))
