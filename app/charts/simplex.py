"""Samples of three classes on the simplex: each point is a relaxed sample, a corner is a class."""

from __future__ import annotations

import math
from typing import Any

from app.charts.roles import Figure, axis, colour, expert, figure

__all__ = ["figure_of"]

_TOP = math.sqrt(3.0) / 2.0
_SYMBOLS = ("circle", "diamond", "square")


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw simplex numbers (see docs/architecture.md): colour and form say which class was drawn, whatever T is."""
    traces = [_frame(), *(_points(numbers, index) for index in range(len(numbers["classes"]))), _chances(numbers)]
    blank: dict[str, Any] = {"visible": False, "fixedrange": True}
    layout = {
        "xaxis": axis(**blank, range=[-0.12, 1.12]),
        "yaxis": axis(**blank, range=[-0.1, _TOP + 0.1], scaleanchor="x", scaleratio=1, constrain="domain"),
        "annotations": [_corner(numbers, index) for index in range(len(numbers["classes"]))],
        "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
        "dragmode": False,
    }
    return figure(traces, layout)


def _plane(parts: list[float]) -> tuple[float, float]:
    """Return where a point of the simplex lies: A at the left, B at the right, C on top."""
    _, right, top = parts
    return right + top / 2.0, top * _TOP


def _frame() -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "simplex",
        "showlegend": False,
        "x": [0.0, 1.0, 0.5, 0.0],
        "y": [0.0, 0.0, _TOP, 0.0],
        "line": {"color": colour("line"), "width": 1.4},
        "hoverinfo": "skip",
    }


def _points(numbers: dict[str, Any], index: int) -> dict[str, Any]:
    name = numbers["classes"][index]["name"]
    own = [point for point, drawn in zip(numbers["points"], numbers["drawn"], strict=True) if drawn == index]
    places = [_plane(point) for point in own]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{name} was drawn",
        "x": [round(x, 4) for x, _ in places],
        "y": [round(y, 4) for _, y in places],
        "customdata": own,
        "marker": {"size": 6, "symbol": _SYMBOLS[index], "color": expert(index), "opacity": 0.55},
        "cliponaxis": False,
        "hovertemplate": f"{name} was drawn<br>A %{{customdata[0]:.2f}}, B %{{customdata[1]:.2f}}, "
        "C %{customdata[2]:.2f}<extra></extra>",
    }


def _chances(numbers: dict[str, Any]) -> dict[str, Any]:
    ink = colour("ink")
    x, y = _plane([one["probability"] for one in numbers["classes"]])
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "softmax of the logits",
        "x": [x],
        "y": [y],
        "marker": {"symbol": "x-thin", "size": 11, "color": ink, "line": {"width": 2.2, "color": ink}},
        "cliponaxis": False,
        "hovertemplate": "softmax of the logits<extra></extra>",
    }


def _corner(numbers: dict[str, Any], index: int) -> dict[str, Any]:
    x, y = _plane([float(place == index) for place in range(len(numbers["classes"]))])
    one = numbers["classes"][index]
    return {
        "x": x,
        "y": y,
        "xref": "x",
        "yref": "y",
        "yshift": 13 if y else -13,
        "text": f"<b>{one['name']}</b> {one['count']}",
        "showarrow": False,
        "font": {"size": 12.5, "color": expert(index)},
    }
