"""Recipes of older versions."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from merging_core.errors import RecipeError
from merging_core.recipes import migrate


def rename(mapping: Mapping[str, object]) -> Mapping[str, object]:
    return {("models" if key == "experts" else key): value for key, value in mapping.items()}


def add_seed(mapping: Mapping[str, object]) -> Mapping[str, object]:
    return {**mapping, "seed": 0}


def test_the_present_version_stays_as_it_is() -> None:
    given = {"version": 1, "models": []}
    assert migrate(given) == given


def test_steps_are_taken_one_after_the_other_and_change_nothing_given() -> None:
    given = {"version": 1, "experts": [1]}
    assert migrate(given, {1: rename, 2: add_seed}, newest=3) == {"version": 3, "models": [1], "seed": 0}
    assert given == {"version": 1, "experts": [1]}


@pytest.mark.parametrize(
    ("version", "advice"),
    [(4, "update Basin"), (0, "the newest version is 3"), (10**5000, "update Basin")],
    ids=["newer", "older", "endless"],
)
def test_a_version_that_no_step_knows_is_refused(version: int, advice: str) -> None:
    with pytest.raises(RecipeError, match=advice):
        migrate({"version": version}, {1: rename, 2: add_seed}, newest=3)


@pytest.mark.parametrize("version", [None, "1", 1.0, True, [1]])
def test_a_version_is_a_whole_number(version: object) -> None:
    with pytest.raises(RecipeError, match="version is a whole number"):
        migrate({"version": version})
