"""A pace is said once it means something; one slow piece does not turn it over, and an old one is forgotten."""

from __future__ import annotations

from collections.abc import Iterable

from merging_core.pace import Pace


def heard(moments: Iterable[tuple[float, float]]) -> Pace:
    told = list(moments)
    clock = iter([moment for moment, _ in told])
    pace = Pace(lambda: next(clock))
    for _, done in told:
        pace.hear(done)
    return pace


def test_nothing_is_said_before_two_seconds_or_where_nothing_came_of_them() -> None:
    assert heard([(0.0, 0.0), (1.9, 500.0)]).per_second is None
    assert heard([(0.0, 0.0), (9.0, 0.0)]).left(10.0) is None
    assert heard([]).per_second is None


def test_what_went_slowly_at_the_beginning_is_forgotten() -> None:
    slow = [(second, float(second)) for second in range(11)]
    fast = [(10 + second, 10 + 100.0 * second) for second in range(1, 41)]
    assert heard([*slow, *fast]).per_second == 100.0


def test_one_slow_piece_hardly_moves_the_estimate() -> None:
    even = [(float(second), 100.0 * second) for second in range(61)]
    held_up = heard([*even, (64.0, 6010.0)])
    pace = held_up.per_second
    assert pace is not None and 85.0 < pace < 100.0
