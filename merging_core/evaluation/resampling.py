"""Paired bootstrap of curves: the same resampled examples at every point, each task by itself.

`intervals` needs counts of right and wrong only; a mean loss needs the losses themselves. Examples are drawn with
replacement within two halves (every other example), which are strata as the tasks are, so that a place can be chosen on
one half and judged on the other. Tokens of one text depend on their neighbours: there, whole runs of neighbours are
drawn (⌊√n⌋ runs, as for the interval of a mean). Draws come from PCG64, seeded by a number and a name: more tasks or
more points do not change them.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 8 and 10 (strata; bias); Künsch 1989,
Annals of Statistics 17 (blocks).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from merging_core.evaluation.intervals import RESAMPLES, Interval

__all__ = ["Drawn", "averaged", "joined", "percentiles", "resampled"]

Floats = NDArray[numpy.float64]
_AT_ONCE = 1 << 21
"""Draws held at once."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Means of K rows over examples: `means` `[K]`, and in each of R resamples, `draws` `[R, K]`."""

    means: Floats
    draws: Floats

    def of(self, rows: slice) -> Drawn:
        """Return those of some rows only."""
        return Drawn(self.means[rows], self.draws[:, rows])


def resampled(
    values: Floats, seed: int, name: str, *, runs: bool = False, draws: int = RESAMPLES
) -> tuple[tuple[Drawn, ...], Drawn]:
    """Return the means of rows `[K, n]` over each half of the examples, and over all; one example is one half.

    `name`: what is resampled, such as a task and its split; with the seed it fixes the draws. `runs`: whether
    neighbours depend on each other. `draws`: how many resamples.

    >>> halves, whole = resampled(numpy.array([[1.0, 2.0, 3.0, 4.0]]), 0, "digits validation")
    >>> [half.means.tolist() for half in halves], whole.means.tolist(), whole.draws.shape
    ([[2.0], [3.0]], [2.5], (1000, 1))
    """
    n = values.shape[1]
    starts = _starts(n) if runs else numpy.arange(n)
    sums = numpy.add.reduceat(values, starts, axis=1) if runs else values
    sizes = numpy.diff(numpy.append(starts, n)).astype(numpy.float64)
    words = hashlib.sha256(name.encode()).digest()[:8]
    generator = numpy.random.Generator(numpy.random.PCG64([seed, int.from_bytes(words, "big")]))
    parts = [slice(0, None, 2), slice(1, None, 2)] if len(starts) > 1 else [slice(0, None)]
    totals = [_drawn(sums[:, part], sizes[part], generator, draws) for part in parts]
    halves = tuple(_means(total) for total in totals)
    together = [sum((total[i] for total in totals[1:]), start=totals[0][i]) for i in range(4)]
    whole = _means((together[0], together[1], together[2], together[3]))
    return halves, whole


def averaged(tasks: Sequence[Drawn]) -> Drawn:
    """Return the mean over tasks, each counting alike."""
    means = sum((task.means for task in tasks[1:]), start=tasks[0].means)
    draws = sum((task.draws for task in tasks[1:]), start=tasks[0].draws)
    return Drawn(means / len(tasks), draws / len(tasks))


def joined(one: Drawn, other: Drawn) -> Drawn:
    """Return rows after rows, drawn together."""
    return Drawn(numpy.concatenate((one.means, other.means)), numpy.concatenate((one.draws, other.draws), axis=1))


def percentiles(draws: Floats) -> Interval | None:
    """Return the middle 95 % of draws `[R]`; None where one is not finite.

    >>> percentiles(numpy.arange(101.0)), percentiles(numpy.array([1.0, math.inf]))
    ((2.5, 97.5), None)
    """
    if not bool(numpy.isfinite(draws).all()):
        return None
    low, high = numpy.percentile(draws, (2.5, 97.5))
    return float(low), float(high)


_Totals = tuple[Floats, Floats, Floats, Floats]
"""Sums of the rows `[K]` and examples `[1]`; the same in each resample, `[R, K]` and `[R, 1]`."""


def _drawn(sums: Floats, sizes: Floats, generator: numpy.random.Generator, draws: int) -> _Totals:
    units = len(sizes)
    both = numpy.concatenate((sums, sizes[None, :])).T
    rows = max(1, _AT_ONCE // units)
    found = []
    for start in range(0, draws, rows):
        count = min(rows, draws - start)
        drawn = generator.integers(0, units, size=(count, units)) + units * numpy.arange(count)[:, None]
        times = numpy.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        with numpy.errstate(invalid="ignore"):
            found.append(times.astype(numpy.float64) @ both)
    every = numpy.concatenate(found)
    return sums.sum(axis=1), sizes.sum(keepdims=True), every[:, :-1], every[:, -1:]


def _means(totals: _Totals) -> Drawn:
    sums, n, drawn_sums, drawn_n = totals
    return Drawn(sums / n, drawn_sums / drawn_n)


def _starts(n: int) -> NDArray[numpy.int64]:
    """Where each run of neighbours begins."""
    count = min(n, max(2, math.isqrt(n)))
    lengths = [len(run) for run in numpy.array_split(numpy.arange(n), count)]
    return numpy.cumsum([0, *lengths[:-1]])
