"""The drawings of kernel behaviour and of tangent prediction: what stands where, and names from outside as text."""

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


def about(title: str = "Left") -> dict[str, Any]:
    models = [{"ref": f"zoo:{i}", "title": title, "colour": i} for i in range(2)]
    return {"models": models, "tasks": [{"task": "a", "title": title, "colour": 3}]}


def kernel(title: str = "A") -> dict[str, Any]:
    points = [
        {"place": place, "model": "m", "task": "a", "title": title, "alpha": alpha, "accuracy": 0.5 + alpha / 4,
         "interval": [0.4 + alpha / 4, 0.6 + alpha / 4], "linearised": 0.5, "linearised_interval": [0.4, 0.6],
         "difference": {"value": -0.1, "interval": [-0.2, 0.0]}, "n": 40}
        for place in (0, 1) for alpha in (0.5, 1.0)
    ]  # fmt: skip
    row = {"place": 1, "model": "m", "task": "a", "title": title, "examples": 4, "logits": 2, "growth": 0.9}
    moved = [{**row, "distance": 0.25, "interval": [0.125, 0.5]}, {**row, "distance": None, "interval": None}]
    return {"models": ["m", "m"], "points": points, "kernels": moved}


def tangent(title: str = "A", foretold: float | None = 0.5) -> dict[str, Any]:
    error = None if foretold is None else {"value": foretold - 0.75, "interval": [-0.5, 0.0]}
    known = {"accuracy": 0.75, "interval": [0.6, 0.8], "foretold": foretold, "error": error, "same": None}
    known["same"] = None if foretold is None else 0.9
    points = [
        {"lambda": share, "tasks": [{"task": "a", "title": title, "n": 9, **known}], "mean": known}
        for share in (0.0, 1.0)
    ]
    return {"tasks": [{"task": "a", "title": title}], "points": points}


def drawn(study: str, given: dict[str, Any], who: dict[str, Any]) -> dict[str, Figure]:
    found = drawing(study)
    assert found is not None
    return dict(found.draw(given, who))


def test_each_model_is_a_line_of_growing_dots_and_only_the_last_has_its_interval() -> None:
    figures = drawn("kernel", kernel(), about())
    _, left, right = figures["behaviour"]["data"]
    assert (left["x"], left["y"]) == ([0.625, 0.75], [0.5, 0.5]) and left["marker"]["size"] == [8, 11]
    assert left["error_x"]["array"] == pytest.approx([0.0, 0.1])
    assert [line["marker"]["color"] for line in (left, right)] == ["role:expert-0", "role:expert-1"]
    (bars,) = figures["kernels"]["data"]
    assert bars["y"] == [0.25] and bars["error_y"]["array"] == [0.25] and bars["error_y"]["arrayminus"] == [0.125]


def test_before_anything_is_foretold_only_the_truth_is_drawn() -> None:
    assert list(drawn("tangent", tangent(foretold=None), about())) == ["foretold"]
    figures = drawn("tangent", tangent(), about())
    truth, dashed = figures["foretold"]["data"]
    assert truth["y"] == [0.75, 0.75] and dashed["y"] == [0.5, 0.5] and dashed["line"]["dash"] == "dash"
    assert figures["error"]["data"][-1]["y"] == [-0.25, -0.25]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plotly_and_the_server_draw_them_with_hostile_names_as_text(theme: str) -> None:
    figures = [*drawn("kernel", kernel(HOSTILE), about(HOSTILE)).values(),
               *drawn("tangent", tangent(HOSTILE), about(HOSTILE)).values()]  # fmt: skip
    assert len(figures) == 4
    for figure in figures:
        text = json.dumps(figure)
        assert "<img" not in text and "<a " not in text and "$" not in text
        go.Figure(dressed({key: figure[key] for key in ("data", "layout")}, palette(theme)))
        assert render(figure, form="png", theme=theme)[:4] == b"\x89PNG"
