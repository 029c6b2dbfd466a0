"""The drawing of task vectors: each pair at its cell, and one leaf as maps of one scale."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.charts.roles import Figure
from tests.app.charts.test_charts import HOSTILE

PAIRS = [[0, 1], [0, 2], [1, 2]]


def row(**more: Any) -> dict[str, Any]:
    found = {"elements": 9, "of": 9, "norms": [1.0, 2.0, 0.0], "moved": [0.1, 0.2, 0.0], "cosines": [0.5, None, None]}
    return {**found, "clashes": [0.4, None, None], "overlaps": [0.2, 0.0, 0.0], "chances": [0.1, 0.1, None], **more}


def numbers(chosen: int = 0) -> dict[str, Any]:
    rank = {"leaf": HOSTILE, "index": 1, "depth": "0", "shape": [4, 8], "stable": [2.0, 1.0, None]}
    found = {
        "models": ["a", "b", "c"],
        "pairs": PAIRS,
        "whole": row(sampled=False),
        "depths": [{"depth": "0", "leaves": 2, **row()}, {"depth": "after", "leaves": 1, **row()}],
        "leaves": [],
        "total": 3,
        "ranks": [{**rank, "effective": [3.0, 2.0, None]}],
        "chosen": chosen,
    }
    if chosen:
        maps = [[[0.1, -0.4], [0.0, 0.2]]] * 3
        cuts = {"rows": [0, 2, 4], "columns": [0, 4, 8]}
        values = [[3.0, 1.0], [2.0, 1.0], None]
        clashes = [[0.0, 0.5], [1.0, 0.0]]
        found["matrix"] = {"leaf": "w", "shape": [4, 8], **cuts, "pictures": maps, "clashes": clashes, "values": values}
    return found


def about(title: str = "Left") -> dict[str, Any]:
    return {"models": [{"ref": f"zoo:{i}", "title": title, "colour": i} for i in range(3)], "tasks": []}


def drawn(given: dict[str, Any], who: dict[str, Any]) -> dict[str, Figure]:
    found = drawing("vectors")
    assert found is not None
    return dict(found.draw(given, who))


def test_each_pair_stands_at_its_two_cells_and_overlaps_are_counted_in_chances() -> None:
    found = drawn(numbers(), about())
    assert found["cosines"]["data"][0]["z"] == [[None, 0.5, None], [0.5, None, None], [None, None, None]]
    assert found["overlaps"]["data"][0]["z"] == [[None, 2.0, 0.0], [2.0, None, None], [0.0, None, None]]
    clashes = found["clashes"]["data"][0]
    assert (clashes["zmin"], clashes["zmax"]) == pytest.approx((0.4, 0.6))


def test_layers_and_ranks_are_shown_of_the_whole_and_maps_of_a_chosen_leaf() -> None:
    names = [info.name for info in drawing("vectors").figures]  # type: ignore[union-attr]
    whole, leaf = drawn(numbers(), about()), drawn(numbers(chosen=3), about())
    assert set(whole) == {"cosines", "clashes", "overlaps", "norms", "layers", "ranks"}
    assert set(leaf) == {"cosines", "clashes", "overlaps", "blocks", "clash", "values"}
    assert {*whole, *leaf} == set(names)
    assert whole["layers"]["data"][0]["z"] == [[0.5, 0.5], [None, None], [None, None]]
    assert [trace["y"] for trace in whole["ranks"]["data"]] == [[0.75], [0.75], [0.5], [0.5], [], []]


def test_all_maps_have_one_scale_and_rows_run_downwards() -> None:
    blocks = drawn(numbers(chosen=3), about())["blocks"]
    assert {(trace["zmin"], trace["zmax"]) for trace in blocks["data"]} == {(-0.4, 0.4)}
    assert [trace["showscale"] for trace in blocks["data"]] == [False, True, False]
    assert blocks["data"][0]["y"] == [0.5, 2.5] and blocks["layout"]["yaxis"]["range"] == [3.5, -0.5]


def test_one_model_has_no_pairs() -> None:
    alone = {**numbers(), "models": ["a"], "pairs": []}
    single = {**row(), "norms": [1.0], "moved": [0.1], "cosines": [], "clashes": [], "overlaps": [], "chances": []}
    alone |= {"whole": single, "depths": [{"depth": "0", **single}], "ranks": []}
    who = {"models": about()["models"][:1], "tasks": []}
    assert set(drawn(alone, who)) == {"norms"}


@pytest.mark.parametrize("chosen", [0, 3])
def test_names_from_outside_stay_text(chosen: int) -> None:
    text = json.dumps(drawn(numbers(chosen), about(HOSTILE)))
    assert "<img" not in text and "<a " not in text and "$" not in text


def test_the_server_draws_the_maps_of_a_leaf() -> None:
    blocks = drawn(numbers(chosen=3), about())["blocks"]
    assert render(blocks, form="svg", width=380, height=300).startswith(b"<svg")
