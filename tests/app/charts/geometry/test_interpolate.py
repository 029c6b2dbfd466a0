"""The drawing of an interpolation: the right lines at the right places, and names from outside stay text."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest

from app.charts.drawing.colours import dressed, palette
from app.charts.geometry.registry import drawing, drawings
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


def test_every_drawing_names_its_figures_once() -> None:
    for found in drawings().values():
        names = [info.name for info in found.figures]
        assert names and len(names) == len(set(names))


def estimate(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "interval": [low, high]}


def barrier(low: int = 0, high: int = 1, task: str | None = None, metric: str = "loss", **more: Any) -> dict[str, Any]:
    names = ("barrier", "held_out", "above_mean", "above_worse", "midpoint_gap")
    estimates = {name: estimate(1.0 + place, 0.5 + place, 1.25 + place) for place, name in enumerate(names)}
    where = {"from": low, "to": high, "split": "train", "task": task, "metric": metric, "at": 0.5, "points": 5}
    return {**where, "n": 9, **estimates, **more}


def test_every_variant_stands_at_its_value_with_its_interval() -> None:
    given = {**numbers([1.0, 2.0, 1.0]), "barriers": [barrier(), barrier(metric="error"), barrier(task="a")]}
    found = drawing("interpolate")
    assert found is not None
    loss, error = dict(found.draw(given, about(tasks=("a", "b"))))["barriers"]["data"]
    names = ["barrier", "held out", "above mean of ends", "above worse end", "midpoint gap"]
    assert [name for name, *_ in loss["customdata"]] == [*names, "Left"] and len(error["x"]) == len(names)
    assert loss["x"] == [1.0, 2.0, 3.0, 4.0, 5.0, 1.0]
    assert loss["error_x"]["array"] == [0.25] * 6 and loss["error_x"]["arrayminus"] == [0.5] * 6
    assert loss["marker"]["color"][-1] == "role:expert-3"


def test_of_more_models_each_step_and_the_whole_have_a_row() -> None:
    models = [{"ref": f"zoo:{name}", "title": name, "colour": 0} for name in "ABC"]
    steps = [(0, 1), (1, 2), (0, 2)]
    given = {
        **numbers([1.0, 2.0, 1.0]),
        "barriers": [barrier(*step, barrier=estimate(sum(step), 0, 9)) for step in steps],
    }
    found = drawing("interpolate")
    assert found is not None
    figure = dict(found.draw(given, {**about(), "models": models}))["barriers"]
    assert figure["layout"]["yaxis"]["ticktext"] == ["A → B", "B → C", "first to last"]
    assert figure["data"][0]["x"] == [1, 3, 2]


def test_a_barrier_is_named_at_its_top_unless_it_may_be_noise() -> None:
    for held_out, named in ((estimate(0.4, 0.1, 0.5), True), (estimate(0.1, -0.1, 0.5), False), (None, False)):
        given = {**numbers([1.0, 2.0, 1.0]), "barriers": [barrier(held_out=held_out)]}
        notes = [note for note in drawn(given, about())["layout"]["annotations"] if note["text"] == "B = 1.00"]
        assert [(note["x"], note["y"]) for note in notes] == ([(0.5, 2.0)] if named else [])


def test_the_place_at_which_half_of_the_barrier_is_made_is_marked() -> None:
    made = {"split": "train", "curve": [[0.0, 0.0], [0.5, 0.8], [1.0, 1.0]], "half": 0.25, "n": 40}
    found = drawing("interpolate")
    assert found is not None
    figure = dict(found.draw({**numbers([1.0, 2.0, 1.0]), "examples": [made]}, about()))["makers"]
    *_, curve, mark = figure["data"]
    assert (curve["x"], curve["y"]) == ([0.0, 0.5, 1.0], [0.0, 0.8, 1.0])
    assert (mark["x"], mark["y"]) == ([0.25], [pytest.approx(0.4)])
    assert any("25 % of the examples make half" in note["text"] for note in figure["layout"]["annotations"])
