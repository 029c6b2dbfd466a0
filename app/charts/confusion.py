"""Which class is taken for which: a heat map, rows true, columns predicted."""

from __future__ import annotations

from typing import Any

from app.charts.cells import written
from app.charts.roles import Figure, axis, colour, figure, inert

__all__ = ["figure_of"]

_MOST_NAMES = 26
_MOST_COUNTS = 12
_FULL = 0.77
"""The share from which white letters stand out best."""


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw the confusion of look numbers (see docs/architecture.md): each cell is the share of its row's class.

    The diagonal is what is right. Up to 26 names stand along the axes, beyond that every second, third, …; up to 12
    classes have their counts written in the cells.
    """
    names = [inert(row["name"], 12) for row in numbers["classes"]]
    places = list(range(len(names)))
    counts, shares = numbers["confusion"]["counts"], numbers["confusion"]["shares"]
    step = -(-len(names) // _MOST_NAMES)
    heat = {
        "type": "heatmap",
        "name": "confusion",
        "x": places,
        "y": places,
        "z": shares,
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "showscale": False,
        "hoverongaps": False,
        "colorscale": [[0.0, colour("merge-none")], [1.0, colour("cell")]],
        "customdata": [
            [[truth, said, counts[i][j], numbers["classes"][i]["n"]] for j, said in enumerate(names)]
            for i, truth in enumerate(names)
        ],
        "hovertemplate": "true %{customdata[0]}, predicted %{customdata[1]}"
        "<br>%{customdata[2]} of %{customdata[3]} (%{z:.0%})<extra></extra>",
    }
    texts = [[str(count) if count and len(names) <= _MOST_COUNTS else "" for count in row] for row in counts]
    letters = written(texts, [[(share or 0) >= _FULL for share in row] for row in shares])
    ticks = {"tickvals": places[::step], "ticktext": names[::step], "showgrid": False, "fixedrange": True}
    long = max(len(name) for name in names) > 4
    layout = {
        "xaxis": axis("predicted", tickangle=-45 if long else 0, range=[-0.5, len(names) - 0.5], **ticks),
        "yaxis": axis("true", range=[len(names) - 0.5, -0.5], **ticks),
        "margin": {"l": 86 if long else 44, "r": 6, "t": 6, "b": 86 if long else 40},
    }
    small = {"size": 10, "color": colour("muted")}
    return figure([heat, *letters], layout, narrow={"xaxis.tickfont": small, "yaxis.tickfont": small})
