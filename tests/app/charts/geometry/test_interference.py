"""The drawing of interference: every pair at its method, before and after, and honest where little is known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.charts.roles import Figure
from tests.app.charts.test_charts import HOSTILE

PAIRS = [[0, 1], [0, 2], [1, 2]]
METHODS = ["sum", "ties"]


def numbers(*, measured: bool = True, told: bool = True) -> dict[str, Any]:
    scores = {
        "sum": [{"cancelled": 0.2}, {"cancelled": 0.4}, None],
        "ties": [{"cancelled": 0.0}, None, None],
    }
    rows = [
        {"split": "validation", "method": method, "pair": pair, "accuracy": 0.5, "interval": [0.4, 0.6], "n": 40}
        | {"normalised": 0.8 + 0.1 * pair, "normalised_interval": [0.7, 0.95], "partial": True, "tasks": ["x"]}
        for method in METHODS
        for pair in (0, 1)
    ]
    relation = {"split": "validation", "score": "cancelled", "title": "", "spearman": -0.5, "interval": [-0.8, 0.1]}
    change = {"split": "validation", "method": "ties", "normalised": 0.02, "interval": [-0.01, 0.05]}
    return {
        "models": ["a", "b", "c"],
        "pairs": PAIRS,
        "methods": [{"name": name, "title": name.upper(), "summary": ""} for name in METHODS],
        "scores": scores,
        "accuracies": rows if measured else [],
        "relations": [{**relation, "p": 0.25, "pairs": 3, "models": 3}] if told else [],
        "changes": [change] if told else [],
    }


def about(title: str = "Left") -> dict[str, Any]:
    return {"models": [{"ref": f"zoo:{i}", "title": title, "colour": i} for i in range(3)], "tasks": []}


def drawn(given: dict[str, Any], who: dict[str, Any] | None = None) -> dict[str, Figure]:
    found = drawing("interference")
    assert found is not None
    return dict(found.draw(given, who or about()))


def test_each_pair_stands_in_the_row_of_its_method() -> None:
    found = drawn(numbers())
    assert found["scores"]["data"][0]["z"] == [[0.2, 0.0], [0.4, None], [None, None]]
    assert found["kept"]["data"][0]["z"] == [[0.8, 0.8], [0.9, 0.9], [None, None]]
    assert "n 40 (preview)" in found["kept"]["data"][0]["customdata"][0][1][2]


def test_slopes_go_from_the_sum_to_the_method_and_their_mean_is_of_the_pairs_that_are_known() -> None:
    traces = drawn(numbers())["slopes"]["data"]
    assert [trace["name"] for trace in traces] == ["each pair", "mean of pairs"] * 2
    assert traces[0]["y"] == [0.2, 0.0, None] and traces[1]["y"] == [0.2, 0.0]
    assert traces[3]["y"] == pytest.approx([0.85, 0.85])


def test_no_axis_stands_without_a_line() -> None:
    given = numbers()
    given["methods"].append({"name": "dare", "title": "DARE", "summary": ""})
    given["scores"]["dare"] = [None] * 3
    figure = drawn(given)["slopes"]
    named = {trace["xaxis"].replace("x", "xaxis") for trace in figure["data"]}
    assert named == {key for key in figure["layout"] if key.startswith("xaxis")}


def test_a_dot_has_the_colours_of_both_experts_and_its_interval() -> None:
    figure = drawn(numbers())["relation"]
    (dots,) = figure["data"]
    assert dots["marker"]["color"] == ["role:expert-0"] * 2
    assert dots["marker"]["line"]["color"] == ["role:expert-1", "role:expert-2"]
    assert dots["error_y"]["arrayminus"] == pytest.approx([0.1, 0.2])
    assert figure["layout"]["annotations"][0]["text"] == "Spearman −0.50 (−0.80 to 0.10), p 0.25; 3 pairs"


def test_what_is_not_known_yet_is_not_drawn() -> None:
    assert set(drawn(numbers(measured=False, told=False))) == {"scores", "slopes"}
    assert set(drawn(numbers(told=False))) == {"scores", "kept", "slopes", "relation"}
    nothing = {**numbers(measured=False, told=False), "scores": {"sum": [None] * 3, "ties": [None] * 3}}
    assert drawn(nothing) == {}
    assert set(drawn(numbers())) == {info.name for info in drawing("interference").figures}  # type: ignore[union-attr]


def test_names_from_outside_stay_text_and_the_server_draws_the_slopes() -> None:
    found = drawn(numbers(), about(HOSTILE))
    text = json.dumps(found)
    assert "<img" not in text and "<a " not in text and "$" not in text
    assert render(found["slopes"], form="svg", width=380, height=300).startswith(b"<svg")
