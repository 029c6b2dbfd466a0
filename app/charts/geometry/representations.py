"""How alike representations are layer by layer, how far they moved from the base, and the matrix of all layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.geometry.who import model_colour, model_name
from app.charts.panels import LEFT, RIGHT, stacked
from app.charts.roles import Figure, axis, caption, colour, figure, scale, scale_bar

__all__ = ["DRAWING"]

_MOST = 8
"""Pairs that one figure shows; the table has all."""
_TICKS = 10


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw what is there: pairs of models, drift where there is a base, and one matrix."""
    found = {"cka": _pairs(numbers, about)}
    if numbers["moved"]:
        found["drift"] = _drift(numbers, about)
    return {**found, "layers": _layers(numbers, about)}


def _pairs(numbers: Mapping[str, Any], about: About) -> Figure:
    """One line a pair: in the colour of the first model, with marks in that of the second."""
    pairs = numbers["pairs"]
    if len(pairs) > _MOST:
        first = pairs[0]["first"]
        pairs = [pair for pair in pairs if pair["first"] == first][:_MOST]
    traces = []
    for pair in pairs:
        row = _lead(pair)
        with_base = pair["first"] is None
        one, other = model_name(pair["first"], about), model_name(pair["second"], about)
        tint, mark = model_colour(pair["second" if with_base else "first"], about), model_colour(pair["second"], about)
        marker = {"size": 6, "color": mark, "symbol": "circle" if with_base else "diamond"}
        style = {"color": tint, "width": 1.8, "dash": "solid" if with_base else "dot"}
        traces.append(_line(f"{one} · {other}", row["cka"], style, marker, "CKA"))
    layout = {
        "xaxis": _depth(numbers["layers"]),
        "yaxis": axis("", range=_below_one(traces), fixedrange=True),
        "annotations": [caption(f"CKA, {_where(_lead(pairs[0]))}", 0.0)],
        "margin": {"l": 46, "r": 12, "t": 26, "b": 44},
        "showlegend": False,
    }
    return figure(traces, layout)


def _drift(numbers: Mapping[str, Any], about: About) -> Figure:
    """Relative distance on the left, cosine on the right, one line a model."""
    traces = []
    for one in numbers["moved"]:
        row, name, tint = _lead(one), model_name(one["model"], about), model_colour(one["model"], about)
        style, marker = {"color": tint, "width": 1.8}, {"size": 5, "color": tint}
        traces.append(_line(name, row["distance"], style, marker, "distance"))
        second = {"xaxis": "x2", "yaxis": "y2", "showlegend": False}
        traces.append({**_line(f"{name}, cosine", row["cosine"], style, marker, "cosine"), **second})
    words = f"‖h − h₀‖ / ‖h₀‖, {_where(_lead(numbers['moved'][0]))}"
    layout = {
        "xaxis": _depth(numbers["layers"], domain=LEFT),
        "xaxis2": _depth(numbers["layers"], domain=RIGHT, anchor="y2", matches="x"),
        "yaxis": axis("", rangemode="tozero", fixedrange=True),
        "yaxis2": axis("", anchor="x2", range=_below_one(traces[1::2]), fixedrange=True),
        "annotations": [caption(words, LEFT[0]), caption("cosine with the base", RIGHT[0])],
        "margin": {"l": 46, "r": 12, "t": 26, "b": 44},
    }
    narrow = stacked(words, "cosine with the base", xaxis__showticklabels=False, xaxis__title__text="")
    return figure(traces, layout, narrow)


def _layers(numbers: Mapping[str, Any], about: About) -> Figure:
    matrix, layers = numbers["matrix"], [_layer(name) for name in numbers["layers"]]
    one, other = model_name(matrix["first"], about), model_name(matrix["second"], about)
    places = list(range(len(layers)))
    cells = {
        "type": "heatmap",
        "name": "CKA",
        "x": places,
        "y": places,
        "z": matrix["values"],
        "customdata": [[[row, column] for column in layers] for row in layers],
        "hovertemplate": f"{one} %{{customdata[0]}} · {other} %{{customdata[1]}}: %{{z:.3f}}<extra></extra>",
        "zmin": 0.0,
        "zmax": 1.0,
        "colorscale": scale("sequential"),
        "colorbar": scale_bar("CKA"),
        "xgap": 1,
        "ygap": 1,
    }
    ticks = {**_depth(numbers["layers"]), "showgrid": False, "ticks": ""}
    title = {"standoff": 6, "font": {"size": 12, "color": colour("muted")}}
    layout = {
        "xaxis": {**ticks, "title": {**title, "text": other}, "range": [-0.5, len(layers) - 0.5]},
        "yaxis": {**ticks, "title": {**title, "text": one}, "range": [-0.5, len(layers) - 0.5]},
        "margin": {"l": 66, "r": 62, "t": 12, "b": 44},
    }
    return figure([cells], layout)


def _line(
    name: str, row: Sequence[Mapping[str, Any]], line: dict[str, Any], marker: dict[str, Any], what: str
) -> dict[str, Any]:
    """One number at each layer, with its interval."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(range(len(row))),
        "y": [point["value"] for point in row],
        "line": line,
        "marker": marker,
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [_span(point, 1) for point in row],
            "arrayminus": [_span(point, 0) for point in row],
            "color": line["color"],
            "thickness": 1,
            "width": 2,
        },
        "customdata": [point["interval"] for point in row],
        "hovertemplate": f"{name}: {what} %{{y:.3f}}<br>95 % interval %{{customdata[0]:.3f}} – "
        "%{customdata[1]:.3f}<extra></extra>",
    }


def _span(point: Mapping[str, Any], side: int) -> float:
    value, end = point["value"], point["interval"][side]
    return 0.0 if value is None or end is None else abs(end - value)


def _lead(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mean over the tasks of the first split that is known."""
    found: Mapping[str, Any] = one["means"][0]
    return found


def _where(row: Mapping[str, Any]) -> str:
    return f"mean over tasks, {row['split']}, n {row['n']:,}"


def _below_one(traces: Sequence[Mapping[str, Any]]) -> list[float]:
    """From a tenth below the lowest value to 1, so that likenesses near 1 can be told apart."""
    lowest = min((value for trace in traces for value in trace["y"] if value is not None), default=0.0)
    return [min(0.8, math.floor(10 * lowest - 0.5) / 10), 1.01]


def _depth(layers: Sequence[str], **more: Any) -> dict[str, Any]:
    """The axis of layers: what comes before the blocks, each block by number, the output."""
    step = -(-len(layers) // _TICKS)
    kept = [place for place in range(len(layers)) if place % step == 0 or place == len(layers) - 1]
    if step > 1 and len(kept) > 1 and kept[-1] - kept[-2] < step:
        kept.pop(-2)
    span = [-0.3, len(layers) - 0.7]
    texts = [_layer(layers[place]) for place in kept]
    return axis("after block", **{"tickvals": kept, "ticktext": texts, "range": span, "fixedrange": True, **more})


def _layer(name: str) -> str:
    return {"before": "0", "output": "out"}.get(name, name.removeprefix("block "))


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="cka",
            title="How alike models are, layer by layer",
            sentence="CKA of what two models make of the same inputs after each block: 1 where one is the other turned "
            "and scaled, near 0 where they have nothing in common.",
            height=330,
            table="cka",
            wide=False,
        ),
        FigureInfo(
            name="layers",
            title="Every layer with every layer",
            sentence="CKA of each layer of one model with each layer of another: blocks of full colour are layers that "
            "do much the same.",
            height=330,
            table="matrix",
            wide=False,
        ),
        FigureInfo(
            name="drift",
            title="How far each layer moved from the base",
            sentence="The distance of what a model holds after each block from what the base holds there, as a share "
            "of the base's own length, and the cosine of the two.",
            height=300,
            narrow=460,
            table="drift",
        ),
    ),
    draw=_draw,
)
