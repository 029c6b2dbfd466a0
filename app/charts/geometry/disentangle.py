"""Weight disentanglement: ξ over both coefficients as heat maps side by side, all on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.roles import Figure, axis, caption, colour, figure, inert, scale, scale_bar

__all__ = ["DRAWING"]

_GAP, _END = 0.05, 0.94
"""Between two maps, and where the last one ends: the scale stands behind it."""
_NARROW, _SPENT = 840, 82
"""Pixels of the figure on a narrow screen, where the maps stand one above the other, and of its margins."""
_HEAD, _FOOT = 38 / (_NARROW - _SPENT), 46 / (_NARROW - _SPENT)
_MIDDLE: dict[str, Any] = {"xanchor": "center", "yshift": 4}
Cells = Sequence[Sequence[Any]]


def _draw(numbers: Mapping[str, Any], _: About) -> dict[str, Figure]:
    """Draw one map for each kind of model; a cell that is not measured yet has the colour of its nearest neighbour."""
    maps, alphas = numbers["maps"], numbers["alphas"]
    if not maps:
        return {}
    top = max(value for found in maps for row in found["values"] for value in row if value is not None)
    names = [inert(task["title"], 24) for task in numbers["tasks"]]
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {}
    narrow: dict[str, Any] = {"margin.r": 62}
    count = len(maps)
    width, height = (_END + _GAP) / count - _GAP, 1 / count
    for place, found in enumerate(maps):
        tail = "" if place == 0 else str(place + 1)
        left, low = place * (width + _GAP), 1 - (place + 1) * height
        traces.append(
            {
                "type": "heatmap",
                "name": found["name"],
                "x": alphas,
                "y": alphas,
                "z": _filled(found["values"]),
                "zmin": 0,
                "zmax": max(top, 0.1),
                "xaxis": f"x{tail}",
                "yaxis": f"y{tail}",
                "colorscale": scale("sequential"),
                "showscale": place == count - 1,
                "colorbar": scale_bar("ξ"),
                "customdata": _told(found, names),
                "hovertemplate": f"{found['name']}<br>α₁ %{{x:.3g}}, α₂ %{{y:.3g}}<br>%{{customdata}}<extra></extra>",
            }
        )
        half = (alphas[1] - alphas[0]) / 2
        ends = {"range": [alphas[0] - half, alphas[-1] + half], "showgrid": False, "constrain": "domain"}
        layout[f"xaxis{tail}"] = axis(
            f"α₁, {names[0]}", **ends, domain=[left, left + width], anchor=f"y{tail}", fixedrange=True
        )
        layout[f"yaxis{tail}"] = axis(
            f"α₂, {names[1]}" if place == 0 else "",
            **ends,
            anchor=f"x{tail}",
            scaleanchor=f"x{tail}",
            fixedrange=True,
        )
        narrow |= {
            f"xaxis{tail}.domain": [0.0, 1.0],
            f"yaxis{tail}.domain": [low + _FOOT, low + height - _HEAD],
            f"yaxis{tail}.title.text": f"α₂, {names[1]}",
        }
    layout |= {
        "shapes": [_box(alphas, "" if place == 0 else str(place + 1)) for place in range(count)],
        "annotations": [
            caption(_head(found), place * (width + _GAP) + width / 2, **_MIDDLE) for place, found in enumerate(maps)
        ],
        "margin": {"l": 58, "r": 62, "t": 40, "b": 42},
    }
    narrow["annotations"] = [
        caption(_head(found), 0.5, 1 - place * height - _HEAD, **_MIDDLE) for place, found in enumerate(maps)
    ]
    return {"disentanglement": figure(traces, layout, narrow)}


def _head(found: Mapping[str, Any]) -> str:
    box = found["box"]
    if box is None:
        return str(found["name"])
    low, high = box["interval"]
    return f"<b>{found['name']}</b><br>mean in the box {box['value']:.3f} ({low:.3f} – {high:.3f})"


def _box(alphas: Sequence[float], tail: str) -> dict[str, Any]:
    """The useful coefficients, 0 ≤ α ≤ 1."""
    end = min(1.0, alphas[-1])
    place = {"x0": 0.0, "x1": end, "y0": 0.0, "y1": end, "xref": f"x{tail}", "yref": f"y{tail}"}
    return {"type": "rect", **place, "line": {"color": colour("ink"), "width": 1.6}}


def _told(found: Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    keys = ("values", "low", "high", "first", "second")
    return [
        [_sentence(cell, names) for cell in zip(*(found[key][j] for key in keys), strict=True)]
        for j in range(len(found["values"]))
    ]


def _sentence(cell: Sequence[float | None], names: Sequence[str]) -> str:
    value, low, high, first, second = cell
    if value is None:
        return "not measured yet"
    return (
        f"ξ {value:.3f}, 95 % interval {low:.3f} – {high:.3f}"
        f"<br>{names[0]} answered otherwise: {first:.1%}<br>{names[1]} answered otherwise: {second:.1%}"
    )


def _filled(rows: Cells) -> list[list[float]]:
    """Return the rows with the value of the nearest known cell where one is not known."""
    known = {(j, i): value for j, row in enumerate(rows) for i, value in enumerate(row) if value is not None}
    border = list(known)
    while border:
        reached = []
        for j, i in border:
            for cell in ((j - 1, i), (j + 1, i), (j, i - 1), (j, i + 1)):
                if cell not in known and 0 <= cell[0] < len(rows) and 0 <= cell[1] < len(rows[0]):
                    known[cell] = known[j, i]
                    reached.append(cell)
        border = reached
    return [[known[j, i] for i in range(len(row))] for j, row in enumerate(rows)]


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="disentanglement",
            title="Disentanglement error",
            sentence="How often θ₀ + α₁τ₁ + α₂τ₂ answers a task's examples otherwise than the task's own vector alone, "
            "summed over both tasks: near 0 is disentangled; the frame holds 0 ≤ α ≤ 1.",
            height=380,
            narrow=_NARROW,
            table="cells",
        ),
    ),
    draw=_draw,
)
