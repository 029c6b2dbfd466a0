"""Foretold answers along line and curve beside the true ones: accuracy, and how far the logits are off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.panels import LEFT, RIGHT, stacked
from app.charts.roles import Figure, axis, caption, colour, expert, figure, fraction_axis, inert

__all__ = ["DRAWING"]

_SECOND = {"xaxis": "x2", "yaxis": "y2"}
_LOOKS = {
    "ends": (colour("base"), "dot", "diamond"),
    "tangent": (expert(5), "dash", "square"),
    "cubic": (expert(1), "dashdot", "cross"),
    "nodes": (colour("merge"), "solid", "circle"),
    "bridge": (expert(2), "dash", "x"),
}
"""Colour, dash and mark of a predictor."""
_LOWEST = 1e-6
"""Below this a foretold logit is the true one, up to rounding."""
_TICKS = {0.0001: "0.01 %", 0.001: "0.1 %", 0.01: "1 %", 0.1: "10 %", 1.0: "100 %", 10.0: "1 000 %", 100.0: "10 000 %"}


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw the first split: the line on the left, the curve on the right once it is there."""
    paths = numbers["paths"]
    paths = [path for path in paths if path["split"] == paths[0]["split"]]
    titles = {method["name"]: method["title"] for method in numbers["methods"]}
    off = "error, share of the logits’ size"
    return {
        "accuracy": _side_by_side([_accuracy(path, titles) for path in paths], paths, about, "accuracy"),
        "error": _side_by_side([_errors(path, titles) for path in paths], paths, about, off),
    }


def _accuracy(path: Mapping[str, Any], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    points = path["points"]
    low, high = ([point["interval"][side] for point in points] for side in (0, 1))
    quiet = {
        "type": "scatter",
        "mode": "lines",
        "x": [point["t"] for point in points],
        "line": {"width": 0, "color": colour("conflict")},
        "hoverinfo": "skip",
    }
    true = {
        "type": "scatter",
        "mode": "lines",
        "name": "true",
        "x": [point["t"] for point in points],
        "y": [point["accuracy"] for point in points],
        "line": {"color": colour("ink"), "width": 2.6},
        "legendrank": 1,
        "customdata": [[*point["interval"], point["n"]] for point in points],
        "hovertemplate": "true %{y:.1%} at t %{x:.3f}<br>95 % interval %{customdata[0]:.1%} – %{customdata[1]:.1%}"
        "<br>n %{customdata[2]}<extra></extra>",
    }
    filled = {"fill": "tonexty", "fillcolor": colour("conflict"), "legendrank": 30}
    band = [
        {**quiet, "name": "interval, low", "y": low, "showlegend": False},
        {**quiet, **filled, "name": "95 % interval", "y": high},
    ]
    return [*band, true, *(_foretold(path, name, titles, "accuracy") for name in _LOOKS if _has(path, name))]


def _errors(path: Mapping[str, Any], titles: Mapping[str, str]) -> list[dict[str, Any]]:
    return [_foretold(path, name, titles, "error") for name in _LOOKS if _has(path, name)]


def _has(path: Mapping[str, Any], name: str) -> bool:
    return any(name in point["foretold"] for point in path["points"])


def _foretold(path: Mapping[str, Any], name: str, titles: Mapping[str, str], what: str) -> dict[str, Any]:
    tint, dash, mark = _LOOKS[name]
    known = [(point, point["foretold"][name]) for point in path["points"] if name in point["foretold"]]
    values = [found[what] for _, found in known]
    title = titles[name]
    if what == "error":
        values = [value if value is not None and value > _LOWEST else None for value in values]
        hover = f"{title}: off by %{{y:.2%}} of the logits at t %{{x:.3f}}<br>same answer %{{customdata[0]:.1%}}"
    else:
        hover = (
            f"{title}: %{{y:.1%}} at t %{{x:.3f}}<br>foretold − true %{{customdata[1]:.1%}} – %{{customdata[2]:.1%}}"
        )
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "cliponaxis": False,
        "name": title,
        "x": [point["t"] for point, _ in known],
        "y": values,
        "line": {"color": tint, "width": 1.6, "dash": dash},
        "marker": {"size": 4.5, "color": tint, "symbol": mark},
        "legendrank": 2 + list(_LOOKS).index(name),
        "customdata": [[found["agreement"], *found["interval"]] for _, found in known],
        "hovertemplate": f"{hover}<extra></extra>",
    }


def _side_by_side(
    each: list[list[dict[str, Any]]], paths: list[Mapping[str, Any]], about: About, what: str
) -> Figure:  # fmt: skip
    two = len(each) > 1
    traces = list(each[0])
    if two:
        seen = {trace["name"] for trace in traces if trace.get("showlegend", True)}
        traces += [
            {**trace, **_SECOND, **({"showlegend": False} if trace["name"] in seen else {})} for trace in each[1]
        ]
    names = [inert(model["title"], 18) for model in about["models"]]
    ticks = {"tickvals": [0.0, 0.5, 1.0], "ticktext": [names[0], "½", names[-1]], "fixedrange": True}
    span = {**ticks, "range": [-0.05, 1.05]}
    scale = fraction_axis("", fixedrange=True)
    if what != "accuracy":
        scale = axis("", type="log", tickvals=list(_TICKS), ticktext=list(_TICKS.values()), fixedrange=True)
    captions = [f"{what}, {path['path']}, {path['split']}" for path in paths]
    layout: dict[str, Any] = {
        "xaxis": axis("", domain=LEFT if two else [0.0, 1.0], **span),
        "yaxis": scale,
        "annotations": [caption(captions[0], 0.0)],
        "margin": {"l": 58, "r": 28, "t": 26, "b": 30},
    }
    if not two:
        return figure(traces, layout)
    layout |= {
        "xaxis2": axis("", domain=RIGHT, anchor="y2", **span),
        "yaxis2": {**scale, "anchor": "x2"},
        "annotations": [caption(captions[0], 0.0), caption(captions[1], RIGHT[0])],
    }
    narrow = stacked(captions[0], captions[1])
    return figure(traces, layout, narrow)


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="accuracy",
            title="True and foretold accuracy",
            sentence="What the models along a path answer, and what was foretold of them without asking them.",
            height=340,
            narrow=500,
            table="points",
        ),
        FigureInfo(
            name="error",
            title="How far foretold logits are off",
            sentence="The difference of foretold and true logits, as a share of their size; where it is not drawn, "
            "the point is one of those that are known.",
            height=340,
            table="summary",
        ),
    ),
    draw=_draw,
)
