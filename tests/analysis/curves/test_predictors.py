"""Foretold logits against other ways to the same polynomial, and against the maps that they must find."""

from __future__ import annotations

import numpy
import pytest

from merging_core.analysis.curves.foretelling import relative_error
from merging_core.analysis.curves.predictors import between, cubic, fitted, nodes, tangent

RANDOM = numpy.random.default_rng(7)


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_a_polynomial_through_the_nodes_is_lagranges(count: int) -> None:
    at = nodes(count)
    assert numpy.allclose(at, 0.5 - 0.5 * numpy.cos(numpy.pi * numpy.arange(count) / (count - 1)), atol=1e-15)
    assert (at[0], at[-1]) == (0.0, 1.0)
    known = RANDOM.normal(size=(count, 4, 3))
    for t in (0.0, 0.07, 0.5, 0.83, 1.0, at[count // 2]):
        shares = [
            numpy.prod([(t - other) / (one - other) for other in at if other != one]) for one in at
        ]  # fmt: skip
        assert numpy.allclose(between(at, known, t), numpy.tensordot(shares, known, axes=1), atol=1e-12)


def test_more_nodes_come_nearer_to_a_smooth_function() -> None:
    def error(count: int) -> float:
        at = nodes(count)
        known = numpy.array([numpy.exp(numpy.sin(3.0 * t)) for t in at])
        return max(abs(float(between(at, known, t)) - numpy.exp(numpy.sin(3.0 * t))) for t in numpy.linspace(0, 1, 50))

    assert error(9) < 0.02 * error(5) < 0.02 * error(3)


def test_first_order_and_cubic_are_exact_where_they_must_be() -> None:
    a, b, c, d = RANDOM.normal(size=(4, 5, 3))

    def value(t: float) -> numpy.ndarray:
        return a + b * t + c * t**2 + d * t**3  # type: ignore[no-any-return]

    ends = numpy.stack([value(0.0), value(1.0)])
    slopes = numpy.stack([b, b + 2 * c + 3 * d])
    for t in (0.0, 0.2, 0.5, 0.9, 1.0):
        assert numpy.allclose(cubic(ends, slopes, t), value(t), atol=1e-12)
    step = 1e-5
    for t, end in ((step, 0.0), (1.0 - step, 1.0)):
        assert numpy.abs(tangent(ends, slopes, t) - value(t)).max() < 20.0 * step**2
        assert numpy.array_equal(tangent(ends, slopes, end), value(end))


def test_a_bridge_is_the_ridge_regression_of_its_normal_equations() -> None:
    ends, wanted = RANDOM.normal(size=(2, 60, 3)), RANDOM.normal(size=(60, 3))
    given = numpy.hstack([ends[0], ends[1]])
    penalty = 0.1 * numpy.square(given - given.mean(axis=0)).sum() / 6
    columns = numpy.hstack([given, numpy.ones((60, 1))])
    weights = numpy.linalg.solve(columns.T @ columns + penalty * numpy.diag([1.0] * 6 + [0.0]), columns.T @ wanted)
    fresh = RANDOM.normal(size=(2, 9, 3))
    expected = numpy.hstack([fresh[0], fresh[1], numpy.ones((9, 1))]) @ weights
    assert numpy.allclose(fitted(ends, wanted, strength=0.1)(fresh), expected, atol=1e-10)


def test_a_bridge_to_logits_that_are_not_finite_says_so() -> None:
    ends = RANDOM.normal(size=(2, 8, 3))
    assert numpy.isnan(fitted(ends, numpy.full((8, 3), numpy.inf))(ends)).all()


def test_what_is_added_to_all_logits_of_an_example_is_no_error() -> None:
    true = RANDOM.normal(size=(6, 4))
    assert relative_error(true + RANDOM.normal(size=(6, 1)), true) < 1e-12
    assert abs(relative_error(0.5 * true, true) - 0.5) < 1e-12
    assert relative_error(numpy.full((6, 4), numpy.nan), true) != relative_error(true, true)
