"""The drawing of an interpolation: the right lines at the right places, and names from outside stay text."""

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


def mean(t: float, loss: float) -> dict[str, Any]:
    intervals = {"loss_interval": [loss - 0.1, loss + 0.1], "accuracy_interval": None}
    return {"t": t, "split": "train", "loss": loss, "accuracy": 0.5, **intervals}


def numbers(losses: list[float], splits: tuple[str, ...] = ("validation", "train")) -> dict[str, Any]:
    """Points of one task from model 0 to model 1, with these losses."""
    return {
        "sentence": "Loss and accuracy.",
        "range": [0.0, 1.0],
        "means": [mean(place / (len(losses) - 1), loss) for place, loss in enumerate(losses)],
        "barriers": [],
        "examples": [],
        "points": [
            {
                "t": place / (len(losses) - 1),
                "scores": [
                    {"task": "a", "title": "A", "split": split, "loss": loss, "accuracy": 0.5, "interval": [0.4, 0.6]}
                    for split in splits
                ],
            }
            for place, loss in enumerate(losses)
        ],
    }


def about(title: str = "Left", tasks: tuple[str, ...] = ("a",)) -> dict[str, Any]:
    models = [{"ref": f"zoo:{i}", "title": title, "colour": i} for i in range(2)]
    return {"models": models, "tasks": [{"task": task, "title": title, "colour": 3} for task in tasks]}


def drawn(given: dict[str, Any], who: dict[str, Any]) -> Figure:
    found = drawing("interpolate")
    assert found is not None
    return dict(found.draw(given, who))["path"]


def test_the_barrier_is_shaded_from_the_chord_to_the_curve_where_it_lies_above() -> None:
    traces = {trace["name"]: trace for trace in drawn(numbers([1.0, 0.5, 3.0, 4.0, 2.0]), about())["data"]}
    assert traces["chord"]["y"] == pytest.approx([1.0, 1.25, 1.5, 1.75, 2.0])
    assert traces["barrier, train"]["y"] == pytest.approx([1.0, 1.25, 3.0, 4.0, 2.0])


def test_train_is_solid_validation_dashed_and_the_mean_is_of_the_tasks() -> None:
    given = numbers([1.0, 2.0, 1.0])
    for point in given["points"]:
        point["scores"] += [{**score, "task": "b", "loss": score["loss"] + 2} for score in point["scores"]]
    traces = {trace["name"]: trace for trace in drawn(given, about(tasks=("a", "b")))["data"]}
    assert {name: traces[f"mean, {name}"]["line"]["dash"] for name in ("train", "validation")} == {
        "train": "solid",
        "validation": "dash",
    }
    assert traces["mean, train"]["y"] == [2.0, 3.0, 2.0]
    alone = {trace["name"]: trace for trace in drawn(numbers([1.0, 2.0], ("validation",)), about())["data"]}
    assert alone["Left, validation"]["line"]["dash"] == "solid"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plotly_and_the_server_draw_it_with_hostile_names_as_text(theme: str) -> None:
    figure = drawn(numbers([1.0, 2.0, 1.0], ("validation",)), about(HOSTILE))
    text = json.dumps(figure)
    assert "<img" not in text and "<a " not in text and "$" not in text
    go.Figure(dressed({key: figure[key] for key in ("data", "layout")}, palette(theme)))
    assert render(figure, form="png", theme=theme)[:4] == b"\x89PNG"


def test_one_point_draws_nothing_yet() -> None:
    found = drawing("interpolate")
    assert found is not None
    assert found.draw({**numbers([1.0, 2.0]), "points": numbers([1.0, 2.0])["points"][:1]}, about()) == {}
