"""One matrix of several task vectors: its blocks as small maps, where signs clash, and its singular values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.roles import Figure, axis, caption, expert, figure, inert, scale, scale_bar

__all__ = ["blocks_figure", "clash_figure", "values_figure"]

_GAP, _HEAD = 0.03, 0.08


def blocks_figure(matrix: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the blocks of each model as a map; all maps have one scale, zero in its middle."""
    pictures = matrix["pictures"]
    strongest = max((abs(value) for one in pictures for row in one for value in row), default=1.0) or 1.0
    across = 1 if len(pictures) == 1 else 2 if len(pictures) <= 4 else 3  # noqa: PLR2004
    places = _places(len(pictures), across)
    traces, layout, notes = list[dict[str, Any]](), dict[str, Any](), list[dict[str, Any]]()
    for t, (model, picture) in enumerate(zip(models, pictures, strict=True)):
        end, (width, height) = "" if t == 0 else str(t + 1), places[t]
        title = f'<span style="color:{expert(model["colour"])}">●</span> {inert(model["title"], 18)}'
        hover = f"{inert(model['title'])}, row %{{y:.0f}}, column %{{x:.0f}}: %{{z:.3g}}<extra></extra>"
        traces.append(
            {
                **_cells(matrix, picture),
                "name": inert(model["title"]),
                "xaxis": f"x{end}",
                "yaxis": f"y{end}",
                "zmin": -strongest,
                "zmax": strongest,
                "colorscale": scale("diverging"),
                "showscale": t == across - 1,
                "colorbar": scale_bar("RMS · sign"),
                "hovertemplate": hover,
            }
        )
        left, lowest = t % across == 0, t + across >= len(pictures)
        layout[f"xaxis{end}"] = {
            **_side(matrix["columns"]),
            "domain": width,
            "anchor": f"y{end}",
            "showticklabels": lowest,
        }
        layout[f"yaxis{end}"] = {
            **_side(matrix["rows"], down=True),
            "domain": height,
            "anchor": f"x{end}",
            "showticklabels": left,
        }
        notes.append(caption(title, width[0], height[1]))
    layout |= {"annotations": notes, "margin": {"l": 44, "r": 84, "t": 24, "b": 26}}
    return figure(traces, layout, {"margin.r": 76})


def clash_figure(matrix: Mapping[str, Any]) -> Figure:
    """Draw where signs disagree, from none to all."""
    cells = {
        **_cells(matrix, matrix["clashes"]),
        "name": "clashing signs",
        "zmin": 0.0,
        "zmax": 1.0,
        "colorscale": scale("sequential"),
        "colorbar": scale_bar("clash", tickformat=".0%"),
        "hovertemplate": "row %{y:.0f}, column %{x:.0f}: %{z:.0%} clash<extra></extra>",
    }
    layout = {
        "xaxis": _side(matrix["columns"]),
        "yaxis": _side(matrix["rows"], down=True),
        "margin": {"l": 44, "r": 84, "t": 10, "b": 26},
    }
    return figure([cells], layout)


def values_figure(matrix: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw singular values over their place."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": inert(model["title"]),
            "x": list(range(1, len(values) + 1)),
            "y": values,
            "line": {"color": expert(model["colour"]), "width": 1.8},
            "hovertemplate": f"{inert(model['title'])}: σ of place %{{x}} is %{{y:.3g}}<extra></extra>",
        }
        for model, values in zip(models, matrix["values"], strict=True)
        if values
    ]
    layout = {
        "xaxis": axis("place", fixedrange=True),
        "yaxis": axis("singular value", rangemode="tozero", fixedrange=True),
        "margin": {"l": 60, "r": 12, "t": 10, "b": 40},
    }
    return figure(traces, layout)


def _cells(matrix: Mapping[str, Any], values: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "x": _middles(matrix["columns"]),
        "y": _middles(matrix["rows"])[: len(values)],
        "z": values,
        "xgap": 0,
        "ygap": 0,
    }


def _middles(cuts: Sequence[int]) -> list[float]:
    return [(start + stop - 1) / 2 for start, stop in zip(cuts, cuts[1:], strict=False)]


def _side(cuts: Sequence[int], *, down: bool = False) -> dict[str, Any]:
    """Return the axis along one side: its first and its last element are named."""
    last = cuts[-1] - 1
    ends = [last + 0.5, -0.5] if down else [-0.5, last + 0.5]
    ticks = sorted({0, last})
    return axis("", range=ends, tickvals=ticks, ticktext=[str(one) for one in ticks], ticks="", showgrid=False)


def _places(count: int, across: int) -> list[tuple[list[float], list[float]]]:
    """Return the domains of so many maps, so many in a row, from the top."""
    high = -(-count // across)
    width, height = (1 - _GAP * (across - 1)) / across, (1 - _HEAD * (high - 1)) / high
    found = []
    for place in range(count):
        row, column = divmod(place, across)
        left, top = column * (width + _GAP), 1 - row * (height + _HEAD)
        found.append(([left, min(1.0, left + width)], [max(0.0, top - height), top]))
    return found
