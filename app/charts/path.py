"""Loss and accuracy along a path between models, with the chord, the barrier and where the merge stands."""

from __future__ import annotations

from typing import Any

from app.charts.panels import LEFT, RIGHT, stacked
from app.charts.roles import Figure, axis, caption, colour, expert, figure, fraction_axis, inert

__all__ = ["figure_of"]


def figure_of(numbers: dict[str, Any], *, handle: bool = False) -> Figure:
    """Draw path numbers (see docs/architecture.md): loss on the left, accuracy on the right, over the same t.

    Solid: validation; dashed: train; dotted: the chord from end to end. The barrier, where the loss rises above its
    chord, is shaded. Thin lines are the tasks in their experts' colours. `handle`: whether the page itself marks the
    current place with something that can be dragged.
    """
    traces: list[dict[str, Any]] = []
    for split in ("train", "validation"):
        part = numbers["splits"].get(split)
        if part and part["points"]:
            traces += _curves(split, part["points"])
    validation = (numbers["splits"].get("validation") or {}).get("points") or []
    traces = [*_barrier(validation), *_band(validation), *_tasks(numbers["tasks"], validation), *traces]
    low, high = numbers["range"]
    name = "λ" if numbers["kind"] == "lambda" else "t"
    span = {"range": [low - 0.02 * (high - low), high + 0.02 * (high - low)], "fixedrange": True}
    layout = {
        "xaxis": axis(name, domain=LEFT, **span),
        "xaxis2": axis(name, domain=RIGHT, anchor="y2", matches="x", **span),
        "yaxis": axis("", rangemode="tozero", fixedrange=True),
        "yaxis2": fraction_axis("", anchor="x2", fixedrange=True),
        "shapes": [] if handle else _current(numbers["current"]),
        "annotations": [caption("loss, mean over tasks", 0.0), caption("accuracy", RIGHT[0])],
        "margin": {"l": 46, "r": 12, "t": 24, "b": 34},
    }
    narrow = stacked("loss, mean over tasks", "accuracy")
    return figure(traces, layout, narrow)


def _curves(split: str, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    dash, width = ("solid", 2.2) if split == "validation" else ("dash", 1.4)
    tint = colour("merge") if split == "validation" else colour("muted")
    line = {"color": tint, "width": width, "dash": dash, "shape": "linear"}
    common = {"type": "scatter", "mode": "lines+markers", "x": [point["t"] for point in points], "line": line}
    marker = {"size": 4 if split == "validation" else 0.1, "color": tint}
    return [
        {
            **common,
            "name": split,
            "legendrank": 1 if split == "validation" else 2,
            "y": [point["loss"] for point in points],
            "marker": marker,
            "hovertemplate": f"{split} loss %{{y:.3f}} at %{{x:.2f}}<extra></extra>",
        },
        {
            **common,
            "name": f"{split} accuracy",
            "showlegend": False,
            "y": [point["accuracy"] for point in points],
            "marker": marker,
            "xaxis": "x2",
            "yaxis": "y2",
            "customdata": [point["interval"] for point in points],
            "hovertemplate": f"{split} accuracy %{{y:.1%}} at %{{x:.2f}}"
            "<br>95 % interval %{customdata[0]:.1%} – %{customdata[1]:.1%}<extra></extra>",
        },
    ]


def _barrier(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The chord, and the area between it and the curve where the loss lies above."""
    if len(points) < 2:
        return []
    first, last = points[0], points[-1]
    width = last["t"] - first["t"]
    chord = [first["loss"] + (last["loss"] - first["loss"]) * (point["t"] - first["t"]) / width for point in points]
    ts = [point["t"] for point in points]
    above = [max(point["loss"], height) for point, height in zip(points, chord, strict=True)]
    quiet = {"type": "scatter", "mode": "lines", "x": ts, "hoverinfo": "skip"}
    return [
        {
            **quiet,
            "name": "chord",
            "y": chord,
            "legendrank": 3,
            "line": {"color": colour("faint"), "width": 1.4, "dash": "dot"},
        },
        {
            **quiet,
            "name": "barrier",
            "legendrank": 4,
            "y": above,
            "line": {"width": 0, "color": colour("barrier")},
            "fill": "tonexty",
            "fillcolor": colour("barrier"),
        },
    ]


def _band(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The 95 % interval of the mean accuracy, as a band behind its curve."""
    common = {
        "type": "scatter",
        "mode": "lines",
        "x": [point["t"] for point in points],
        "xaxis": "x2",
        "yaxis": "y2",
        "line": {"width": 0, "color": colour("merge-soft")},
        "hoverinfo": "skip",
    }
    low, high = ([point["interval"][side] for point in points] for side in (0, 1))
    return [
        {**common, "name": "interval, low", "y": low, "showlegend": False},
        {
            **common,
            "name": "95 % interval",
            "y": high,
            "legendrank": 5,
            "fill": "tonexty",
            "fillcolor": colour("merge-soft"),
        },
    ]


def _tasks(tasks: list[dict[str, Any]], points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(tasks) < 2:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": inert(task["title"]),
            "x": [point["t"] for point in points],
            "y": [point["tasks"][i]["accuracy"] for point in points],
            "xaxis": "x2",
            "yaxis": "y2",
            "opacity": 0.55,
            "line": {"color": expert(task["colour"]), "width": 1.3},
            "hovertemplate": f"{inert(task['title'])} %{{y:.1%}} at %{{x:.2f}}<extra></extra>",
        }
        for i, task in enumerate(tasks)
    ]


def _current(at: float | None) -> list[dict[str, Any]]:
    if at is None:
        return []
    line = {"color": colour("merge"), "width": 1.4}
    return [
        {
            "type": "line",
            "x0": at,
            "x1": at,
            "y0": 0,
            "y1": 1,
            "xref": f"x{axis_}",
            "yref": f"y{axis_} domain",
            "line": line,
        }
        for axis_ in ("", "2")
    ]
