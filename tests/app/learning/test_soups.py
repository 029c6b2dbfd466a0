"""Soups and realignment as runs of the server: what the page is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app.learning.test_learning import Room, accuracy, room

__all__ = ["room"]


def told(room: Room, method: str, **changes: Any) -> dict[str, Any]:
    """Begin a run, do its work here, and return what a page that watches it gets."""
    run = room.made(method={"name": method, "params": changes.pop("params", {})}, **changes)
    assert room.work_on(run)["finished"] is True
    return room.ask("learn_watch", {"run": run.id})


@pytest.mark.parametrize(
    ("method", "params"),
    [("greedy_soup", {}), ("robust_soup", {"against": "l2", "parts": 1, "attack_steps": 1})],
)
def test_a_soup_says_what_was_tried_and_ends_on_examples_that_did_not_choose(
    room: Room, method: str, params: dict[str, Any]
) -> None:
    found = told(room, method, params=params, steps=3, batch=6)
    checks, result = found["numbers"]["checks"], found["result"]
    assert all(check["what"] for check in checks)
    assert {check["n"] for check in checks} == {6}
    assert result["held_out"] is True
    assert result["after"]["n"] == result["baseline"]["n"] == 100
    assert [pair["after"]["attack"]["norm"] for pair in result.get("robust", [])] == (
        ["linf", "l2"] if method == "robust_soup" else []
    )


def test_a_realigned_merge_is_opened_in_the_studio_with_its_mask(room: Room) -> None:
    found = told(room, "safety_realignment", steps=2, batch=4, learn_from=["basins/digits"])
    assert found["numbers"]["density"]
    assert [task["task"] for task in found["numbers"]["teachers"]] == ["basins/digits"]
    assert found["figures"]["loss"] is not None
    studio = found["run"]["studio"]
    assert studio["recipe"]["tensors"].startswith("learned:")
    assert accuracy(room, studio) == found["result"]["after"]["average"]["accuracy"]
