"""How often each class was drawn, beside its probability."""

from __future__ import annotations

from typing import Any

from app.charts.roles import Figure, axis, colour, expert, figure, fraction_axis

__all__ = ["figure_of"]


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw simplex numbers (see docs/architecture.md): bars with 95 % intervals, softmax(logits) as lines."""
    rows, ink = numbers["classes"], colour("ink")
    places = list(range(len(rows)))
    shares = [row["share"] for row in rows]
    bars = {
        "type": "bar",
        "name": "drawn",
        "x": places,
        "y": shares,
        "width": 0.56,
        "marker": {"color": [expert(index) for index in places], "opacity": 0.6},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [row["interval"][1] - row["share"] for row in rows],
            "arrayminus": [row["share"] - row["interval"][0] for row in rows],
            "color": colour("ink"),
            "thickness": 1.2,
            "width": 4,
        },
        "cliponaxis": False,
        "customdata": [[row["name"], row["count"], numbers["n"], *row["interval"]] for row in rows],
        "hovertemplate": "%{customdata[0]}: %{y:.1%}, %{customdata[1]} of %{customdata[2]}"
        "<br>95 % interval %{customdata[3]:.1%} – %{customdata[4]:.1%}<extra></extra>",
    }
    lines = {
        "type": "scatter",
        "mode": "markers",
        "name": "softmax of the logits",
        "x": places,
        "y": [row["probability"] for row in rows],
        "marker": {"symbol": "line-ew", "size": 34, "color": ink, "line": {"width": 2.2, "color": ink}},
        "cliponaxis": False,
        "hovertemplate": "softmax %{y:.1%}<extra></extra>",
    }
    layout = {
        "xaxis": axis(
            tickvals=places,
            ticktext=[row["name"] for row in rows],
            range=[-0.6, len(rows) - 0.4],
            showgrid=False,
            fixedrange=True,
        ),
        "yaxis": fraction_axis(fixedrange=True),
        "margin": {"l": 42, "r": 8, "t": 12, "b": 24},
    }
    return figure([bars, lines], layout)
