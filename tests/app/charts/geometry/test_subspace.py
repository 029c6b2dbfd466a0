"""The drawing of a subspace: places where their weights put them, fuller where the loss is lower, halves apart."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest

from app.charts.drawing.colours import dressed, palette
from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.charts.roles import Figure
from tests.app.charts.geometry.test_representations import about
from tests.app.charts.test_charts import HOSTILE


def place(weights: list[float], loss: float, chosen: float, kind: str = "random", models: tuple[int, ...] = ()) -> Any:
    held = {"split": "validation", "loss": loss, "loss_interval": [loss - 0.1, loss + 0.1], "accuracy": 0.5}
    held |= {"interval": [0.4, 0.6], "n": 20}
    return {"kind": kind, "models": list(models), "weights": weights, "chosen_by": chosen, "held_out": [held]}


def numbers(within: str = "hull") -> dict[str, Any]:
    models = [
        place([1.0, 0.0, 0.0], 2.0, 2.0, "model", (0,)),
        place([0.0, 1.0, 0.0], 1.8, 1.9, "model", (1,)),
        place([0.0, 0.0, 1.0], 1.6, 1.7, "model", (2,)),
    ]
    mean = place([1 / 3] * 3, 1.2, 1.4, "centroid", (0, 1, 2))
    best = place([0.2, 0.3, 0.5], 1.3, 1.0, "search")
    return {"within": within, "places": [*models, mean, best], "best": best, "others": [*models, mean]}


def drawn(given: dict[str, Any], title: str = "Left") -> dict[str, Figure]:
    found = drawing("subspace")
    assert found is not None
    return dict(found.draw(given, about(title, 3)))


def test_three_models_are_the_corners_and_the_best_place_has_a_ring() -> None:
    _, marks, best = drawn(numbers())["where"]["data"]
    assert (marks["x"][:3], marks["y"][:3]) == ([0.0, 1.0, 0.5], pytest.approx([0.0, 0.0, 0.8660254]))
    assert (best["x"][0], best["y"][0]) == pytest.approx((0.3 + 0.25, 0.5 * 0.8660254))
    tints = [int(tint.rpartition("-")[2]) for tint in marks["marker"]["color"]]
    assert tints[0] == 0 and tints[3] == max(tints) == 8


def test_the_search_shows_what_choosing_pretends() -> None:
    chosen, judged = drawn(numbers())["search"]["data"]
    assert chosen["y"] == [2.0, 1.9, 1.7, 1.4, 1.0] and judged["y"] == [2.0, 1.8, 1.6, 1.2, 1.3]


@pytest.mark.parametrize("within", ["hull", "span"])
def test_plotly_and_the_server_draw_it_with_hostile_names_as_text(within: str) -> None:
    figures = drawn(numbers(within), HOSTILE)
    for name, figure in figures.items():
        text = json.dumps(figure)
        assert "<img" not in text and "<a " not in text and "$" not in text
        go.Figure(dressed({key: figure[key] for key in ("data", "layout")}, palette("dark")))
        if name == "where" or within == "hull":
            assert render(figure, form="png", theme="dark", scale=1)[:4] == b"\x89PNG"
