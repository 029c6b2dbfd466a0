"""A relaxed coin: where its samples lie in [0, 1], and its density."""

from __future__ import annotations

from typing import Any

from app.charts.roles import Figure, axis, caption, colour, figure

__all__ = ["figure_of"]

_TOPS = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
_HALF = 0.5


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw coin numbers (see docs/architecture.md): samples as bars, grey where they harden to 0; density as a line.

    The axis ends above the highest bar; the density of a cold coin goes beyond it at 0 and 1.
    """
    bins = numbers["bins"]
    width = bins[0]["high"] - bins[0]["low"]
    highest = max(max(one["density"], one["expected"]) for one in bins)
    top = next((top for top in _TOPS if top >= highest), highest)
    bars = {
        "type": "bar",
        "name": "samples",
        "x": [one["low"] + width / 2 for one in bins],
        "y": [one["density"] for one in bins],
        "width": 0.94 * width,
        "marker": {"color": [_tint(one) for one in bins]},
        "customdata": [[one["low"], one["high"], one["count"], one["expected"] / len(bins)] for one in bins],
        "hovertemplate": f"%{{customdata[0]:.2f}} – %{{customdata[1]:.2f}}: %{{customdata[2]}} of {numbers['n']}"
        "<br>expected %{customdata[3]:.1%}<extra></extra>",
    }
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "density",
        "x": numbers["curve"]["at"],
        "y": [round(value, 5) for value in numbers["curve"]["density"]],
        "line": {"color": colour("ink"), "width": 1.8},
        "hovertemplate": "density %{y:.2f} at %{x:.2f}<extra></extra>",
    }
    half = {"type": "line", "xref": "x", "yref": "paper", "x0": _HALF, "x1": _HALF, "y0": 0, "y1": 1}
    layout = {
        "xaxis": axis("relaxed coin", range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1], fixedrange=True),
        "yaxis": axis("density", range=[0, top], nticks=5, fixedrange=True),
        "shapes": [{**half, "line": {"color": colour("muted"), "width": 1, "dash": "dot"}}],
        "annotations": [
            caption("becomes 0", 0.25, xanchor="center"),
            caption("becomes 1", 0.75, xanchor="center", font={"size": 12, "color": colour("merge")}),
        ],
        "margin": {"l": 46, "r": 14, "t": 24, "b": 40},
        "bargap": 0,
    }
    return figure([bars, line], layout)


def _tint(one: dict[str, Any]) -> str:
    return colour("merge-fill") if one["low"] >= _HALF - 1e-9 else colour("conflict")
