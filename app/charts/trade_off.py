"""What an expert gains on its own task and what the other tasks lose, along γ (LiNeS) and α (WiSE-FT)."""

from __future__ import annotations

from typing import Any

from app.charts.roles import Figure, axis, colour, expert, figure, inert

__all__ = ["figure_of"]


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw trade-off numbers (see docs/architecture.md): control tasks along x, the expert's own task along y.

    Up and to the right is better. Solid: layer scaling with γ; dotted: all layers alike, θ₀ + α·τ. Both end at the
    expert; α = 0 is the base. Crosses are the 95 % intervals of LiNeS; those of WiSE-FT are told on hover.
    """
    tint = expert(numbers["expert"]["colour"])
    lines, wise = numbers["curves"]["lines_gamma"], numbers["curves"]["wise_ft"]
    partial = " (preview)" if numbers["subset"] == "preview" else ""
    traces = [
        _curve("WiSE-FT", "α", wise, colour("muted"), "dot", "circle-open", partial),
        _curve("LiNeS", "γ", lines, tint, "solid", "circle", partial),
    ]
    for name, points, at, role in (("base", wise, 0.0, colour("base")), ("expert", lines, 1.0, tint)):
        traces.append(_end(name, [point for point in points if point["at"] == at], role))
    layout = {
        "xaxis": axis("other tasks, mean accuracy", tickformat=".0%", nticks=6),
        "yaxis": axis(f"{inert(numbers['target'], 24)}, accuracy", tickformat=".0%", nticks=6),
        "margin": {"l": 62, "r": 40, "t": 14, "b": 40},
    }
    return figure(traces, layout)


def _curve(
    name: str, letter: str, points: list[dict[str, Any]], tint: str, dash: str, symbol: str, partial: str
) -> dict[str, Any]:
    ordered = sorted(points, key=lambda point: float(point["at"]))
    labelled = name == "LiNeS"
    return {
        "type": "scatter",
        "mode": "lines+markers+text" if labelled else "lines+markers",
        "name": name,
        "x": [point["control"] for point in ordered],
        "y": [point["target"] for point in ordered],
        "text": [f"{letter} {point['at']:g}" for point in ordered],
        "textposition": "top right",
        "textfont": {"size": 11, "color": colour("muted")},
        "line": {"color": tint, "width": 2.2 if dash == "solid" else 1.4, "dash": dash},
        "marker": {"size": 7, "color": tint, "symbol": symbol},
        "error_x": _bars(ordered, "control", visible=labelled),
        "error_y": _bars(ordered, "target", visible=labelled),
        "customdata": [[*point["target_interval"], *point["control_interval"]] for point in ordered],
        "cliponaxis": False,
        "hovertemplate": f"{name}{partial}, %{{text}}"
        "<br>own task %{y:.1%}, 95 % interval %{customdata[0]:.1%} – %{customdata[1]:.1%}"
        "<br>others %{x:.1%}, 95 % interval %{customdata[2]:.1%} – %{customdata[3]:.1%}<extra></extra>",
    }


def _bars(points: list[dict[str, Any]], key: str, *, visible: bool) -> dict[str, Any]:
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


def _end(name: str, points: list[dict[str, Any]], tint: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "x": [point["control"] for point in points],
        "y": [point["target"] for point in points],
        "text": [name for _ in points],
        "textposition": "bottom center",
        "textfont": {"size": 11.5, "color": colour("ink")},
        "marker": {"size": 11, "color": tint, "symbol": "square"},
        "cliponaxis": False,
        "hoverinfo": "skip",
    }
