"""The drawing of representations: each pair a line, each model a colour, and names from outside stay text."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go

from app.charts.drawing.colours import dressed, palette
from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.charts.roles import Figure
from tests.app.charts.test_charts import HOSTILE


def numbers(models: int = 2, base: bool = True) -> dict[str, Any]:
    places = [*([None] if base else []), *range(models)]
    row = [{"value": value, "interval": [value - 0.01, value + 0.01]} for value in (0.9, 0.8, 0.7)]
    mean = {"task": "mean over tasks", "split": "validation", "n": 20}
    pairs = [
        {"first": one, "second": other, "means": [{**mean, "cka": row}]}
        for at, one in enumerate(places)
        for other in places[at + 1 :]
    ]
    moved = [{"model": place, "means": [{**mean, "distance": row, "cosine": row}]} for place in range(models) if base]
    matrix = {"first": 0, "second": models - 1, "values": [[1.0, 0.5, None]] * 3}
    return {"layers": ["before", "block 1", "output"], "pairs": pairs, "moved": moved, "matrix": matrix}


def about(title: str = "Left", models: int = 2) -> dict[str, Any]:
    who = [{"ref": f"zoo:{i}", "title": title, "colour": i, "kind": "expert"} for i in range(models - 1)]
    merge = {"ref": "merge", "title": title, "colour": None, "kind": "merge"}
    return {"models": [*who, merge], "tasks": [{"task": "a", "title": title, "colour": 3}]}


def drawn(given: dict[str, Any], who: dict[str, Any]) -> dict[str, Figure]:
    found = drawing("representations")
    assert found is not None
    return dict(found.draw(given, who))


def test_a_pair_with_the_base_has_the_models_colour_and_a_pair_of_models_has_both() -> None:
    lines = drawn(numbers(), about())["cka"]["data"]
    tints = [(line["line"]["color"], line["marker"]["color"], line["line"]["dash"]) for line in lines]
    assert tints == [
        ("role:expert-0", "role:expert-0", "solid"),
        ("role:merge", "role:merge", "solid"),
        ("role:expert-0", "role:merge", "dot"),
    ]


def test_without_a_base_there_is_no_drift_and_of_many_pairs_those_of_the_first_are_drawn() -> None:
    figures = drawn(numbers(6, base=False), about(models=6))
    assert list(figures) == ["cka", "layers"] and len(figures["cka"]["data"]) == 5


def test_plotly_and_the_server_draw_it_with_hostile_names_as_text() -> None:
    for figure in drawn(numbers(), about(HOSTILE)).values():
        text = json.dumps(figure)
        assert "<img" not in text and "<a " not in text and "$" not in text
        go.Figure(dressed({key: figure[key] for key in ("data", "layout")}, palette("dark")))
        assert render(figure, form="png", theme="dark", scale=1)[:4] == b"\x89PNG"
