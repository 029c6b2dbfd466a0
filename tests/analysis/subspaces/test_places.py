"""Places of a subspace are where their names say, and chance stays where it may."""

from __future__ import annotations

import pytest

from merging_core.analysis.subspaces.places import directions, drawn, inside, named, rounded


def test_the_named_places_of_a_hull_are_its_models_its_middle_and_those_of_its_edges() -> None:
    places = {(place.kind, place.models): place.weights for place in named(3, False)}
    assert places["model", (1,)] == (0.0, 1.0, 0.0)
    assert places["middle", (0, 2)] == (0.5, 0.0, 0.5)
    assert places["centroid", (0, 1, 2)] == pytest.approx((1 / 3,) * 3)
    assert all(sum(weights) == pytest.approx(1.0) for weights in places.values()) and len(places) == 7


def test_a_span_has_the_base_and_the_sum_of_task_arithmetic_too() -> None:
    kinds = [(place.kind, place.weights) for place in named(2, True)]
    assert ("base", (0.0, 0.0)) in kinds and ("sum", (0.3, 0.3)) in kinds


@pytest.mark.parametrize("around", [False, True])
def test_chance_is_of_the_seed_and_inside(around: bool) -> None:
    places = [place.weights for place in drawn(3, 20, 5, around)]
    assert places == [place.weights for place in drawn(3, 20, 5, around)]
    assert places != [place.weights for place in drawn(3, 20, 6, around)]
    assert all(inside(weights) and min(weights) >= 0.0 for weights in places)
    assert around or all(abs(sum(weights) - 1.0) < 1e-9 for weights in places)


def test_every_direction_of_a_hull_keeps_the_sum_and_rounding_too() -> None:
    assert all(abs(direction.sum()) < 1e-12 for direction in directions(4, False))
    assert sum(rounded((0.123456, 0.7, 0.176544), False)) == pytest.approx(1.0, abs=1e-12)
    assert not inside((1.6, -0.6))
