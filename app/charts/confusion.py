"""Which class is taken for which: a heat map, rows true, columns predicted."""

from __future__ import annotations

from typing import Any

from app.charts.roles import Figure, axis, colour, figure, inert

__all__ = ["figure_of"]

_MOST_NAMES = 26
_MOST_COUNTS = 12


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw the confusion of look numbers (see docs/architecture.md): each cell is the share of its row's class.

    The diagonal is what is right. Up to 26 names stand along the axes, beyond that every second, third, …; up to 12
    classes have their counts written in the cells.
    """
    names = [inert(row["name"], 12) for row in numbers["classes"]]
    places = list(range(len(names)))
    counts, shares = numbers["confusion"]["counts"], numbers["confusion"]["shares"]
    step = -(-len(names) // _MOST_NAMES)
    written = len(names) <= _MOST_COUNTS
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
        "colorscale": [[0.0, colour("merge-none")], [1.0, colour("merge")]],
        "customdata": [
            [[truth, said, counts[i][j], numbers["classes"][i]["n"]] for j, said in enumerate(names)]
            for i, truth in enumerate(names)
        ],
        "hovertemplate": "true %{customdata[0]}, predicted %{customdata[1]}"
        "<br>%{customdata[2]} of %{customdata[3]} (%{z:.0%})<extra></extra>",
    }
    if written:
        heat |= {
            "text": [[str(count) if count else "" for count in row] for row in counts],
            "texttemplate": "%{text}",
            "textfont": {"size": 11},
        }
    ticks = {"tickvals": places[::step], "ticktext": names[::step], "showgrid": False, "fixedrange": True}
    long = max(len(name) for name in names) > 4
    layout = {
        "xaxis": axis("predicted", tickangle=-45 if long else 0, range=[-0.5, len(names) - 0.5], **ticks),
        "yaxis": axis("true", range=[len(names) - 0.5, -0.5], **ticks),
        "margin": {"l": 86 if long else 44, "r": 6, "t": 6, "b": 86 if long else 40},
    }
    small = {"size": 10, "color": colour("muted")}
    return figure([heat], layout, narrow={"xaxis.tickfont": small, "yaxis.tickfont": small})
