"""Accuracy per class of one task: the merge as bars with intervals, its expert as ticks."""

from __future__ import annotations

from typing import Any

from app.charts.roles import Figure, axis, colour, expert, figure, fraction_axis, inert

__all__ = ["figure_of"]


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw the classes of look numbers (see docs/architecture.md) in the task's order.

    A class without examples has no bar.
    """
    rows = numbers["classes"]
    places = list(range(len(rows)))
    values = [row["accuracy"] for row in rows]
    bars = {
        "type": "bar",
        "name": "merge",
        "x": places,
        "y": values,
        "width": 0.62,
        "cliponaxis": False,
        "marker": {"color": colour("merge-fill"), "line": {"color": colour("merge"), "width": 1.2}},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [_beyond(row, 1) for row in rows],
            "arrayminus": [_beyond(row, 0) for row in rows],
            "color": colour("ink"),
            "thickness": 1.1,
            "width": 2.5,
        },
        "customdata": [
            [inert(row["name"]), row["right"], row["n"], *(row["interval"] or [None, None])] for row in rows
        ],
        "hovertemplate": "%{customdata[0]}<br>merge %{y:.0%}: %{customdata[1]} of %{customdata[2]}"
        "<br>95 % interval %{customdata[3]:.0%} – %{customdata[4]:.0%}<extra></extra>",
    }
    traces = [bars]
    if numbers["expert"] is not None:
        tint = expert(numbers["expert"]["colour"])
        name = inert(numbers["expert"]["title"])
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "cliponaxis": False,
                "name": name,
                "x": places,
                "y": [row["expert"] for row in rows],
                "marker": {
                    "symbol": "line-ew",
                    "size": 18 if len(rows) <= 12 else 11,
                    "color": tint,
                    "line": {"width": 2.6, "color": tint},
                },
                "hovertemplate": f"expert {name} %{{y:.0%}}<extra></extra>",
            }
        )
    layout = {
        "xaxis": axis(
            tickvals=places,
            ticktext=[inert(row["name"], 12) for row in rows],
            showgrid=False,
            tickangle=-35 if _long(rows) else 0,
            range=[-0.7, len(rows) - 0.3],
            fixedrange=True,
        ),
        "yaxis": fraction_axis(fixedrange=True),
        "margin": {"l": 42, "r": 8, "t": 8, "b": 52 if _long(rows) else 26},
    }
    return figure(traces, layout, narrow={"xaxis.tickfont.size": 10})


def _beyond(row: dict[str, Any], side: int) -> float:
    if row["interval"] is None:
        return 0.0
    distance: float = abs(row["interval"][side] - row["accuracy"])
    return distance


def _long(rows: list[dict[str, Any]]) -> bool:
    return max(len(row["name"]) for row in rows) > 4
