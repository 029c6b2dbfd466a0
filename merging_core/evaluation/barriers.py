"""The barrier: how high a path rises above the chord between its ends, in every variant that papers use.

With values L(t), t in [0, 1], and L(0), L(1) at the ends:

- *barrier* B = max over t of L(t) − [(1 − t)·L(0) + t·L(1)],
- *above the mean of the ends* = max over t of L(t) − ½·[L(0) + L(1)],
- *above the worse end* = max over t of L(t) − max(L(0), L(1)),
- *midpoint gap* = L(½) − ½·[L(0) + L(1)], negative where the middle beats the chord.

The first three are never negative on a grid that holds both ends. The second is positive even on a straight line with
unequal ends. On error, 1 − accuracy, each is an *error barrier*.

Source: Entezari et al. 2022, arXiv:2110.06296, definition 1 (barrier); Ainsworth et al. 2023, arXiv:2209.04836, code
(mean of the ends); Frankle et al. 2020, arXiv:1912.05671 (error). Deviation: the maximum is over a grid, so it is a
lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike, NDArray

from merging_core.errors import EvaluationError, Problem

__all__ = ["Barrier", "Rises", "barrier_of", "gaps", "rises"]

_MIDDLE = 1e-9


@dataclass(frozen=True)
class Barrier:
    """How far a path rises above the chord between its ends.

    `height` ≥ 0; `at`: the t of the maximum in units of the range, `share` the same t scaled to [0, 1]; `midpoint_gap`:
    value − chord in the middle, negative where the middle beats the chord, None if the middle was not measured;
    `ends`: the values at both ends; `above_mean`, `above_worse`: the other two variants. Units: nats for loss, a
    fraction for error.
    """

    height: float
    at: float
    share: float
    midpoint_gap: float | None
    ends: tuple[float, float]
    above_mean: float
    above_worse: float

    def as_json(self) -> dict[str, object]:
        """Return plain values; what is not finite is null."""
        return {
            "height": _finite(self.height),
            "at": self.at,
            "share": self.share,
            "midpoint_gap": None if self.midpoint_gap is None else _finite(self.midpoint_gap),
            "ends": [_finite(end) for end in self.ends],
            "above_mean": _finite(self.above_mean),
            "above_worse": _finite(self.above_worse),
        }


@dataclass(frozen=True, eq=False)
class Rises:
    """The variants for many rows of values at once, `[...]` each; `place`: where in a row the barrier is.

    `midpoint_gap` is None where no value stands in the middle.
    """

    barrier: NDArray[numpy.float64]
    place: NDArray[numpy.int64]
    above_mean: NDArray[numpy.float64]
    above_worse: NDArray[numpy.float64]
    midpoint_gap: NDArray[numpy.float64] | None


def gaps(values: ArrayLike, shares: ArrayLike) -> NDArray[numpy.float64]:
    """Return value − chord of rows `[..., T]` at the shares `[T]` of the way, 0 first and 1 last.

    It is 0 at both ends; what is not finite is infinite.

    >>> gaps([1.0, 4.0, 3.0], [0.0, 0.5, 1.0]).tolist()
    [0.0, 2.0, 0.0]
    """
    found, at = numpy.asarray(values, dtype=numpy.float64), numpy.asarray(shares, dtype=numpy.float64)
    with numpy.errstate(invalid="ignore", over="ignore"):
        out = found - ((1.0 - at) * found[..., :1] + at * found[..., -1:])
    out = numpy.where(numpy.isfinite(out), out, math.inf)
    out[..., 0] = out[..., -1] = 0.0
    return out


def rises(values: ArrayLike, shares: ArrayLike) -> Rises:
    """Return every variant of rows `[..., T]` at the shares `[T]` of the way, 0 first and 1 last.

    >>> found = rises([0.0, 0.5, 1.0], [0.0, 0.5, 1.0])
    >>> float(found.barrier), float(found.above_mean), float(found.above_worse)
    (0.0, 0.5, 0.0)
    """
    found, at = numpy.asarray(values, dtype=numpy.float64), numpy.asarray(shares, dtype=numpy.float64)
    above = gaps(found, at)
    place = above.argmax(axis=-1)
    first, last = found[..., 0], found[..., -1]
    middle = numpy.flatnonzero(numpy.abs(at - 0.5) < _MIDDLE)
    with numpy.errstate(invalid="ignore", over="ignore"):
        top = found.max(axis=-1)
        mean, worse = top - 0.5 * (first + last), top - numpy.maximum(first, last)
    return Rises(
        above.max(axis=-1),
        place,
        numpy.where(numpy.isfinite(mean), mean, math.inf),
        numpy.where(numpy.isfinite(worse), worse, math.inf),
        above[..., middle[0]] if len(middle) else None,
    )


def barrier_of(values: Sequence[float], ts: Sequence[float]) -> Barrier:
    """Return the barrier of values at `ts`, both ends included; over another range than [0, 1], t is scaled to it.

    A value that is not finite makes the height infinite. Raises EvaluationError unless there are two values at least,
    at rising t.

    >>> barrier_of([1.0, 4.0, 2.5, 3.0, 3.0], [0.0, 0.25, 0.5, 0.75, 1.0]).height
    2.5
    """
    if len(values) != len(ts) or len(ts) < 2 or any(low >= high for low, high in zip(ts, ts[1:], strict=False)):
        must = "a barrier is over at least two values at rising t"
        raise EvaluationError(Problem(must, f"{len(values)} values at {len(ts)} places", "barrier"))
    shares = [(t - ts[0]) / (ts[-1] - ts[0]) for t in ts]
    found = rises(values, shares)
    place = int(found.place)
    return Barrier(
        float(found.barrier),
        ts[place],
        shares[place],
        None if found.midpoint_gap is None else float(found.midpoint_gap),
        (values[0], values[-1]),
        float(found.above_mean),
        float(found.above_worse),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
