"""Curves as coefficients: θ(t) = Σ cᵢ(t)·wᵢ over an end, bends and the other end, for t from 0 to 1.

Bezier curves have the Bernstein polynomials cᵢ(t) = C(n, i)·tⁱ·(1 − t)ⁿ⁻ⁱ of degree n = bends + 1; a chain of straight
pieces has cᵢ(t) = max(0, 1 − |n·t − i|). Both add up to 1 and are exact at the ends. The first bends away from its
bends, the second passes through them.

Source: Garipov et al. 2018, arXiv:1802.10026, section 3.
"""

from __future__ import annotations

from math import comb
from typing import Literal

__all__ = ["Kind", "coefficients", "slopes"]

Kind = Literal["bezier", "chain"]


def coefficients(kind: Kind, points: int, t: float) -> tuple[float, ...]:
    """Return the share of each of so many points, at least two, in a curve at t in [0, 1].

    >>> coefficients("bezier", 3, 0.5), coefficients("chain", 3, 0.25)
    ((0.25, 0.5, 0.25), (0.5, 0.5, 0.0))
    """
    last = points - 1
    if kind == "chain":
        return tuple(max(0.0, 1.0 - abs(last * t - place)) for place in range(points))
    return tuple(comb(last, place) * t**place * (1.0 - t) ** (last - place) for place in range(points))


def slopes(kind: Kind, points: int, t: float) -> tuple[float, ...]:
    """Return the derivative of each coefficient by t; in a corner of a chain, that of the piece that begins there.

    >>> slopes("bezier", 3, 0.5), slopes("chain", 3, 0.25)
    ((-1.0, 0.0, 1.0), (-2.0, 2.0, 0.0))
    """
    last = points - 1
    if kind == "chain":
        piece = min(int(last * t), last - 1)
        return tuple(-float(last) if place == piece else float(last) * (place == piece + 1) for place in range(points))
    lower = (0.0, *coefficients("bezier", last, t), 0.0)
    return tuple(last * (lower[place] - lower[place + 1]) for place in range(points))
