"""The drawing of a plane: every value under its colour, models where they lie, nothing cut from the numbers."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest

from app.charts.drawing.colours import dressed, palette
from app.charts.geometry.landscape import even_levels, filled, rising_levels
from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.charts.roles import Figure
from tests.app.charts.test_charts import HOSTILE


def numbers(side: int = 5, tasks: int = 1, kind: str = "models") -> dict[str, Any]:
    """A bowl around the second cell, with three models in the plane and the base beside it."""
    lines = [float(index) for index in range(side)]
    loss: list[list[Any]] = [[0.1 + (x - 1) ** 2 + (y - 1) ** 2 for x in lines] for y in lines]
    accuracy: list[list[Any]] = [[1.0 / (1.0 + value) for value in row] for row in loss]
    layers: list[dict[str, Any]] = [{"split": "validation", "task": None, "title": "mean over tasks", "n": 20}]
    layers[0] |= {"loss": loss, "accuracy": accuracy}
    layers += [{**layers[0], "task": f"t{i}", "title": f"T {i}"} for i in range(tasks if tasks > 1 else 0)]
    spots = [(0.5, 0.5, 0.0), (3.0, 0.5, 0.0), (1.5, 3.0, 0.0), (1.4, 1.2, 0.7)]
    score = {"task": "t0", "split": "validation", "loss": 0.4, "accuracy": 0.9, "interval": [0.8, 1.0], "n": 20}
    return {
        "sentence": "Loss and accuracy.",
        "n": {"validation": 20, "train": 20},
        "kind": kind,
        "axes": ["along", "away"],
        "x": lines,
        "y": lines,
        "layers": layers,
        "places": [
            {"model": place if place < 3 else None, "name": "m", "x": x, "y": y, "distance": beside, "scores": [score]}
            for place, (x, y, beside) in enumerate(spots)
        ],
        "corners": [0, 1, 2],
        "lowest": [{"split": "validation", "loss": 0.1, "accuracy": 0.9, "x": 1.0, "y": 1.0}],
    }


def about(title: str = "Left", tasks: int = 1) -> dict[str, Any]:
    models = [{"ref": f"zoo:{i}", "title": title, "colour": i} for i in range(3)]
    return {"models": models, "tasks": [{"task": f"t{i}", "title": title, "colour": i} for i in range(tasks)]}


def drawn(given: dict[str, Any], who: dict[str, Any] | None = None) -> dict[str, Figure]:
    found = drawing("plane")
    assert found is not None
    return dict(found.draw(given, who or about()))


def trace(figure: Figure, name: str) -> dict[str, Any]:
    return next(one for one in figure["data"] if one["name"] == name)


def test_a_higher_loss_lies_higher_and_the_number_is_told() -> None:
    given = numbers()
    contour = trace(drawn(given)["loss"], "loss")
    for row, values in enumerate(given["layers"][0]["loss"]):
        for column, value in enumerate(values):
            assert contour["text"][row][column] == f"{value:.3f}"
            beyond = contour["z"][row][column] > contour["contours"]["end"]
            assert beyond or contour["z"][row][column] == pytest.approx(rising(given).place(value), abs=1e-3)
    assert contour["z"][1][1] == 0.0


def rising(given: dict[str, Any]) -> Any:
    rows = given["layers"][0]["loss"]
    near = [rows[row][column] for row in range(4) for column in range(4)]
    return rising_levels([value for row in rows for value in row], near)


def test_models_stand_at_their_coordinates_and_those_beside_the_plane_are_rings() -> None:
    given = numbers()
    figure = drawn(given)["loss"]
    marks = [one for one in figure["data"] if one["mode" if "mode" in one else "type"] == "markers"]
    spots = {(mark["x"][0], mark["y"][0]): mark for mark in marks}
    for place in given["places"]:
        mark = spots[place["x"], place["y"]]
        assert (mark["marker"]["color"] == "role:surface") == (place["distance"] > 0)
    assert "0.7 beside" in spots[1.4, 1.2]["hovertemplate"]
    assert trace(figure, "lines between models")["x"] == [0.5, 3.0, 1.5, 0.5]
    assert any("0.7 beside" in label["text"] for label in figure["layout"]["annotations"])


def test_axes_have_one_unit() -> None:
    layout = drawn(numbers())["loss"]["layout"]
    assert (layout["yaxis"]["scaleanchor"], layout["yaxis"]["scaleratio"]) == ("x", 1)


def test_a_loss_that_is_not_finite_is_above_all_and_an_unknown_one_is_between_its_neighbours() -> None:
    given = numbers()
    layer = given["layers"][0]
    layer["loss"][0][0] = None
    layer["loss"][1][1] = layer["accuracy"][1][1] = None
    contour = trace(drawn(given)["loss"], "loss")
    assert contour["z"][0][0] == max(max(row) for row in contour["z"])
    assert contour["text"][1][1] == "between measured cells"
    corners = [contour["z"][row][column] for row in (0, 2) for column in (0, 2)]
    assert contour["z"][1][1] == pytest.approx(sum(corners) / 4, abs=1e-3)


def test_before_three_by_three_cells_nothing_is_drawn() -> None:
    given = numbers()
    for what in ("loss", "accuracy"):
        given["layers"][0][what][4][4] = None
    assert drawn(given) == {}


def test_a_landscape_is_of_whole_grids_only() -> None:
    given = numbers()
    given["layers"][0]["loss"][1][2] = given["layers"][0]["accuracy"][1][2] = None
    body = drawn(given)["surface"]
    given["layers"][0]["loss"][3][3] = 99.0
    assert drawn(given)["surface"] == body
    surface = trace(body, "loss")
    assert surface["x"] == surface["y"] == [0.0, 2.0, 4.0]
    rows = given["layers"][0]["loss"]
    assert surface["text"] == [[f"{rows[row][column]:.3f}" for column in (0, 2, 4)] for row in (0, 2, 4)]


def test_each_task_has_its_map_where_there_are_several() -> None:
    figure = drawn(numbers(tasks=6), about(tasks=6))["tasks"]
    contours = [one for one in figure["data"] if one["type"] == "contour"]
    assert [one["xaxis"] for one in contours] == ["x", "x2", "x3", "x4", "x5", "x6"]
    assert len({json.dumps(one["contours"]) for one in contours}) == 1
    assert contours[0]["text"][1][1] == "90.9%, 95 % interval 69.9% – 97.2%"
    assert "tasks" not in drawn(numbers())


def test_another_split_has_its_map_and_says_so() -> None:
    given = numbers()
    given["layers"].append({**given["layers"][0], "split": "train"})
    found = drawn(given)
    assert [label["text"] for label in found["tasks"]["layout"]["annotations"]] == ["train"]
    assert found["loss"]["layout"]["annotations"][0]["text"] == "validation, n 20"


def test_a_merge_has_its_own_colour() -> None:
    who = about()
    who["models"][1] |= {"kind": "merge", "colour": None}
    marks = {one["x"][0]: one for one in drawn(numbers(), who)["loss"]["data"] if one.get("mode") == "markers"}
    assert marks[3.0]["marker"]["color"] == "role:merge"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plotly_and_the_server_draw_it_with_hostile_names_as_text(theme: str) -> None:
    found = drawn(numbers(tasks=2), about(HOSTILE, tasks=2))
    assert list(found) == ["loss", "accuracy", "surface", "tasks"]
    for name, figure in found.items():
        text = json.dumps(figure)
        assert "<img" not in text and "<a " not in text and "$" not in text
        go.Figure(dressed({key: figure[key] for key in ("data", "layout")}, palette(theme)))
        if name != "surface":
            assert render(figure, form="png", theme=theme)[:4] == b"\x89PNG"


@pytest.mark.parametrize("kind", ["task vectors", "random", "principal"])
def test_other_planes_have_their_own_axes_and_lines(kind: str) -> None:
    given = numbers(kind=kind)
    given["corners"] = [2, 0, 1] if kind == "task vectors" else []
    figure = drawn(given)["loss"]
    names = [one["name"] for one in figure["data"]]
    assert ("lines between models" in names) == (kind == "task vectors")
    assert ("base" in names) == (kind != "random")
    assert figure["layout"]["xaxis"]["title"]["text"].startswith("along")


def test_levels_of_accuracy_are_whole_percents() -> None:
    levels = even_levels([0.305, 0.94])
    assert levels.step == 0.1 and levels.ticks[0] == (0.0, "30 %")
    assert levels.place(0.94) == pytest.approx(0.64)


def test_levels_of_loss_part_what_is_low() -> None:
    levels = rising_levels([0.05, 0.06, 0.1, 0.5, 2.0, 30.0] * 10)
    places = [levels.place(value) for value in (0.05, 0.5, 2.0, 30.0)]
    assert places == sorted(places) and places[1] - places[0] > levels.step


def test_a_barrier_between_models_is_seen_under_far_higher_walls() -> None:
    values = [0.1] * 40 + [1.0, 2.0] + [300.0] * 60
    blind, seen = rising_levels(values), rising_levels(values, [0.1, 1.0, 2.0])
    assert blind.place(2.0) < blind.step
    assert seen.place(1.0) > seen.step and seen.place(2.0) - seen.place(1.0) > seen.step / 2
    assert seen.place(0.1) == 0.0 and seen.place(300.0) < seen.end + seen.step


def test_one_value_everywhere_is_no_error() -> None:
    assert rising_levels([1.0, 1.0]).place(1.0) == 0.0
    assert even_levels([0.5]).place(0.5) == 0.0
    assert filled([[1.0, 1.0, 1.0]] * 3) == [[1.0, 1.0, 1.0]] * 3
