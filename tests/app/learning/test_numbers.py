"""What a run said, as numbers for charts, held against sums that are written out here."""

from __future__ import annotations

from typing import Any

import pytest

from app.charts.learning import figures_of
from app.charts.pictures import render
from app.learning.numbers import MOST, fall_of, numbers_of

ABOUT: dict[str, Any] = {
    "tasks": [{"task": "a", "title": "<b>A", "colour": 0}, {"task": "b", "title": "B", "colour": None}],
    "experts": [{"title": "A$", "colour": 0}, {"title": "B", "colour": 1}],
    "objective": "entropy", "split": "calibration", "subset": "preview", "transductive": False, "seen": False,
    "keep": "accuracy", "steps": 4, "yardstick": "task arithmetic",
}  # fmt: skip
HEAD = {"leaves": ["x", "y", "z"], "sizes": [1, 3, 6], "depths": ["0", "0", "before"], "order": [2, 0, 1]}


def moment(step: int, losses: list[float], **more: Any) -> dict[str, Any]:
    return {"kind": "moment", "step": step, "loss": sum(losses), "losses": losses, **more}


def check(step: int, average: float, since: dict[str, Any] | None = None) -> dict[str, Any]:
    tasks = [{"task": name, "accuracy": average, "interval": [average - 0.1, average + 0.1]} for name in "ab"]
    interval = [average - 0.05, average + 0.05]
    return {"kind": "checked", "step": step, "best": True, "average": average, "interval": interval, "n": 80,
            "tasks": tasks, "since": since}  # fmt: skip


def test_curves_are_means_of_neighbouring_moments_and_cells_stand_in_the_order_of_depth() -> None:
    moments = [moment(step, [float(step), 1.0]) for step in range(1, 401)]
    now = {"step": 400, "steps": 400, "coefficients": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], "density": [1.0, 0.5, 0.0]}
    found = numbers_of(HEAD, moments, now, ABOUT)
    curve = found["curve"]
    assert (curve["width"], len(curve["steps"])) == (3, 134)
    assert len(curve["steps"]) <= MOST
    assert (curve["steps"][0], curve["loss"][0], curve["losses"][0]) == (2.0, 3.0, [2.0, 1.0])
    assert curve["smooth"]["window"] == 20
    assert curve["smooth"]["loss"][-1] == pytest.approx(sum(range(381, 401)) / 20 + 1.0)
    assert found["coefficients"]["names"] == ["z", "x", "y"]
    assert found["coefficients"]["rows"] == [[0.3, 0.1, 0.2], [0.6, 0.4, 0.5]]
    density = found["density"]
    assert density["columns"] == ["before", "0"]
    assert density["values"] == pytest.approx([0.0, (1 * 1.0 + 3 * 0.5) / 4])
    assert density["whole"] == pytest.approx((1 * 1.0 + 3 * 0.5) / 10)


def test_a_fall_of_accuracy_is_told_only_while_what_is_minimised_falls_too() -> None:
    def since(difference: float, high: float, loss: list[float | None]) -> dict[str, Any]:
        return {"step": 1, "difference": difference, "interval": [difference - 0.1, high], "loss": loss}

    told = [
        fall_of([check(2, 0.5, one)])
        for one in (
            since(-0.05, -0.01, [2.0, 1.0]), since(-0.05, 0.01, [2.0, 1.0]), since(-0.005, 0.01, [2.0, 1.0]),
            since(-0.05, -0.01, [1.0, 2.0]), since(-0.05, -0.01, [None, 2.0]),
        )
    ]  # fmt: skip
    assert [None if one is None else one["clear"] for one in told] == [True, False, None, None, None]
    assert fall_of([]) is None


def test_charts_are_drawn_of_what_there_is_and_names_from_outside_are_inert() -> None:
    lines = [{**check(0, 0.5), "kind": "baseline"}, check(0, 0.5), moment(1, [1.0, 2.0]), moment(3, [0.5, 1.0])]
    now = {"step": 3, "steps": 4, "coefficients": [[0.1, 0.2, 0.3], [0.4, 0.5, -0.6]], "density": [1.0, 0.5, 0.0]}
    figures = figures_of(numbers_of(HEAD, lines, now, ABOUT))
    assert [name for name, figure in figures.items() if figure] == ["loss", "accuracy", "coefficients", "density"]
    for figure in figures.values():
        assert figure is not None
        assert render(figure, form="png").startswith(b"\x89PNG")
        assert "<b>" not in str(figure["data"])
        assert "A$" not in str(figure)
    assert not any(figures_of(numbers_of({}, [], None, ABOUT)).values())
    single = [{**one, "coefficients": [0.3, 0.4]} for one in lines if one["kind"] == "moment"]
    lone = figures_of(numbers_of(HEAD, single, {**now, "coefficients": [[0.3], [0.4]], "density": []}, ABOUT))
    assert lone["density"] is None
    assert lone["coefficients"] is not None
    assert [trace["y"] for trace in lone["coefficients"]["data"]] == [[0.3, 0.3], [0.4, 0.4]]
