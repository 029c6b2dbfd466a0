"""The drawing of foretold answers: the true ones beside them, line and curve apart, known points without an error."""

from __future__ import annotations

import json
from typing import Any, cast

import plotly.graph_objects as go
import pytest

from app.charts.drawing.colours import dressed, palette
from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.charts.roles import Figure
from merging_core.analysis.curves.bridge import BRIDGE
from merging_core.analysis.studies.memory import Memory
from tests.analysis.studies.small import small_bench, small_spec
from tests.app.charts.test_charts import HOSTILE

ABOUT = {"models": [{"ref": "a", "title": "Left", "colour": 0}, {"ref": "b", "title": HOSTILE, "colour": 1}]}


@pytest.fixture(scope="module")
def findings() -> list[dict[str, Any]]:
    params = {"points": 5, "nodes": 3, "steps": 2, "batch": 8, "fit": 20}
    spec = small_spec(BRIDGE, study={"name": "bridge", "params": params})
    return [cast("dict[str, Any]", one.numbers) for one in BRIDGE.answer(spec, small_bench(), Memory())]


def drawn(numbers: dict[str, Any]) -> dict[str, Figure]:
    found = drawing("bridge")
    assert found is not None
    return dict(found.draw(numbers, ABOUT))


def test_true_and_foretold_accuracy_stand_where_they_were_measured(findings: list[dict[str, Any]]) -> None:
    traces = drawn(findings[-1])["accuracy"]["data"]
    for path, axes in zip(findings[-1]["paths"], (None, "x2"), strict=True):
        own = {trace["name"]: trace for trace in traces if trace.get("xaxis") == axes}
        assert own["true"]["y"] == [point["accuracy"] for point in path["points"]]
        assert own["polynomial"]["y"] == [point["foretold"]["nodes"]["accuracy"] for point in path["points"]]
        assert own["true"].get("showlegend", True) == (axes is None)


def test_what_is_known_has_no_error_that_could_be_drawn(findings: list[dict[str, Any]]) -> None:
    alone = next(one for one in findings if "nodes" in one["paths"][0]["points"][0]["foretold"])
    traces = {trace["name"]: trace for trace in drawn(alone)["error"]["data"]}
    assert traces["first order"]["y"][0] is None and traces["first order"]["y"][1] > 0.0
    assert "yaxis2" not in drawn(alone)["error"]["layout"]


def test_at_first_the_ends_are_all_that_is_known(findings: list[dict[str, Any]]) -> None:
    assert [trace["name"] for trace in drawn(findings[0])["error"]["data"]] == ["mean of the ends"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plotly_and_the_server_draw_it_with_hostile_names_as_text(findings: list[dict[str, Any]], theme: str) -> None:
    for figure in drawn(findings[-1]).values():
        text = json.dumps(figure)
        assert "<img" not in text and "<a " not in text and "$" not in text
        go.Figure(dressed({key: figure[key] for key in ("data", "layout")}, palette(theme)))
        assert render(figure, form="png", theme=theme)[:4] == b"\x89PNG"
