"""The drawing of weight disentanglement: one scale, the frame of useful coefficients, names from outside as text."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest

from app.charts.drawing.colours import dressed, palette
from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.charts.roles import Figure
from tests.app.charts.test_charts import HOSTILE

GRID = [-1.0, 0.0, 1.0]


def entangled(name: str, corner: float | None, top: float) -> dict[str, Any]:
    rows = [[top, 0.25, corner], [0.25, 0.0, 0.25], [top, 0.25, 0.5]]
    box = {"cells": 4, "n": 40, "value": 0.25, "interval": [0.2, 0.3]}
    same = {key: rows for key in ("values", "low", "high", "first", "second")}
    return {"name": name, "n": 40, **same, "box": None if corner is None else box}


def numbers(title: str = "A", corner: float | None = 1.0) -> dict[str, Any]:
    maps = [entangled("non-linear", corner, 1.5), entangled("post-hoc linearised", 1.0, 1.25)]
    return {"tasks": [{"task": "a", "title": title}, {"task": "b", "title": "B"}], "alphas": GRID, "maps": maps}


def drawn(given: dict[str, Any]) -> Figure:
    found = drawing("disentangle")
    assert found is not None
    return dict(found.draw(given, {"models": [], "tasks": []}))["disentanglement"]


def test_all_maps_have_one_scale_and_the_frame_of_useful_coefficients() -> None:
    figure = drawn(numbers())
    assert [trace["name"] for trace in figure["data"]] == ["non-linear", "post-hoc linearised"]
    assert {(trace["zmin"], trace["zmax"]) for trace in figure["data"]} == {(0, 1.5)}
    assert [trace["showscale"] for trace in figure["data"]] == [False, True]
    frames = [
        (shape["x0"], shape["x1"], shape["y0"], shape["y1"], shape["xref"]) for shape in figure["layout"]["shapes"]
    ]
    assert frames == [(0.0, 1.0, 0.0, 1.0, "x"), (0.0, 1.0, 0.0, 1.0, "x2")]
    assert "mean in the box 0.250 (0.200 – 0.300)" in figure["layout"]["annotations"][0]["text"]


def test_a_cell_that_is_not_measured_has_its_neighbour_s_colour_and_says_so() -> None:
    figure = drawn(numbers(corner=None))
    assert figure["data"][0]["z"][0] == [1.5, 0.25, 0.25]
    assert figure["data"][0]["customdata"][0][2] == "not measured yet"
    assert figure["layout"]["annotations"][0]["text"] == "non-linear"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plotly_and_the_server_draw_it_with_hostile_names_as_text(theme: str) -> None:
    figure = drawn(numbers(HOSTILE))
    text = json.dumps(figure)
    assert "<img" not in text and "<a " not in text and "$" not in text
    go.Figure(dressed({key: figure[key] for key in ("data", "layout")}, palette(theme)))
    assert render(figure, form="png", theme=theme)[:4] == b"\x89PNG"
