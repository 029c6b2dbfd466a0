"""The drawing of a trained curve: line and curve over t, on their splits, under attack, and as it grew."""

from __future__ import annotations

import json
from typing import Any, cast

import plotly.graph_objects as go
import pytest

from app.charts.drawing.colours import dressed, palette
from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.charts.roles import Figure
from merging_core.analysis.curves.study import CURVE
from merging_core.analysis.studies.memory import Memory
from tests.analysis.studies.small import small_bench, small_spec
from tests.app.charts.test_charts import HOSTILE

ABOUT: dict[str, Any] = {
    "models": [{"ref": "a", "title": "Left", "colour": 0}, {"ref": "b", "title": HOSTILE, "colour": 1}],
    "tasks": [{"task": "basins/digits", "title": "Digits", "colour": 0}],
}


@pytest.fixture(scope="module")
def findings() -> list[dict[str, Any]]:
    params = {"points": 5, "steps": 3, "batch": 8, "against": "linf", "attack_steps": 1}
    spec = small_spec(CURVE, study={"name": "curve", "params": params})
    return [cast("dict[str, Any]", one.numbers) for one in CURVE.answer(spec, small_bench(), Memory())]


def drawn(numbers: dict[str, Any], **changed: Any) -> dict[str, Figure]:
    found = drawing("curve")
    assert found is not None
    return dict(found.draw(numbers, {**ABOUT, **changed}))


def test_line_and_curve_stand_where_they_were_measured(findings: list[dict[str, Any]]) -> None:
    traces = {trace["name"]: trace for trace in drawn(findings[-1])["curve"]["data"]}
    paths = {path["what"]: path for path in findings[-1]["paths"] if path["under"] == "clean"}
    for what in ("line", "curve"):
        for split in ("train", "validation"):
            points = paths[what]["splits"][split]["points"]
            assert traces[f"{what}, {split}"]["y"] == [point["loss"] for point in points]
            assert traces[f"{what}, {split}"]["x"] == [0.0, 0.25, 0.5, 0.75, 1.0]
            assert traces[f"{what}, {split}, accuracy"]["y"] == [point["accuracy"] for point in points]
    assert traces["line, train"]["line"]["dash"] == "solid" != traces["line, validation"]["line"]["dash"]
    assert traces["line, train"]["line"]["color"] != traces["curve, train"]["line"]["color"]


def test_of_several_tasks_each_has_a_thin_line_on_the_curve(findings: list[dict[str, Any]]) -> None:
    numbers = json.loads(json.dumps(findings[-1]))
    for path in numbers["paths"]:
        for part in path["splits"].values():
            for point in part["points"]:
                point["tasks"].append({**point["tasks"][0], "task": "b", "loss": 7.0})
    tasks = [{"task": name, "title": name, "colour": place} for place, name in enumerate(("a", "b"))]
    traces = {trace["name"]: trace for trace in drawn(numbers, tasks=tasks)["curve"]["data"]}
    assert traces["b"]["y"] == [7.0] * 5 and traces["b"]["line"]["width"] < traces["curve, train"]["line"]["width"]
    assert "b" not in {trace["name"] for trace in drawn(findings[-1])["curve"]["data"]}


def test_what_is_not_there_yet_is_left_out(findings: list[dict[str, Any]]) -> None:
    assert set(drawn(findings[0])) == {"curve", "attacked"}
    assert set(drawn(findings[-1])) == {"curve", "attacked", "growth"}
    plain = {**findings[-1], "paths": [path for path in findings[-1]["paths"] if path["under"] == "clean"]}
    assert set(drawn(plain)) == {"curve", "growth"}


def test_it_grew_step_by_step(findings: list[dict[str, Any]]) -> None:
    traces = {trace["name"]: trace for trace in drawn(findings[-1])["growth"]["data"]}
    assert set(traces) == {
        "batches, mean", "between the ends, train", "between the ends, validation",
        "between the ends, ℓ∞, train", "between the ends, ℓ∞, validation",
    }  # fmt: skip
    assert traces["between the ends, train"]["x"] == [0, 1, 2, 3]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plotly_and_the_server_draw_it_with_hostile_names_as_text(findings: list[dict[str, Any]], theme: str) -> None:
    for figure in drawn(findings[-1]).values():
        text = json.dumps(figure)
        assert "<img" not in text and "<a " not in text and "$" not in text
        go.Figure(dressed({key: figure[key] for key in ("data", "layout")}, palette(theme)))
        assert render(figure, form="png", theme=theme)[:4] == b"\x89PNG"
