"""Numbers that differ from leaf to leaf: what they are in a leaf, how they are read, and their one plain form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.info import ParameterInfo, Parameters
from merging_core.methods.varying import Case, Number, Varying, over, plainest
from merging_core.space.depth import Depth, depths

SHARE = ParameterInfo("share", "Share", "number", 0.5, "A share.", 0.0, 1.0, per_leaf=True)
NAMES = ("wte.weight", "h.0.attn.w", "h.0.mlp.w", "h.1.attn.w", "h.1.mlp.w", "h.2.attn.w", "h.2.mlp.w", "ln_f.weight")
DEPTHS = depths(NAMES)


def read(value: object) -> Number:
    assert SHARE.problems(value, "share") == ()
    found = SHARE.coerced(value)
    assert isinstance(found, float | Varying)
    return found


def in_leaves(number: Number) -> list[float]:
    return [number.at(name, DEPTHS[name]) if isinstance(number, Varying) else number for name in NAMES]


def test_a_list_goes_from_the_first_block_to_the_last_and_leaves_outside_get_its_first_number() -> None:
    assert in_leaves(read([0, 0.5, 1])) == [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 0.0]
    assert in_leaves(read([0, 1])) == [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 0.0]


def test_the_first_filter_that_is_part_of_the_name_decides() -> None:
    cases = [{"filter": "h.0", "value": 0.1}, {"filter": "attn", "value": [0, 1]}, {"value": 0.9}]
    assert in_leaves(read(cases)) == [0.9, 0.1, 0.1, 0.5, 0.9, 1.0, 0.9, 0.9]


def test_a_star_takes_every_leaf_as_in_other_tools() -> None:
    assert read([{"filter": "*", "value": [0, 1]}]) == read([0, 1])


@pytest.mark.parametrize("value", [0.25, [0.25], [{"value": 0.25}], [{"filter": "*", "value": [0.25]}]])
def test_one_number_is_one_number_however_it_is_written(value: object) -> None:
    assert read(value) == 0.25


@pytest.mark.parametrize("value", [[0.0, 1.0], [{"filter": "attn", "value": [0.0, 1.0]}, {"value": 0.5}]])
def test_what_was_read_is_written_in_its_shortest_form_and_reads_back(value: list[Any]) -> None:
    assert Parameters(share=read(value)).as_json() == {"share": value}
    assert read(read(value)) == read(value)
    assert hash(read(value)) == hash(read(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], ["share"]),
        ([0.5] * 257, ["share"]),
        ([0.5, 2, True, None], ["share[1]", "share[2]", "share[3]"]),
        ({"filter": "mlp", "value": 1}, ["share"]),
        ([{"filter": "mlp"}], ["share[0].value"]),
        ([{"filter": "", "value": 1}, {"value": 0}], ["share[0].filter"]),
        ([{"filter": 3, "value": 1}], ["share[0].filter"]),
        ([{"filter": "x" * 201, "value": 1}], ["share[0].filter"]),
        ([{"filter": "mlp", "value": 1, "where": 2}], ["share[0]"]),
        ([{"filter": "mlp", "value": [0, 2]}, {"value": -1}], ["share[0].value[1]", "share[1].value"]),
        ([{"value": 1}, {"filter": "mlp", "value": 0}], ["share[0]"]),
        ([{"filter": "mlp", "value": 0}, 0.5], ["share[1]"]),
        ([{"filter": "a", "value": 0.5}] * 65, ["share"]),
        ([[0, 1], [0, 1]], ["share[0]", "share[1]"]),
        ([{"filter": "mlp", "value": {"filter": "x", "value": 1}}], ["share[0].value"]),
        (True, ["share"]),
        ("0.5", ["share"]),
    ],
)
def test_everything_that_is_wrong_is_said_with_its_place(value: object, expected: list[str]) -> None:
    assert [problem.where for problem in SHARE.problems(value, "share")] == expected


def test_a_number_of_the_whole_model_does_not_vary() -> None:
    (problem,) = ParameterInfo("cut", "Cut", "number", 0.5, "A cut.").problems([0.1, 0.2], "method.params.cut")
    assert str(problem).startswith("method.params.cut: cut is one number for the whole model, but [0.1, 0.2] came")


def test_where_no_case_takes_a_leaf_another_number_stands_in() -> None:
    part = read([{"filter": "attn", "value": 0.1}])
    assert isinstance(part, Varying)
    with pytest.raises(ValueError, match="no case takes h.0.mlp.w"):
        part.at("h.0.mlp.w", Depth("h", 0, 3, "inside"))
    assert in_leaves(over(part, read([0, 1]))) == [0.0, 0.1, 0.1 - 0.1, 0.1, 0.5, 0.1, 1.0, 0.0]
    assert over(0.3, 0.7) == 0.3


points = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=3).map(tuple)
filters = st.sampled_from(["attn", "mlp", "h.0", "h.0.attn", "w", "ln"])


@given(st.lists(st.builds(Case, filters, points), max_size=4), points)
def test_the_plain_form_is_the_same_number_in_every_leaf(cases: list[Case], last: tuple[float, ...]) -> None:
    number = Varying((*cases, Case("", last)))
    assert in_leaves(plainest(number)) == in_leaves(number)
    assert plainest(plainest(number)) == plainest(number)


def test_it_is_told_in_words() -> None:
    number = read([{"filter": "self_attn", "value": 0.7}, {"filter": "mlp\x1b", "value": [0, 1]}, {"value": 0.5}])
    assert f"{number:g}" == "0.7 in self_attn, 0 … 1 in mlp\\x1b, else 0.5"
    assert f"{read([0, 0.1, 0.2, 0.3, 0.4, 1]):g}" == "0 … 0.1 … (3 more) … 1"
