"""What an expert gains on its own task and what the other tasks lose, along γ (LiNeS) and α (WiSE-FT)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.charts.labels import Label, place
from app.charts.roles import Figure, axis, colour, expert, figure, inert

__all__ = ["figure_of"]

Points = list[dict[str, Any]]
Words = tuple[list[str], list[str]]
_NARROW = (260.0, 230.0)
"""Pixels of the plot on a narrow screen: labels that have room there have room everywhere."""


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw trade-off numbers (see docs/architecture.md): control tasks along x, the expert's own task along y.

    Up and to the right is better. Solid: layer scaling with γ; dotted: all layers alike, θ₀ + α·τ. Both end at the
    expert; α = 0 is the base. Crosses are the 95 % intervals of LiNeS; those of WiSE-FT are told on hover. Points that
    coincide have one label; one that would cover another is left to the hover.
    """
    tint = expert(numbers["expert"]["colour"])
    lines, wise = numbers["curves"]["lines_gamma"], numbers["curves"]["wise_ft"]
    partial = " (preview)" if numbers["subset"] == "preview" else ""
    words = _labelled(lines, wise)
    traces = [
        _curve("WiSE-FT", "α", wise, colour("muted"), "dot", "circle-open", partial, None),
        _curve("LiNeS", "γ", lines, tint, "solid", "circle", partial, words["LiNeS"]),
    ]
    for name, points, at, role in (("base", wise, 0.0, colour("base")), ("expert", lines, 1.0, tint)):
        traces.append(_end(name, [point for point in points if point["at"] == at], role, words[name]))
    layout = {
        "xaxis": axis("other tasks, mean accuracy", tickformat=".0%", nticks=6),
        "yaxis": axis(f"{inert(numbers['target'], 24)}, accuracy", tickformat=".0%", nticks=6),
        "margin": {"l": 62, "r": 40, "t": 14, "b": 40},
    }
    return figure(traces, layout)


def _curve(
    name: str, letter: str, points: Points, tint: str, dash: str, symbol: str, partial: str, words: Words | None
) -> dict[str, Any]:
    ordered = _ordered(points)
    labelled = words is not None
    texts, sides = words or ([], [])
    return {
        "type": "scatter",
        "mode": "lines+markers+text" if labelled else "lines+markers",
        "name": name,
        "x": [point["control"] for point in ordered],
        "y": [point["target"] for point in ordered],
        "text": texts,
        "textposition": sides,
        "textfont": {"size": 11, "color": colour("muted")},
        "line": {"color": tint, "width": 2.2 if dash == "solid" else 1.4, "dash": dash},
        "marker": {"size": 7, "color": tint, "symbol": symbol},
        "error_x": _bars(ordered, "control", visible=labelled),
        "error_y": _bars(ordered, "target", visible=labelled),
        "customdata": [
            [*point["target_interval"], *point["control_interval"], f"{letter} {point['at']:g}"] for point in ordered
        ],
        "cliponaxis": False,
        "hovertemplate": f"{name}{partial}, %{{customdata[4]}}"
        "<br>own task %{y:.1%}, 95 % interval %{customdata[0]:.1%} – %{customdata[1]:.1%}"
        "<br>others %{x:.1%}, 95 % interval %{customdata[2]:.1%} – %{customdata[3]:.1%}<extra></extra>",
    }


def _ordered(points: Points) -> Points:
    return sorted(points, key=lambda point: float(point["at"]))


def _labelled(lines: Points, wise: Points) -> dict[str, Words]:
    """Return the labels of the LiNeS curve and of both ends, none over another: their texts, and their sides."""
    spots = {"expert": [one for one in lines if one["at"] == 1.0], "base": [one for one in wise if one["at"] == 0.0]}
    spots["LiNeS"] = ordered = _ordered(lines)
    alike: dict[tuple[float, float], list[int]] = {}
    for i, point in enumerate(ordered):
        alike.setdefault((point["control"], point["target"]), []).append(i)
    owners = [(name, 0, name) for name in ("expert", "base") if spots[name]]
    steps = [f"{point['at']:g}" for point in ordered]
    owners += [("LiNeS", at[0], f"γ {', '.join(steps[i] for i in at)}") for at in alike.values()]
    pixels = _pixels([*lines, *wise])
    sides = place([Label(text, *pixels(spots[name][i])) for name, i, text in owners], [*map(pixels, [*lines, *wise])])
    found = {(name, i): (text, side) for (name, i, text), side in zip(owners, sides, strict=True) if side}
    told = {name: [found.get((name, i), ("", "top right")) for i in range(len(spots[name]))] for name in spots}
    return {name: ([text for text, _ in words], [side for _, side in words]) for name, words in told.items()}


def _pixels(points: Points) -> Callable[[dict[str, Any]], tuple[float, float]]:
    """Return where a point lies on a narrow screen."""
    left, right = _range(points, "control")
    low, high = _range(points, "target")
    width, height = _NARROW

    def pixel(point: dict[str, Any]) -> tuple[float, float]:
        across, down = (point["control"] - left) / (right - left), (high - point["target"]) / (high - low)
        return width * across, height * down

    return pixel


def _range(points: Points, key: str) -> tuple[float, float]:
    """Return what an axis spans that holds every point and interval, with the margin that plotly leaves."""
    ends = [end for point in points for end in (point[key], *point[f"{key}_interval"])] or [0.0, 1.0]
    margin = max(0.06 * (max(ends) - min(ends)), 0.001)
    return min(ends) - margin, max(ends) + margin


def _bars(points: Points, key: str, *, visible: bool) -> dict[str, Any]:
    ends = [point[f"{key}_interval"] for point in points]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - point[key]) for point, (_, high) in zip(points, ends, strict=True)],
        "arrayminus": [max(0.0, point[key] - low) for point, (low, _) in zip(points, ends, strict=True)],
        "visible": visible,
        "color": colour("line"),
        "thickness": 1,
        "width": 0,
    }


def _end(name: str, points: Points, tint: str, words: Words) -> dict[str, Any]:
    texts, sides = words
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "x": [point["control"] for point in points],
        "y": [point["target"] for point in points],
        "text": texts,
        "textposition": sides,
        "textfont": {"size": 11.5, "color": colour("ink")},
        "marker": {"size": 11, "color": tint, "symbol": "square"},
        "cliponaxis": False,
        "hoverinfo": "skip",
    }
