"""A landscape in three dimensions: heights over a plane, with models and the lines between them lying on it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.landscape import Levels
from app.charts.roles import Figure, colour, figure, scale

__all__ = ["relief"]

_LIFT = 0.02
"""How far above the surface marks float, as a share of its height, so that they are not half under it."""
_STEPS = 24
_EYE = {"x": -1.05, "y": -1.25, "z": 0.85}
_FARTHER = 1.3
"""How much farther away a narrow screen looks from, so that the axes are on it."""
Numbers = Mapping[str, Any]


def relief(numbers: Numbers, heights: Sequence[Sequence[float]], levels: Levels, places: Sequence[Numbers]) -> Figure:
    """Draw losses as a surface whose height is their place among the levels, the colours being those of the map.

    `heights`: losses without gaps. `places`: models, of which those in the plane are drawn.
    """
    placed = [[round(levels.place(value), 4) for value in row] for row in heights]
    top = levels.end + levels.step
    surface = {
        "type": "surface",
        "name": "loss",
        "x": [round(x, 6) for x in numbers["x"]],
        "y": [round(y, 6) for y in numbers["y"]],
        "z": placed,
        "text": [[f"{value:.3f}" for value in row] for row in heights],
        "cmin": 0.0,
        "cmax": top,
        "colorscale": scale("sequential"),
        "showscale": False,
        "contours": {
            "z": {
                "show": True,
                "start": levels.step,
                "end": levels.end,
                "size": levels.step,
                "color": colour("contour"),
                "width": 1,
            }
        },
        "lighting": {"ambient": 0.78, "diffuse": 0.5, "specular": 0.05, "roughness": 0.9, "fresnel": 0.05},
        "hovertemplate": "loss %{text}<br>at %{x:.3g}, %{y:.3g}<extra></extra>",
    }
    lift = _LIFT * top
    corners = [numbers["places"][place] for place in numbers["corners"]]
    if numbers["kind"] == "models":
        corners = [*corners, *corners[:1]]
    elif corners:
        corners = [corners[1], corners[0], corners[2]]
    line = [_between(one, other, step / _STEPS) for one, other in zip(corners, corners[1:], strict=False)
            for step in range(_STEPS + 1)]  # fmt: skip
    inside = [one for one in places if not one["beside"]]
    spots = [(one["x"], one["y"]) for one in inside]
    traces: list[dict[str, Any]] = [
        surface,
        {
            "type": "scatter3d",
            "mode": "lines",
            "name": "lines between models",
            "showlegend": False,
            **_lying(numbers, placed, line, lift),
            "line": {"color": colour("ink"), "width": 4},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter3d",
            "mode": "markers+text",
            "name": "models",
            "showlegend": False,
            **_lying(numbers, placed, spots, 2 * lift),
            "text": [one["title"] for one in inside],
            "textposition": "top center",
            "textfont": {"size": 12, "color": colour("ink")},
            "marker": {
                "size": 6,
                "color": [one["tint"] for one in inside],
                "line": {"width": 2, "color": colour("surface")},
            },
            "hovertemplate": "%{text}<extra></extra>",
        },
    ]
    ticks = {"tickvals": [at for at, _ in levels.ticks], "ticktext": [word for _, word in levels.ticks]}
    scene = {
        "xaxis": _axis("", numbers["x"]),
        "yaxis": _axis("", numbers["y"]),
        "zaxis": {**_axis("loss", [0.0, 1.08 * top]), **ticks},
        "aspectmode": "manual",
        "aspectratio": {"x": 1.0, "y": 1.0, "z": 0.55},
        "camera": {"eye": _EYE, "center": {"x": 0.0, "y": 0.0, "z": -0.14}},
    }
    layout = {"scene": scene, "margin": {"l": 0, "r": 0, "t": 0, "b": 0}}
    farther = {letter: round(_FARTHER * value, 3) for letter, value in _EYE.items()}
    return figure([trace for trace in traces if trace["x"]], layout, {"scene.camera.eye": farther})


def _lying(
    numbers: Numbers, placed: Sequence[Sequence[float]], spots: Sequence[tuple[float, float]], lift: float
) -> dict[str, list[float]]:
    heights = [_height(numbers, placed, *spot) + lift for spot in spots]
    return {"x": [x for x, _ in spots], "y": [y for _, y in spots], "z": [round(height, 4) for height in heights]}


def _between(one: Numbers, other: Numbers, share: float) -> tuple[float, float]:
    return one["x"] + share * (other["x"] - one["x"]), one["y"] + share * (other["y"] - one["y"])


def _height(numbers: Numbers, placed: Sequence[Sequence[float]], x: float, y: float) -> float:
    """Return the height of the drawn surface at a point, which is bilinear between four cells."""
    left, across = _cell(numbers["x"], x)
    low, up = _cell(numbers["y"], y)
    lower = placed[low][left] + across * (placed[low][left + 1] - placed[low][left])
    upper = placed[low + 1][left] + across * (placed[low + 1][left + 1] - placed[low + 1][left])
    return lower + up * (upper - lower)


def _cell(lines: Sequence[float], value: float) -> tuple[int, float]:
    at = min(max(bisect_right(lines, value) - 1, 0), len(lines) - 2)
    return at, (value - lines[at]) / (lines[at + 1] - lines[at])


def _axis(title: str, values: Sequence[float]) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"size": 12, "color": colour("muted")}},
        "range": [values[0], values[-1]],
        "tickfont": {"size": 11, "color": colour("muted")},
        "gridcolor": colour("grid"),
        "linecolor": colour("line"),
        "showbackground": False,
        "zeroline": False,
        "showspikes": False,
        "nticks": 5,
    }
