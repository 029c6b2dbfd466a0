"""Charts that look closer: classes, confusion, trade-off, as data in both palettes."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from app.charts import classes, confusion, trade_off
from tests.app.charts.test_charts import HOSTILE, PALETTE, dressed, strings


def look_numbers(names: int = 3, expert: bool = True) -> dict[str, Any]:
    rows = [
        {"name": f"c{i}", "n": 4, "right": 3, "accuracy": 0.75, "interval": [0.3, 0.95], "expert": 0.5}
        for i in range(names)
    ]
    rows[0] |= {"name": HOSTILE}
    rows[-1] |= {"n": 0, "right": 0, "accuracy": None, "interval": None, "expert": None}
    counts = [[3 if i == j else 0 for j in range(names)] for i in range(names)]
    shares: list[list[float | None]] = [[count / 4 for count in row] for row in counts]
    shares[-1] = [None] * names
    who = {"ref": "zoo:a", "title": HOSTILE, "colour": 2, "accuracy": 0.5, "interval": [0.4, 0.6]}
    return {
        "classes": rows,
        "confusion": {"counts": counts, "shares": shares, "unanswered": [0] * names},
        "expert": who if expert else None,
    }


def trade_numbers(known: int = 6) -> dict[str, Any]:
    def points(low: float) -> list[dict[str, Any]]:
        return [
            {
                "at": step / 5,
                "target": low + step / 20,
                "target_interval": [low, 1.0],
                "control": 0.6 - step / 20,
                "control_interval": [0.3, 0.7],
            }
            for step in range(known)
        ]

    return {
        "expert": {"ref": "zoo:a", "title": "A", "colour": 1},
        "target": HOSTILE,
        "subset": "preview",
        "curves": {"lines_gamma": points(0.5), "wise_ft": points(0.4)},
    }


FIGURES = {
    "classes": classes.figure_of(look_numbers()),
    "classes without an expert": classes.figure_of(look_numbers(expert=False)),
    "confusion": confusion.figure_of(look_numbers()),
    "a large confusion": confusion.figure_of(look_numbers(60)),
    "trade-off": trade_off.figure_of(trade_numbers()),
    "a trade-off that has begun": trade_off.figure_of(trade_numbers(2)),
    "a trade-off without points": trade_off.figure_of(trade_numbers(0)),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", FIGURES)
def test_plotly_accepts_every_figure_in_both_themes(name: str, theme: str) -> None:
    figure = dressed(FIGURES[name], PALETTE[theme])
    assert len(go.Figure(data=figure["data"], layout=figure["layout"]).data) == len(figure["data"])


@pytest.mark.parametrize("name", FIGURES)
def test_a_name_from_outside_stays_text(name: str) -> None:
    for text in strings(FIGURES[name]):
        assert "<img" not in text
        assert "$" not in text


def test_a_class_without_examples_has_no_bar_and_an_empty_row() -> None:
    assert FIGURES["classes"]["data"][0]["y"] == [0.75, 0.75, None]
    assert FIGURES["confusion"]["data"][0]["z"][2] == [None, None, None]


def test_intervals_stand_around_the_accuracy_of_a_class() -> None:
    bars = FIGURES["classes"]["data"][0]["error_y"]
    assert bars["array"] == pytest.approx([0.2, 0.2, 0.0])
    assert bars["arrayminus"] == pytest.approx([0.45, 0.45, 0.0])


def test_rows_of_the_confusion_are_true_classes_from_the_top_and_counts_are_written() -> None:
    _, faint, full = FIGURES["confusion"]["data"]
    assert (faint["text"], faint["x"], faint["y"]) == (["3", "3", "3"], [0, 1, 2], [0, 1, 2])
    assert full["text"] == []
    low, high = FIGURES["confusion"]["layout"]["yaxis"]["range"]
    assert low > high
    assert FIGURES["confusion"]["layout"]["yaxis"]["title"]["text"] == "true"


def test_many_classes_have_fewer_names_and_no_counts_in_cells() -> None:
    figure = FIGURES["a large confusion"]
    assert len(figure["layout"]["xaxis"]["tickvals"]) == 20
    assert all(trace["text"] == [] for trace in figure["data"][1:])


def test_a_trade_off_is_drawn_against_the_other_tasks_with_its_ends_named() -> None:
    wise, lines, base, expert = FIGURES["trade-off"]["data"]
    assert lines["x"] == pytest.approx([0.6, 0.55, 0.5, 0.45, 0.4, 0.35])
    assert lines["y"] == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.75])
    assert lines["text"][1] == "γ 0.2"
    assert wise["line"]["dash"] == "dot"
    assert (base["x"], base["y"]) == ([0.6], [0.4])
    assert (expert["x"], expert["y"]) == (pytest.approx([0.35]), [0.75])


def test_points_that_coincide_have_one_label_and_no_label_lies_on_another() -> None:
    numbers = trade_numbers()
    for point, (control, target) in zip(
        numbers["curves"]["lines_gamma"],
        [(0.47, 0.55), (0.44, 0.65), (0.43, 0.65), (0.43, 0.7), (0.43, 0.7), (0.43, 0.7)],
        strict=True,
    ):
        point |= {"control": control, "target": target, "target_interval": [0.4, 0.85]}
    _, lines, _, expert = trade_off.figure_of(numbers)["data"]
    assert "γ 0.6, 0.8, 1" in lines["text"]
    spots = [(x, y, side) for x, y, side in zip(lines["x"], lines["y"], lines["textposition"], strict=True)]
    spots = [spot for spot, text in zip(spots, lines["text"], strict=True) if text]
    assert len(set(spots)) == len(spots) >= 3
    assert (expert["x"][0], expert["y"][0], expert["textposition"][0]) not in spots
    assert [row[4] for row in lines["customdata"]] == ["γ 0", "γ 0.2", "γ 0.4", "γ 0.6", "γ 0.8", "γ 1"]
