"""Looking for a low point: found where it is known, asked in the same order each time, and never misled."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy
import pytest
from numpy.typing import NDArray

from merging_core.search.compass import compass

Place = NDArray[numpy.float64]


def asked(value: Callable[[Place], float], start: Place, least: float = 1e-3) -> list[tuple[float, Place]]:
    """Every place that a search asks for, with its value."""
    search, seen = compass(start, value(start), list(numpy.eye(len(start))), 0.25, least), [(value(start), start)]
    place = next(search)
    while True:
        seen.append((value(place), place))
        try:
            place = search.send(seen[-1][0])
        except StopIteration:
            return seen


def test_it_finds_the_lowest_point_of_a_bowl() -> None:
    bowl = lambda place: float((place[0] - 0.7) ** 2 + 3 * (place[1] + 0.2) ** 2 + place[0] * place[1])  # noqa: E731
    lowest, place = min(asked(bowl, numpy.array([0.0, 0.0])), key=lambda one: one[0])
    exact = numpy.linalg.solve(numpy.array([[2.0, 1.0], [1.0, 6.0]]), numpy.array([1.4, -1.2]))
    assert place == pytest.approx(exact, abs=5e-3) and lowest == pytest.approx(bowl(exact), abs=1e-4)


def test_a_place_without_a_value_is_not_gone_to() -> None:
    walled = lambda place: math.inf if place[0] > 0.6 else -float(place[0])  # noqa: E731
    lowest, place = min(asked(walled, numpy.array([0.0])), key=lambda one: one[0])
    assert 0.59 < place[0] <= 0.6 and math.isfinite(lowest)


def test_it_ends_where_nothing_is_lower() -> None:
    seen = asked(lambda place: float(abs(place[0])), numpy.array([0.0]), least=0.1)
    assert [float(place[0]) for _, place in seen] == [0.0, 0.25, -0.25, 0.125, -0.125]
