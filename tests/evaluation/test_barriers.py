"""Every variant of the barrier, on functions where it is known and against a reference in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy
import pytest

from merging_core.errors import EvaluationError
from merging_core.evaluation.barriers import barrier_of, rises

GRID = [index / 24 for index in range(25)]


def exact(values: list[float], shares: list[float]) -> dict[str, Fraction | None]:
    """The definitions, word by word, in exact arithmetic."""
    losses, at = [Fraction(value) for value in values], [Fraction(share) for share in shares]
    chords = [(1 - share) * losses[0] + share * losses[-1] for share in at]
    middle = [loss for loss, share in zip(losses, at, strict=True) if share == Fraction(1, 2)]
    mean = (losses[0] + losses[-1]) / 2
    return {
        "barrier": max(loss - chord for loss, chord in zip(losses, chords, strict=True)),
        "above_mean": max(losses) - mean,
        "above_worse": max(losses) - max(losses[0], losses[-1]),
        "midpoint_gap": middle[0] - mean if middle else None,
    }


@pytest.mark.parametrize(
    ("loss", "height", "at", "mean", "worse", "gap"),
    [
        pytest.param(lambda t: 4 * t * (1 - t), 1.0, 0.5, 1.0, 1.0, 1.0, id="hill"),
        pytest.param(lambda t: 1 + 2 * t, 0.0, 0.0, 1.0, 0.0, 0.0, id="slope"),
        pytest.param(lambda t: 4 * t * (1 - t) + t, 1.0, 0.5, 1.0625, 0.5625, 1.0, id="hill on a slope"),
        pytest.param(lambda t: (2 * t - 1) ** 2, 0.0, 0.0, 0.0, 0.0, -1.0, id="valley"),
        pytest.param(lambda t: math.sin(math.pi * t), 1.0, 0.5, 1.0, 1.0, 1.0, id="sine"),
    ],
)  # fmt: skip
def test_the_barrier_of_a_function_is_what_calculus_says(
    loss: object, height: float, at: float, mean: float, worse: float, gap: float
) -> None:
    found = barrier_of([loss(t) for t in GRID], GRID)  # type: ignore[operator]
    assert (found.height, found.midpoint_gap) == (pytest.approx(height, abs=1e-12), pytest.approx(gap, abs=1e-12))
    assert found.at == at or found.height < 1e-12
    assert found.above_mean == pytest.approx(mean, abs=1e-12)
    assert found.above_worse == pytest.approx(worse, abs=1e-12)


def test_every_variant_is_that_of_exact_fractions() -> None:
    generator = numpy.random.default_rng(5)
    for points in (2, 3, 9, 24, 25):
        shares = [index / (points - 1) for index in range(points)]
        rows = generator.gamma(2.0, size=(7, points))
        found = rises(rows, shares)
        for place, row in enumerate(rows.tolist()):
            wanted = exact(row, shares)
            for name in ("barrier", "above_mean", "above_worse"):
                assert getattr(found, name)[place] == pytest.approx(float(wanted[name]), abs=1e-12)  # type: ignore[arg-type]
            gap = wanted["midpoint_gap"]
            assert (found.midpoint_gap is None) == (gap is None)
            assert gap is None or found.midpoint_gap[place] == pytest.approx(float(gap), abs=1e-12)  # type: ignore[index]


def test_above_the_mean_is_not_above_the_chord_where_ends_differ() -> None:
    """A straight line from 1 to 3 rises by 1 above the mean of its ends, and has no barrier."""
    found = barrier_of([1.0, 2.0, 3.0], [0.0, 0.5, 1.0])
    assert (found.height, found.above_mean, found.above_worse, found.midpoint_gap) == (0.0, 1.0, 0.0, 0.0)


def test_a_range_is_scaled_and_what_is_not_finite_is_infinite_everywhere() -> None:
    found = barrier_of([1.0, math.nan, 2.0], [0.0, 0.75, 1.5])
    assert (found.height, found.at, found.share) == (math.inf, 0.75, 0.5)
    assert (found.above_mean, found.above_worse, found.midpoint_gap) == (math.inf,) * 3
    assert [found.as_json()[name] for name in ("height", "above_mean", "above_worse", "midpoint_gap")] == [None] * 4


@pytest.mark.parametrize("ts", [[0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.5, 1.0]])
def test_a_barrier_is_over_two_values_at_rising_t(ts: list[float]) -> None:
    with pytest.raises(EvaluationError, match="at least two values at rising t"):
        barrier_of([1.0, 2.0][: len(ts)], ts)
