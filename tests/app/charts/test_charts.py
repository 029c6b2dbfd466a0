"""Charts are pure functions from numbers to dictionaries: tested as data, in both palettes."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from app.charts import accuracy, layers, path
from app.charts.roles import inert

PALETTE = json.loads((Path(accuracy.__file__).parent / "palette.json").read_text())
HOSTILE = '<img src=x onerror=alert(1)> $\\href{javascript:alert(1)}{x}$ <a href="javascript:1">'


def accuracy_numbers(tasks: int = 3, pinned: float | None = None, title: str = "Digits") -> dict[str, Any]:
    references = {"base": 0.4, "expert": 0.95, "average": 0.6, "ensemble": 0.7}
    rows = [
        {
            "task": f"tiny/{i}",
            "title": title,
            "colour": i,
            "accuracy": 0.7,
            "interval": [0.6, 0.78],
            "loss": 0.9,
            "n": 32,
            "references": references,
            "pinned": pinned,
        }
        for i in range(tasks)
    ]
    mean = {"accuracy": 0.7, "interval": [0.66, 0.74], "loss": 0.9, "references": references, "pinned": pinned}
    return {
        "split": "validation",
        "subset": "preview",
        "n": 32 * tasks,
        "partial": True,
        "tasks": rows,
        "average": mean,
        "normalised": {"value": 0.74, "interval": [0.7, 0.78]},
        "transductive": False,
    }


def path_numbers(current: float | None = 0.3) -> dict[str, Any]:
    points = [
        {
            "t": t,
            "loss": loss,
            "accuracy": 0.5,
            "interval": [0.4, 0.6],
            "tasks": [{"loss": loss, "accuracy": 0.5}, {"loss": loss, "accuracy": 0.6}],
        }
        for t, loss in ((0.0, 1.0), (0.75, 2.0), (1.5, 1.0))
    ]
    return {
        "kind": "lambda",
        "a": "base",
        "b": "λ = 1.5",
        "range": [0.0, 1.5],
        "current": current,
        "complete": False,
        "splits": {"validation": {"n": 192, "points": points}, "train": {"n": 192, "points": points}},
        "tasks": [{"task": "a", "title": HOSTILE, "colour": 0}, {"task": "b", "title": "B", "colour": 1}],
        "barrier": {},
    }


def layer_numbers() -> dict[str, Any]:
    return {
        "depths": ["before", "0", "1", "after"],
        "factors": [0.5, 0.5, 1.5, 0.5],
        "kept": [[0.1, 0.2, None, 0.3], [0.3, 0.2, None, 0.1]],
        "conflict": [0.1, 0.2, 0.3, 0.4],
        "merged_norms": [1.0] * 4,
        "experts": [{"ref": "zoo:a", "title": HOSTILE, "colour": 0, "norms": [0.1, 0.2, 0.3, 0.4]}],
        "cosines": [[1.0]],
        "scaling": {"kind": "lines", "points": [], "draggable": True},
        "alpha": 0.5,
    }


FIGURES = {
    "accuracy": accuracy.figure_of(accuracy_numbers(title=HOSTILE)),
    "pinned": accuracy.figure_of(accuracy_numbers(pinned=0.6)),
    "one task": accuracy.figure_of(accuracy_numbers(tasks=1)),
    "path": path.figure_of(path_numbers()),
    "path without a handle": path.figure_of(path_numbers(None)),
    "layers": layers.figure_of(layer_numbers()),
}


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in strings(inner)]
    return []


def dressed(value: Any, colours: dict[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"role:([a-z0-9-]+)", lambda match: colours[match[1]], value)
    if isinstance(value, dict):
        return {key: dressed(inner, colours) for key, inner in value.items()}
    return [dressed(inner, colours) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", FIGURES)
def test_plotly_accepts_every_figure_in_both_themes(name: str, theme: str) -> None:
    figure = dressed(FIGURES[name], PALETTE[theme])
    made = go.Figure(data=figure["data"], layout=figure["layout"])
    assert len(made.data) == len(figure["data"])
    wide = set(made.layout.to_plotly_json())
    assert {key.split(".")[0] for key in figure["narrow"]} <= wide


@pytest.mark.parametrize("name", FIGURES)
def test_a_name_from_outside_stays_text(name: str) -> None:
    for text in strings(FIGURES[name]):
        assert "<img" not in text
        assert "href" not in text or "‹" in text
        assert "$" not in text


def test_a_task_of_a_visitor_s_own_stands_below_its_bar_by_its_title_and_not_by_its_hash() -> None:
    numbers = accuracy_numbers()
    named = [{"task": f"task:{digit * 16}", "title": f"flowers of {digit}"} for digit in "abc"]
    tasks = [{**row, **name} for row, name in zip(numbers["tasks"], named, strict=True)]
    ticks = accuracy.figure_of({**numbers, "tasks": tasks})["layout"]["xaxis"]["ticktext"]
    assert [tick.partition("</span> ")[2] for tick in ticks[:3]] == ["flowers of a", "flowers of b", "flowers of c"]


def test_both_palettes_have_the_same_roles() -> None:
    assert set(PALETTE["light"]) == set(PALETTE["dark"])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("role", ["ink", "muted", "placeholder", "merge", "warning", "error"])
def test_text_has_contrast_aa(theme: str, role: str) -> None:
    assert contrast(PALETTE[theme][role], PALETTE[theme]["surface"]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_placeholder_does_not_look_like_a_value(theme: str) -> None:
    placeholder, value = PALETTE[theme]["placeholder"], PALETTE[theme]["ink"]
    assert contrast(placeholder, value) >= 3.0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_experts_differ_from_the_surface_and_from_each_other(theme: str) -> None:
    experts = [PALETTE[theme][f"expert-{i}"] for i in range(8)]
    assert len(set(experts)) == 8
    assert all(contrast(colour, PALETTE[theme]["surface"]) >= 3.0 for colour in experts)


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def lightness(colour: str) -> float:
    """L* of CIELAB, from 0 to 100."""
    y = luminance(colour)
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_scales_climb_in_even_steps_of_lightness(theme: str) -> None:
    steps = [lightness(PALETTE[theme][f"sequential-{step}"]) for step in range(9)]
    sides = [lightness(PALETTE[theme][f"diverging-{step}"]) for step in range(9)]
    for ramp in (steps, sides[:5], sides[4:]):
        gaps = [b - a for a, b in pairwise(ramp)]
        assert max(gaps) * min(gaps) > 0 and max(map(abs, gaps)) < 1.7 * min(map(abs, gaps))


def test_bars_carry_their_interval_around_the_accuracy() -> None:
    bars = next(trace for trace in FIGURES["accuracy"]["data"] if trace["name"] == "merge")
    assert bars["y"] == [0.7, 0.7, 0.7, 0.7]
    assert bars["error_y"]["array"][0] == pytest.approx(0.08)
    assert bars["error_y"]["arrayminus"][0] == pytest.approx(0.1)
    assert bars["error_y"]["array"][-1] == pytest.approx(0.04)


def test_a_single_task_has_no_average_beside_it() -> None:
    bars = next(trace for trace in FIGURES["one task"]["data"] if trace["name"] == "merge")
    assert len(bars["y"]) == 1


def test_the_pinned_merge_is_drawn_only_when_there_is_one() -> None:
    shown = {
        name: next(t for t in FIGURES[name]["data"] if t["name"] == "pinned merge")["visible"]
        for name in ("accuracy", "pinned")
    }
    assert shown == {"accuracy": False, "pinned": True}


def test_the_barrier_is_shaded_between_the_chord_and_the_curve() -> None:
    chord, barrier = (next(t for t in FIGURES["path"]["data"] if t["name"] == name) for name in ("chord", "barrier"))
    assert chord["y"] == pytest.approx([1.0, 1.0, 1.0])
    assert barrier["y"] == pytest.approx([1.0, 2.0, 1.0])
    assert barrier["fill"] == "tonexty"


def test_the_current_place_is_marked_unless_the_page_has_a_handle_there() -> None:
    assert [shape["x0"] for shape in path.figure_of(path_numbers())["layout"]["shapes"]] == [0.3, 0.3]
    assert path.figure_of(path_numbers(), handle=True)["layout"]["shapes"] == []


def test_the_accuracy_curve_has_its_interval_around_it() -> None:
    low, high = (t for t in FIGURES["path"]["data"] if "interval" in t["name"])
    assert low["y"] == [0.4, 0.4, 0.4]
    assert high["y"] == [0.6, 0.6, 0.6]
    assert high["fill"] == "tonexty"


def test_density_kept_is_the_mean_over_experts_and_unknown_stays_unknown() -> None:
    kept = next(trace for trace in FIGURES["layers"]["data"] if trace["name"] == "density kept")
    assert kept["y"][:2] == pytest.approx([0.2, 0.2])
    assert kept["y"][2] is None


def test_a_long_name_is_cut() -> None:
    assert len(inert("x" * 500)) == 48
