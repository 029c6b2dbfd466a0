"""Logits along a path from few passes: by polynomials of t through what is known, and by a bridge fitted on examples.

Each takes what is known of logits `[…]` at some t and says what they are at another, in float64:

- nodes: the polynomial through the logits at the Chebyshev points of [0, 1] (the ends are among them); through the two
  ends alone it is their mean weighted by t, an ensemble;
- tangent: first order from the nearer end, z(s) + (t − s)·dz/dt(s);
- cubic: the one polynomial of degree 3 with the logits and the derivatives of both ends;
- bridge: a linear map from the logits of both ends to those at t, fitted by ridge regression.

Source: Trefethen 2013, Approximation Theory and Approximation Practice, chapters 2 and 5 (nodes); Yun et al. 2023,
arXiv:2306.11304 (bridge networks).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

__all__ = ["Bridge", "between", "cubic", "fitted", "nodes", "tangent"]

Floats = NDArray[numpy.float64]


def nodes(count: int) -> tuple[float, ...]:
    """Return so many Chebyshev points of the second kind on [0, 1], in order; at least the two ends.

    >>> nodes(2), nodes(3)
    ((0.0, 1.0), (0.0, 0.5, 1.0))
    """
    last = count - 1
    inner = (0.5 * (1.0 - math.cos(math.pi * place / last)) for place in range(1, last))
    return (0.0, *(0.5 if 2 * place == last else t for place, t in enumerate(inner, 1)), 1.0)


def between(at: Sequence[float], known: Floats, t: float) -> Floats:
    """Return at t the polynomial through values `[k, …]` at Chebyshev points: `[…]`, by the barycentric formula.

    >>> round(float(between((0.0, 0.5, 1.0), numpy.array([0.0, 0.25, 1.0]), 0.3)), 12)
    0.09
    """
    for place, one in enumerate(at):
        if one == t:
            found: Floats = known[place]
            return found
    weights = [(-1.0) ** place for place in range(len(at))]
    weights[0], weights[-1] = 0.5 * weights[0], 0.5 * weights[-1]
    shares = numpy.array([weight / (t - one) for weight, one in zip(weights, at, strict=True)])
    return numpy.tensordot(shares / shares.sum(), known, axes=1)


def tangent(ends: Floats, slopes: Floats, t: float) -> Floats:
    """Return at t what the nearer end says to first order, given values and slopes `[2, …]` of both.

    >>> float(tangent(numpy.array([0.0, 5.0]), numpy.array([2.0, 1.0]), 0.75))
    4.75
    """
    end = 0 if t <= 0.5 else 1  # noqa: PLR2004
    return ends[end] + (t - end) * slopes[end]  # type: ignore[no-any-return]


def cubic(ends: Floats, slopes: Floats, t: float) -> Floats:
    """Return at t the cubic with these values and slopes `[2, …]` at 0 and 1.

    >>> float(cubic(numpy.array([0.0, 1.0]), numpy.array([0.0, 3.0]), 0.5))
    0.125
    """
    s = 1.0 - t
    return (  # type: ignore[no-any-return]
        s * s * ((1.0 + 2.0 * t) * ends[0] + t * slopes[0]) + t * t * ((1.0 + 2.0 * s) * ends[1] - s * slopes[1])
    )


@dataclass(frozen=True, eq=False)
class Bridge:
    """A linear map from the logits of both ends, side by side, to logits at one t."""

    matrix: Floats
    mean: Floats
    offset: Floats

    def __call__(self, ends: Floats) -> Floats:
        """Return logits `[n, classes]` given those of both ends, `[2, n, classes]`."""
        return (_beside(ends) - self.mean) @ self.matrix + self.offset


def fitted(ends: Floats, wanted: Floats, strength: float = 1e-3) -> Bridge:
    """Fit a bridge to logits `[2, n, classes]` of both ends and `[n, classes]` at t: ridge regression with an offset.

    `strength`: the penalty, as a share of the mean square of what goes in. Where a logit is not finite, the bridge
    leads nowhere: all that it gives is not a number.

    >>> ends = numpy.random.default_rng(0).normal(size=(2, 50, 3))
    >>> bridge = fitted(ends, 0.25 * ends[0] + 0.75 * ends[1] + 2.0, strength=0.0)
    >>> bool(numpy.allclose(bridge(ends), 0.25 * ends[0] + 0.75 * ends[1] + 2.0))
    True
    """
    given = _beside(ends)
    if not (numpy.isfinite(given).all() and numpy.isfinite(wanted).all()):
        nothing = numpy.full(wanted.shape[1], math.nan)
        return Bridge(numpy.zeros((given.shape[1], wanted.shape[1])), numpy.zeros(given.shape[1]), nothing)
    mean, offset = given.mean(axis=0), wanted.mean(axis=0)
    centred = given - mean
    gram = centred.T @ centred
    penalty = strength * float(numpy.trace(gram)) / len(gram)
    matrix, *_ = numpy.linalg.lstsq(gram + penalty * numpy.eye(len(gram)), centred.T @ (wanted - offset), rcond=None)
    return Bridge(matrix, mean, offset)


def _beside(ends: Floats) -> Floats:
    return numpy.concatenate((ends[0], ends[1]), axis=1)
