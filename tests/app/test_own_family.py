"""Families that a visitor puts together: their names say everything, and nothing else is accepted."""

from __future__ import annotations

import json

import pytest

from app.own_family import LONGEST_NAME, MOST_EXPERTS, family_named, own_name
from app.state import choose_experts, choose_method, default_state, parse_state
from merging_core.errors import RecipeError
from tests.app.pretend import family, pair

FAMILIES = (family(), pair())
BASE, DIGITS, GREEK = "zoo:tiny/base", "zoo:tiny/digits", "zoo:tiny/greek"
NAME = own_name(BASE, [(GREEK, "tiny/greek"), (DIGITS, None)], ["tiny/greek", "tiny/digits"])


def test_a_name_gives_the_family_back_with_titles_that_are_known() -> None:
    own = family_named(FAMILIES, NAME)
    assert (own.name, own.base, own.tasks) == (NAME, BASE, ("tiny/greek", "tiny/digits"))
    assert [(expert.ref, expert.title, expert.task, expert.colour) for expert in own.experts] == [
        (GREEK, family().title_of(GREEK), "tiny/greek", 0),
        (DIGITS, family().title_of(DIGITS), None, 1),
    ]


def test_a_state_of_an_own_family_survives_a_link_and_every_transition() -> None:
    state = default_state(family_named(FAMILIES, NAME))
    assert state.recipe.method.name == "task_arithmetic" and state.recipe.base == BASE
    assert parse_state(json.loads(json.dumps(state.as_json())), FAMILIES) == state
    one = choose_experts(state, [DIGITS], FAMILIES)
    assert [entry.ref for entry in one.recipe.models] == [DIGITS]
    assert [entry.ref for entry in choose_method(one, "slerp", FAMILIES).recipe.models] == [GREEK, DIGITS]
    with pytest.raises(RecipeError, match="the studio merges checkpoints of the family"):
        choose_experts(state, ["zoo:tiny/shapes"], FAMILIES)


def test_without_a_base_weights_are_averaged() -> None:
    own = family_named(FAMILIES, own_name(None, [(DIGITS, None), (GREEK, None)], ["tiny/digits"]))
    state = default_state(own)
    assert (own.base, state.recipe.base, state.recipe.method.name) == (None, None, "linear")


def test_pins_stay_in_the_recipe_and_do_not_hide_a_checkpoint() -> None:
    pinned = f"{DIGITS}@{'0123456789abcdef'}"
    own = family_named(FAMILIES, own_name(BASE, [(pinned, None), (GREEK, None)], ["tiny/digits"]))
    state = choose_experts(default_state(own), [pinned], FAMILIES)
    assert [entry.ref for entry in state.recipe.models] == [pinned]
    assert own.title_of(DIGITS) == own.title_of(pinned) == family().title_of(DIGITS) and own.has(DIGITS)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (own_name(BASE, [("file:/etc/passwd", None)], ["tiny/digits"]), "every visitor may open, but file: came"),
        (own_name(BASE, [(BASE, None)], ["tiny/digits"]), "named once"),
        (own_name(BASE, [(DIGITS, None), (f"{DIGITS}@{'0' * 16}", None)], ["tiny/digits"]), "named once"),
        (own_name(BASE, [(DIGITS, "tiny/digit")], ["tiny/digits"]), "did you mean .tiny/digits"),
        (own_name(BASE, [], ["tiny/digits"]), f"1 to {MOST_EXPERTS} experts, but 0 came"),
        (own_name(BASE, [("ftp:x", None)], ["tiny/digits"]), "references start with"),
        (NAME.replace('","', '", "', 1), "named as Basin names it"),
        (NAME[:-1], "named as Basin names it"),
        ("own:[]", "named as Basin names it"),
        ("own:" + "[" * 3000, "named as Basin names it"),
        ('own:{"base":1,"experts":[["zoo:tiny/digits",null]],"tasks":["tiny/digits"]}', "named as Basin names it"),
        ("own:" + "x" * LONGEST_NAME, f"at most {LONGEST_NAME} characters"),
        ("tinny", "did you mean .tiny"),
    ],
)
def test_another_name_is_refused_with_its_reason(name: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match="(?i)" + sentence.replace("[", r"\[")):
        family_named(FAMILIES, name)
