"""Coefficients against other ways to the same curve: de Casteljau's construction, and interpolation piece by piece."""

from __future__ import annotations

from math import fsum

import numpy
import pytest

from merging_core.analysis.curves.coefficients import Kind, coefficients, slopes

GRID = [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.77, 0.999, 1.0]


def casteljau(points: numpy.ndarray, t: float) -> numpy.ndarray:
    while len(points) > 1:
        points = (1.0 - t) * points[:-1] + t * points[1:]
    return points[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("count", [2, 3, 4, 7, 10])
def test_a_bezier_curve_is_the_one_that_repeated_interpolation_draws(count: int) -> None:
    points = numpy.random.default_rng(count).normal(size=(count, 3))
    for t in GRID:
        assert numpy.allclose(numpy.array(coefficients("bezier", count, t)) @ points, casteljau(points, t), atol=1e-13)


@pytest.mark.parametrize("count", [2, 3, 4, 7, 10])
def test_a_chain_goes_straight_from_point_to_point(count: int) -> None:
    points = numpy.random.default_rng(count).normal(size=count)
    for t in GRID:
        expected = numpy.interp(t, numpy.linspace(0.0, 1.0, count), points)
        assert numpy.isclose(numpy.array(coefficients("chain", count, t)) @ points, expected, atol=1e-13)


@pytest.mark.parametrize("kind", ["bezier", "chain"])
@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_shares_add_up_to_one_are_not_negative_and_exact_at_the_ends(kind: Kind, count: int) -> None:
    for t in GRID:
        shares = coefficients(kind, count, t)
        assert abs(fsum(shares) - 1.0) < 1e-14 and min(shares) >= 0.0
    assert coefficients(kind, count, 0.0) == (1.0, *(0.0,) * (count - 1))
    assert coefficients(kind, count, 1.0) == (*(0.0,) * (count - 1), 1.0)


@pytest.mark.parametrize("kind", ["bezier", "chain"])
@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_slopes_are_the_derivative(kind: Kind, count: int) -> None:
    step = 1e-6
    for t in (0.12, 0.31, 0.58, 0.93):
        before, after = (numpy.array(coefficients(kind, count, t + shift)) for shift in (-step, step))
        assert numpy.allclose(slopes(kind, count, t), (after - before) / (2.0 * step), atol=1e-7)
    for t in (0.0, 1.0):
        assert abs(fsum(slopes(kind, count, t))) < 1e-12
