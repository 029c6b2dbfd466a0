"""95 % intervals: Wilson for one task, stratified bootstrap for averages and ratios, paired bootstrap for differences.

An example is right or wrong, so resampling n examples of a task with replacement gives a binomial count (two outcomes)
or multinomial counts (pairs of outcomes). Drawing the counts is therefore the bootstrap itself, exactly, at the cost of
a few numbers a task instead of n. Tasks are strata: each is resampled by itself, and the tasks themselves are fixed, as
the average is over these tasks and no others. Draws come from numpy's PCG64 with a fixed seed: the same counts have the
same interval.

Source: Wilson 1927, JASA 22; Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 8 and 13
(percentile intervals).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy.special import stdtrit

from merging_core.errors import EvaluationError, Problem

__all__ = [
    "RESAMPLES",
    "Estimate",
    "Interval",
    "PairCounts",
    "average_interval",
    "correlation_interval",
    "difference",
    "mean_interval",
    "pair_counts",
    "ratio",
    "sum_of_means",
    "wilson",
]

RESAMPLES = 1_000
_SEED = 20_240_229
_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    interval: Interval

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {"value": self.value, "interval": list(self.interval)}


@dataclass(frozen=True)
class PairCounts:
    """How two models did on the same n examples of one task."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def n(self) -> int:
        """The number of examples."""
        return self.both + self.first_only + self.second_only + self.neither


def wilson(correct: int, n: int) -> Interval:
    """Return the 95 % Wilson score interval of a fraction `correct` / `n`, within [0, 1].

    Centre (p + z²/2n) / (1 + z²/n), half-width z/(1 + z²/n) · √(p(1−p)/n + z²/4n²). Raises EvaluationError unless
    0 ≤ correct ≤ n and n ≥ 1. Source: Wilson 1927, JASA 22, 209–212.

    >>> [round(bound, 4) for bound in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    _checked([correct], [n])
    p, share = correct / n, _Z * _Z / n
    centre = (p + share / 2) / (1 + share)
    half = _Z / (1 + share) * math.sqrt(p * (1 - p) / n + share / (4 * n))
    return 0.0 if correct == 0 else max(0.0, centre - half), 1.0 if correct == n else min(1.0, centre + half)


def mean_interval(values: NDArray[numpy.float32]) -> Interval | None:
    """Return the 95 % interval of the mean of values `[n]` that may depend on their neighbours, by batch means.

    The values are cut into k = ⌊√n⌋ (at least 2) runs of neighbours, nearly equal in length; with mᵢ the mean of
    run i of length sᵢ and m that of all: m ± t · √(k/(k−1) · Σ sᵢ²(mᵢ − m)²) / n, t the 97.5 % point of Student's
    distribution with k − 1 degrees of freedom. None for n < 2, or where a value is not finite.

    Source: Flegal and Jones 2010, Annals of Statistics 38(2), section 2 (non-overlapping batch means).

    >>> low, high = mean_interval(numpy.array([1.0, 3.0], dtype=numpy.float32))
    >>> round((low + high) / 2, 6), round((high - low) / 2, 4)
    (2.0, 12.7062)
    """
    n = len(values)
    if n < 2 or not bool(numpy.isfinite(values).all()):
        return None
    runs = numpy.array_split(values.astype(numpy.float64), max(2, math.isqrt(n)))
    sizes = numpy.array([len(run) for run in runs])
    mean = float(values.mean(dtype=numpy.float64))
    gaps = numpy.array([run.mean() for run in runs]) - mean
    spread = math.sqrt(len(runs) / (len(runs) - 1) * float((sizes**2 * gaps**2).sum())) / n
    half = float(stdtrit(len(runs) - 1, 0.975)) * spread
    return mean - half, mean + half


def correlation_interval(value: float, error: float) -> Interval:
    """Return the 95 % interval of a correlation, or another likeness of at most 1, that has a standard error.

    atanh(value) ± z · error / (1 − value²), turned back: inside (−1, 1). A value outside has no width.
    Source: Fisher 1921, Metron 1.

    >>> [round(end, 3) for end in correlation_interval(0.9, 0.05)], correlation_interval(1.0, 0.0)
    ([0.743, 0.963], (1.0, 1.0))
    """
    if not abs(value) < 1.0:
        return value, value
    middle, half = math.atanh(value), _Z * error / (1.0 - value * value)
    return math.tanh(middle - half), math.tanh(middle + half)


def average_interval(correct: Sequence[int], n: Sequence[int]) -> Interval:
    """Return the 95 % interval of the mean over tasks of correct / n: Wilson for one task, else stratified bootstrap.

    >>> average_interval([5], [10]) == wilson(5, 10)
    True
    >>> low, high = average_interval([50, 90], [100, 100])
    >>> 0.63 < low < 0.66 and 0.74 < high < 0.77
    True
    """
    counts, totals = _checked(correct, n)
    if len(counts) == 1:
        return wilson(correct[0], n[0])
    draws = _generator().binomial(totals, counts / totals, size=(RESAMPLES, len(totals)))
    return _percentiles((draws / totals).mean(axis=1))


def ratio(pairs: Sequence[PairCounts]) -> Estimate | None:
    """Return the mean over tasks of (accuracy of the first ÷ accuracy of the second), with its 95 % interval.

    This is *normalised*: first = the merge, second = the task's expert, on the same examples, so both are resampled
    together. None if a second model has no example right: there is nothing to divide by. Resamples in which one has
    none are left out (None if that is all of them).

    Source: Ilharco et al. 2023, arXiv:2212.04089, appendix B (normalised accuracy).

    >>> ratio([PairCounts(40, 0, 40, 20)]).value
    0.5
    """
    table = _table(pairs)
    first, second = table[:, 0] + table[:, 1], table[:, 0] + table[:, 2]
    if not second.all():
        return None
    draws = _resampled(table)
    ones, others = draws[..., 0] + draws[..., 1], draws[..., 0] + draws[..., 2]
    kept = (others > 0).all(axis=1)
    if not kept.any():
        return None
    return Estimate(float((first / second).mean()), _percentiles((ones[kept] / others[kept]).mean(axis=1)))


def difference(pairs: Sequence[PairCounts]) -> Estimate:
    """Return the mean over tasks of (accuracy of the first − accuracy of the second), with its paired 95 % interval.

    Pairing keeps what both models find hard out of the interval: only examples on which they differ widen it.

    >>> difference([PairCounts(50, 0, 0, 50)])
    Estimate(value=0.0, interval=(0.0, 0.0))
    >>> difference([PairCounts(0, 30, 10, 60)]).value
    0.2
    """
    table = _table(pairs)
    totals = table.sum(axis=1)
    draws = _resampled(table)
    value = float(((table[:, 1] - table[:, 2]) / totals).mean())
    return Estimate(value, _percentiles(((draws[..., 1] - draws[..., 2]) / totals).mean(axis=1)))


def sum_of_means(strata: Sequence[NDArray[numpy.float64]]) -> Estimate:
    """Return the sum over strata of the mean of values `[n]`, each stratum resampled by itself, with its 95 % interval.

    >>> sum_of_means([numpy.array([0.0, 1.0]), numpy.array([2.0])]).value
    2.5
    """
    generator = _generator()
    draws = numpy.zeros(RESAMPLES)
    for values in strata:
        _checked([0], [len(values)])
        shares = numpy.full(len(values), 1 / len(values))
        draws += generator.multinomial(len(values), shares, size=RESAMPLES) @ values / len(values)
    return Estimate(float(sum(values.mean() for values in strata)), _percentiles(draws))


def pair_counts(first: NDArray[numpy.bool_], second: NDArray[numpy.bool_]) -> PairCounts:
    """Count how two models did on the same examples; bool `[n]` each.

    >>> pair_counts(numpy.array([True, True, False]), numpy.array([True, False, False]))
    PairCounts(both=1, first_only=1, second_only=0, neither=1)
    """
    if first.shape != second.shape:
        problem = Problem("two models are compared on the same examples", f"{len(first)} and {len(second)}")
        raise EvaluationError(problem)
    both = int(numpy.count_nonzero(first & second))
    ones, others = int(numpy.count_nonzero(first)), int(numpy.count_nonzero(second))
    return PairCounts(both, ones - both, others - both, len(first) - ones - others + both)


def _checked(correct: Sequence[int], n: Sequence[int]) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
    counts, totals = numpy.asarray(correct, dtype=numpy.int64), numpy.asarray(n, dtype=numpy.int64)
    if len(totals) == 0 or len(counts) != len(totals) or bool((totals < 1).any()):
        must = "an accuracy is over at least one example of at least one task"
        raise EvaluationError(Problem(must, f"n = {list(n)}", "n"))
    if bool((counts < 0).any()) or bool((counts > totals).any()):
        raise EvaluationError(Problem("correct answers number from 0 to n", f"{list(correct)} of {list(n)}", "correct"))
    return counts, totals


def _table(pairs: Sequence[PairCounts]) -> NDArray[numpy.int64]:
    rows = [(pair.both, pair.first_only, pair.second_only, pair.neither) for pair in pairs]
    table = numpy.array(rows, dtype=numpy.int64).reshape(len(rows), 4)
    if bool((table < 0).any()):
        raise EvaluationError(Problem("counts are not negative", str(rows), "pairs"))
    _checked([0] * len(rows), [int(total) for total in table.sum(axis=1)])
    return table


def _resampled(table: NDArray[numpy.int64]) -> NDArray[numpy.int64]:
    """Draw counts `[RESAMPLES, tasks, 4]`, each task from its own outcomes."""
    generator = _generator()
    rows = [(int(row.sum()), row / row.sum()) for row in table]
    draws = [generator.multinomial(total, shares, size=RESAMPLES) for total, shares in rows]
    return numpy.stack(draws, axis=1)


def _generator() -> numpy.random.Generator:
    return numpy.random.Generator(numpy.random.PCG64(_SEED))


def _percentiles(values: NDArray[numpy.float64]) -> Interval:
    low, high = numpy.percentile(values, (2.5, 97.5))
    return float(low), float(high)
