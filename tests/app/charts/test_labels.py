"""Labels beside points, each where nothing lies."""

from __future__ import annotations

from app.charts.labels import SIDES, Label, place


def test_a_label_alone_stands_at_the_upper_right() -> None:
    assert place([Label("a", 50, 50)], [(50, 50)]) == ["top right"]


def test_as_many_labels_of_one_point_are_placed_as_there_are_sides_and_the_rest_are_left_out() -> None:
    sides = place([Label("ab", 50, 50)] * 12, [(50, 50)])
    placed = [side for side in sides if side]
    assert len(set(placed)) == len(placed) >= 4 and set(placed) <= set(SIDES)
    assert sides[-1] == ""


def test_a_label_keeps_off_the_mark_of_another_point() -> None:
    assert place([Label("abc", 50, 50)], [(50, 50), (62, 38)]) == ["top left"]


def test_labels_that_are_far_apart_all_stand_where_they_like() -> None:
    points = [(50.0 * i, 50.0 * i) for i in range(5)]
    assert place([Label("γ 0.2", *point) for point in points], points) == ["top right"] * 5


def test_no_label_leaves_the_room_that_there_is() -> None:
    assert place([Label("abc", 98, 50), Label("abc", 3, 3)], [], (100, 100)) == ["top left", "bottom right"]
    assert place([Label("a name that is long", 50, 50)], [], (60, 60)) == [""]
