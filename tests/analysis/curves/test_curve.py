"""Curves through weight space: where they begin, pass and end, how long they are, and what is said of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy
import pytest
import torch

from merging_core.analysis.curves.coefficients import Kind
from merging_core.analysis.curves.curve import Curve, chord
from merging_core.analysis.curves.statistics import statistics
from merging_core.engines.points import Points


@pytest.fixture(scope="module", params=["bezier", "chain"])
def bent(request: pytest.FixtureRequest, strangers: Points) -> Curve:
    kind: Kind = request.param
    straight = chord(strangers, kind, 2)
    generator = torch.Generator().manual_seed(3)
    moved = [bend + 0.1 * torch.randn(bend.shape, generator=generator) for bend in straight.bends]
    flats = straight.points.flats
    return replace(straight, points=replace(straight.points, flats=(flats[0], *moved, flats[-1])))


def test_its_ends_are_the_very_bits_of_the_models(bent: Curve, strangers: Points) -> None:
    assert torch.equal(bent.flat(0.0), strangers.flats[0]) and torch.equal(bent.flat(1.0), strangers.flats[1])


def test_its_weights_are_the_shares_of_its_points(bent: Curve) -> None:
    points = torch.stack(bent.points.flats).double()
    for t in (0.2, 0.5, 0.9):
        expected = torch.tensor(bent.shares(t), dtype=torch.float64) @ points
        torch.testing.assert_close(bent.flat(t).double(), expected, rtol=1e-6, atol=1e-6)
        leaves = torch.cat([leaf.reshape(-1) for leaf in bent.points.space.views(bent.flat(t)).values()])
        assert torch.equal(leaves, bent.flat(t)) and set(bent.weights(t)) >= set(bent.points.space.views(bent.flat(t)))


def test_its_slope_is_how_its_weights_move(bent: Curve) -> None:
    points, step = torch.stack(bent.points.flats).double(), 1e-4
    for t in (0.1, 0.7):
        ends = [torch.tensor(bent.shares(t + shift), dtype=torch.float64) @ points for shift in (-step, step)]
        torch.testing.assert_close(bent.slope(t).double(), (ends[1] - ends[0]) / (2.0 * step), rtol=1e-3, atol=1e-4)


def test_the_steps_along_it_are_distances_in_weight_space(bent: Curve) -> None:
    points, grid = torch.stack(bent.points.flats).double(), [0.0, 0.1, 0.5, 0.6, 1.0]
    at = [torch.tensor(bent.shares(t), dtype=torch.float64) @ points for t in grid]
    expected = [float((after - before).norm()) for before, after in zip(at, at[1:], strict=False)]
    assert numpy.allclose(bent.steps(grid), expected, rtol=1e-9)


def test_a_chord_is_straight_however_many_bends_it_has(strangers: Points) -> None:
    first, last = strangers.flats
    for kind in ("bezier", "chain"):
        line = chord(strangers, kind, 3)  # type: ignore[arg-type]
        for t in (0.0, 0.3, 0.5, 1.0):
            torch.testing.assert_close(line.flat(t), torch.lerp(first, last, t), rtol=1e-5, atol=1e-6)
        assert math.isclose(sum(line.steps([0.0, 0.4, 1.0])), float((last - first).double().norm()), rel_tol=1e-6)


def test_a_curve_has_two_ends(strangers: Points) -> None:
    with pytest.raises(ValueError, match="two ends"):
        chord(replace(strangers, flats=strangers.flats[:1]), "bezier", 1)


def test_the_integral_is_by_arc_length_and_the_mean_is_not() -> None:
    grid, values, steps = (0.0, 0.25, 1.0), (1.0, 4.0, 2.0), (3.0, 1.0)
    found = statistics(grid, values, steps)
    places = numpy.cumsum([0.0, *steps])
    assert math.isclose(found.integral, float(numpy.trapezoid(values, places)) / 4.0)
    assert math.isclose(found.mean, 7.0 / 3.0) and found.length == 4.0
    assert (found.start, found.end, found.smallest, found.largest, found.at) == (1.0, 2.0, 1.0, 4.0, 0.25)
    assert found.excess == 2.0
    with pytest.raises(ValueError, match="two points or more"):
        statistics(grid, values, (1.0,))
    assert statistics((0.0, 1.0), (2.0, math.inf), (1.0,)).as_json()["largest"] is None
