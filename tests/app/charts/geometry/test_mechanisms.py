"""The drawing of mechanisms: changes in two groups, pairs told apart by form, and names from outside stay text."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go

from app.charts.drawing.colours import dressed, palette
from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.charts.roles import Figure
from tests.app.charts.geometry.test_representations import about
from tests.app.charts.test_charts import HOSTILE


def numbers() -> dict[str, Any]:
    changes = [
        {"name": "noise", "title": "Noise", "keeps": "shape"},
        {"name": "turned", "title": "Turned", "keeps": "texture"},
    ]
    value = {"value": 0.2, "interval": [0.1, 0.3]}
    effects = [
        {
            "intervention": change["name"],
            "split": "validation",
            "model": place,
            "mean": {"loss": value, "accuracy": value, "flips": value, "n": 20},
        }
        for change in changes
        for place in range(3)
    ]
    pairs = [
        {
            "first": one,
            "second": other,
            "barriers": [{"split": "validation", "height": 0.5 * other}],
            "agreements": [
                {"intervention": change["name"], "split": "validation", "correlation": value} for change in changes
            ],
            "similarity": [{"split": "validation", "both": 0.6}],
        }
        for one, other in ((0, 1), (0, 2), (1, 2))
    ]
    return {"interventions": changes, "effects": effects, "pairs": pairs}


def drawn(given: dict[str, Any], title: str = "Left") -> dict[str, Figure]:
    found = drawing("mechanisms")
    assert found is not None
    return dict(found.draw(given, about(title, 3)))


def test_changes_that_keep_the_shape_stand_over_those_that_keep_the_texture() -> None:
    figure = drawn(numbers())["effects"]
    assert figure["layout"]["yaxis"]["ticktext"] == ["Noise", "Turned"]
    low, high = figure["layout"]["yaxis"]["range"]
    assert low > high and len(figure["data"]) == 6


def test_pairs_have_forms_of_their_own() -> None:
    for name in ("alike", "barriers"):
        symbols = [trace["marker"]["symbol"] for trace in drawn(numbers())[name]["data"]]
        assert len(set(symbols)) == 3


def test_what_is_not_measured_yet_is_not_drawn() -> None:
    given = numbers()
    for pair in given["pairs"]:
        pair["barriers"] = []
    assert list(drawn(given)) == ["effects", "alike"]
    assert drawn({"interventions": [], "effects": [], "pairs": []}) == {}


def test_plotly_and_the_server_draw_it_with_hostile_names_as_text() -> None:
    for figure in drawn(numbers(), HOSTILE).values():
        text = json.dumps(figure)
        assert "<img" not in text and "<a " not in text and "$" not in text
        go.Figure(dressed({key: figure[key] for key in ("data", "layout")}, palette("dark")))
        assert render(figure, form="png", theme="dark", scale=1)[:4] == b"\x89PNG"
