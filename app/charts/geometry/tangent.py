"""Tangent prediction: the true accuracy along λ, what one derivative foretells, and the error between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.roles import Figure, axis, colour, expert, figure, fraction_axis, inert

__all__ = ["DRAWING"]

Rows = Sequence[Mapping[str, Any]]


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw the true accuracy solid and the foretold one dashed; each task in its colour, their mean bold."""
    points = numbers["points"]
    if len(points) < 2:
        return {}
    shares = [point["lambda"] for point in points]
    colours = {task["task"]: task["colour"] for task in about["tasks"]}
    tasks = numbers["tasks"]
    several = len(tasks) > 1
    traces = []
    for place, task in enumerate(tasks):
        rows = [point["tasks"][place] for point in points]
        tint = expert(colours.get(task["task"]))
        traces += _pair(shares, rows, inert(task["title"], 24), tint, 1.3 if several else 2.4, rank=10 + place)
    means = [point["mean"] for point in points]
    if several:
        traces += _pair(shares, means, "mean over tasks", colour("merge"), 2.4, rank=1)
    span = {"range": [-0.02 * shares[-1], 1.02 * shares[-1]], "fixedrange": True}
    frame = {"xaxis": axis("λ", **span), "margin": {"l": 48, "r": 14, "t": 12, "b": 40}}
    found = {"foretold": figure(traces, {**frame, "yaxis": fraction_axis("accuracy", fixedrange=True)})}
    known = [(share, mean) for share, mean in zip(shares, means, strict=True) if mean["error"] is not None]
    if len(known) > 1:
        zero = {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": 0, "y1": 0}
        layout = {
            **frame,
            "yaxis": axis("foretold − true", tickformat=".0%", fixedrange=True),
            "shapes": [{**zero, "line": {"color": colour("faint"), "width": 1.4, "dash": "dot"}}],
        }
        found["error"] = figure(_errors(known), layout)
    return found


def _pair(shares: Sequence[float], rows: Rows, name: str, tint: str, width: float, rank: int) -> list[dict[str, Any]]:
    common = {"type": "scatter", "x": shares, "opacity": 1.0 if width > 2 else 0.8}
    return [
        {
            **common,
            "mode": "lines+markers",
            "name": name,
            "y": [row["accuracy"] for row in rows],
            "line": {"color": tint, "width": width},
            "marker": {"size": 4, "color": tint},
            "legendrank": rank,
            "customdata": [row["interval"] for row in rows],
            "hovertemplate": f"{name}: %{{y:.1%}} at λ %{{x:.2f}}"
            "<br>95 % interval %{customdata[0]:.1%} – %{customdata[1]:.1%}<extra></extra>",
        },
        {
            **common,
            "mode": "lines",
            "name": "foretold" if width > 2 else f"{name}, foretold",
            "showlegend": width > 2,
            "y": [row["foretold"] for row in rows],
            "line": {"color": tint, "width": width, "dash": "dash"},
            "legendrank": rank + 1,
            "hovertemplate": f"{name}: %{{y:.1%}} foretold at λ %{{x:.2f}}<extra></extra>",
        },
    ]


def _errors(known: Sequence[tuple[float, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The error of the mean over tasks, with its paired interval as a band."""
    shares = [share for share, _ in known]
    errors = [mean["error"] for _, mean in known]
    quiet = {"type": "scatter", "mode": "lines", "x": shares, "hoverinfo": "skip"}
    edge = {"width": 0, "color": colour("merge-soft")}
    low, high = ([error["interval"][side] for error in errors] for side in (0, 1))
    return [
        {**quiet, "name": "interval, low", "y": low, "line": edge, "showlegend": False},
        {
            **quiet,
            "name": "95 % interval, paired",
            "y": high,
            "line": edge,
            "fill": "tonexty",
            "fillcolor": colour("merge-soft"),
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "error, mean over tasks",
            "x": shares,
            "y": [error["value"] for error in errors],
            "line": {"color": colour("merge"), "width": 2.4},
            "marker": {"size": 4, "color": colour("merge")},
            "customdata": [[*error["interval"], mean["same"]] for error, (_, mean) in zip(errors, known, strict=True)],
            "hovertemplate": "foretold − true %{y:+.1%} at λ %{x:.2f}<br>95 % interval %{customdata[0]:+.1%} – "
            "%{customdata[1]:+.1%}<br>same answer to %{customdata[2]:.1%} of the examples<extra></extra>",
        },
    ]


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="foretold",
            title="Foretold and true accuracy",
            sentence="Solid: the accuracy of the merge at each λ. Dashed: what one derivative at the base foretells, "
            "without running the merge.",
            height=330,
            wide=False,
        ),
        FigureInfo(
            name="error",
            title="Error of the prediction",
            sentence="Foretold minus true accuracy, mean over tasks, with its paired 95 % interval: where the band "
            "leaves zero, the tangent no longer tells the merge.",
            height=330,
            wide=False,
        ),
    ),
    draw=_draw,
)
