"""A plane through weight space as a map: contours of loss and accuracy, models on it, and the lines between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.geometry.landscape import Levels, even_levels, filled, rising_levels, whole_lines
from app.charts.geometry.plane_marks import labels_of, lines_of, lowest_of, marks_of, places_of
from app.charts.geometry.relief import relief
from app.charts.roles import Figure, axis, colour, figure, inert, scale, scale_bar
from merging_core.evaluation.intervals import wilson

__all__ = ["DRAWING"]

_WIDE, _NARROW = 7, 3
"""Small maps beside each other on a wide screen and on a narrow one."""

Numbers = Mapping[str, Any]


def _draw(numbers: Numbers, about: About) -> dict[str, Figure]:
    """Draw what is known: maps of loss and accuracy, the loss as a relief, and a small map of each task."""
    split = numbers["layers"][0]["split"]
    layers = [layer for layer in numbers["layers"] if layer["split"] == split]
    places = places_of(numbers, about)
    found: dict[str, Figure] = {}
    for what in ("loss", "accuracy"):
        made = _map(numbers, layers[0], what, places)
        if made is not None:
            found[what] = made
    body = _body(numbers, layers[0], places)
    if body is not None:
        found["surface"] = body
    others = [layer for layer in numbers["layers"] if layer["split"] != split and layer["task"] == layers[0]["task"]]
    small = _small(numbers, [*layers[1:], *others], about, places)
    if small is not None:
        found["tasks"] = small
    return found


def _body(numbers: Numbers, layer: Numbers, places: Sequence[Numbers]) -> Figure | None:
    """Draw the finest grid of which every cell was measured: a page takes long over a body, so it is seldom another."""
    heights = _heights(layer, "loss")
    at = whole_lines(heights)
    rows = [[value for column in at if (value := heights[row][column]) is not None] for row in at]
    whole = {**numbers, **{axis_: [numbers[axis_][line] for line in at] for axis_ in ("x", "y")}}
    levels = _levels(rows, "loss", _between_models(whole, rows) if at else ())
    return None if levels is None else relief(whole, rows, levels, places)


def _map(numbers: Numbers, layer: Numbers, what: str, places: Sequence[Numbers]) -> Figure | None:
    heights = _heights(layer, what)
    levels = _levels(heights, what, _between_models(numbers, heights))
    contour = _contour(numbers, heights, levels, what, _counted(layer))
    if contour is None or levels is None:
        return None
    title = "loss (nats)" if what == "loss" else "accuracy"
    contour["colorbar"] = _bar(levels, title)
    traces = [contour, *lines_of(numbers), *marks_of(places, layer["split"])]
    if what == "loss":
        traces += lowest_of(numbers, layer["split"])
    layout = {
        "xaxis": axis(_axis_title(numbers, places, 0), **_span(numbers["x"])),
        "yaxis": axis(_axis_title(numbers, places, 1), scaleanchor="x", scaleratio=1, **_span(numbers["y"], "middle")),
        "annotations": [
            _heading(f"{layer['split']}, n {numbers['n'][layer['split']]}", ""),
            *labels_of(numbers, places),
        ],
        "margin": {"l": 52, "r": 72, "t": 26, "b": 44},
    }
    return figure(traces, layout, {"margin": {"l": 44, "r": 62, "t": 26, "b": 40}})


def _heights(layer: Numbers, what: str) -> list[list[float | None]]:
    """Return rows of a picture; a loss that is not finite is as high as can be, an unknown one is None."""
    return [
        [
            math.inf if value is None and known is not None else value
            for value, known in zip(values, knowns, strict=True)
        ]
        for values, knowns in zip(layer[what], layer["accuracy"], strict=True)
    ]


def _between_models(numbers: Numbers, heights: Sequence[Sequence[float | None]]) -> list[float]:
    """Return the heights of the cells in the box around the models that the plane was laid through."""
    corners = numbers["corners"] or ([] if numbers["kind"] == "random" else range(len(numbers["places"])))
    if not corners:
        return []
    inside = []
    for axis_ in ("x", "y"):
        lines, own = numbers[axis_], [numbers["places"][place][axis_] for place in corners]
        half = (lines[1] - lines[0]) / 2.0
        inside.append([index for index, at in enumerate(lines) if min(own) - half <= at <= max(own) + half])
    found = [heights[row][column] for row in inside[1] for column in inside[0]]
    return [value for value in found if value is not None and math.isfinite(value)]


def _levels(heights: Sequence[Sequence[float | None]], what: str, near: Sequence[float] = ()) -> Levels | None:
    known = [value for row in heights for value in row if value is not None and math.isfinite(value)]
    if not known:
        return None
    return rising_levels(known, near) if what == "loss" else even_levels(known)


def _contour(
    numbers: Numbers, heights: Sequence[Sequence[float | None]], levels: Levels | None, what: str, n: int
) -> dict[str, Any] | None:
    if levels is None:
        return None
    placed = filled([[None if value is None else levels.place(value) for value in row] for row in heights])
    if placed is None:
        return None
    return {
        "type": "contour",
        "name": what,
        "x": [round(x, 6) for x in numbers["x"]],
        "y": [round(y, 6) for y in numbers["y"]],
        "z": [[round(value, 4) for value in row] for row in placed],
        "text": [[_said(value, what, n) for value in row] for row in heights],
        "zmin": 0.0,
        "zmax": levels.end + levels.step,
        "colorscale": scale("sequential"),
        "contours": {"start": levels.step, "end": levels.end, "size": levels.step, "coloring": "fill"},
        "line": {"color": colour("contour"), "width": 0.7, "smoothing": 0.6},
        "hovertemplate": f"{what} %{{text}}<br>at %{{x:.3g}}, %{{y:.3g}}<extra></extra>",
    }


def _said(value: float | None, what: str, n: int) -> str:
    """Write a value for the tip, an accuracy of `n` examples of one task with its interval."""
    if value is None:
        return "between measured cells"
    if what == "accuracy" and n:
        low, high = wilson(round(value * n), n)
        return f"{value:.1%}, 95 % interval {low:.1%} – {high:.1%}"
    return f"{value:.3f}" if what == "loss" else f"{value:.1%}"


def _counted(layer: Numbers) -> int:
    """Return the n of one task; 0 for a mean over tasks, whose interval takes too long for every cell."""
    return int(layer["n"]) if layer["task"] is not None else 0


def _span(values: Sequence[float], toward: str = "right") -> dict[str, Any]:
    shown = {"range": [values[0], values[-1]], "constrain": "domain", "constraintoward": toward}
    return {**shown, "showgrid": False, "nticks": 7, "ticks": "outside", "ticklen": 4, "tickcolor": colour("line")}


def _axis_title(numbers: Numbers, places: Sequence[Numbers], which: int) -> str:
    """Name an axis by the models that it leads to, where these are in the picture."""
    kind, titles = numbers["kind"], {one["number"]: one["title"] for one in places}
    if kind == "models" and len(titles) >= 3:
        return f"distance from {titles[0]} to {titles[1]}" if which == 0 else f"distance from that line to {titles[2]}"
    if kind == "task vectors" and which in titles:
        return f"{numbers['axes'][which]}, times the task vector of {titles[which]}"
    return str(numbers["axes"][which])


def _small(numbers: Numbers, layers: Sequence[Numbers], about: About, places: Sequence[Numbers]) -> Figure | None:
    """A map of accuracy for each task, and one for each other split, all with the same colours."""
    heights = [_heights(layer, "accuracy") for layer in layers]
    levels = _levels([row for rows in heights for row in rows], "accuracy")
    if not layers or levels is None:
        return None
    titles = {task["task"]: task["title"] for task in about["tasks"]}
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": [], "margin": {"l": 12, "r": 72, "t": 30, "b": 12}}
    narrow: dict[str, Any] = {}
    for number, (layer, rows) in enumerate(zip(layers, heights, strict=True)):
        contour = _contour(numbers, rows, levels, "accuracy", _counted(layer))
        if contour is None:
            return None
        name = "" if number == 0 else str(number + 1)
        on = {"xaxis": f"x{name}", "yaxis": f"y{name}"}
        bar = {"colorbar": _bar(levels, "accuracy")} if number == 0 else {"showscale": False}
        traces += [{**contour, **on, **bar}, *({**mark, **on} for mark in (*lines_of(numbers), *marks_of(places, "")))]
        blank = {"showticklabels": False, "ticks": "", "fixedrange": True}
        same = {"scaleanchor": f"x{name}", "scaleratio": 1}
        layout[f"xaxis{name}"] = axis("", **{**_span(numbers["x"], "center"), **blank}, anchor=f"y{name}")
        layout[f"yaxis{name}"] = axis("", **{**_span(numbers["y"], "top"), **blank}, anchor=f"x{name}", **same)
        for across, target, prefix in ((_WIDE, layout, False), (_NARROW, narrow, True)):
            wide, tall = _domains(number, len(layers), across)
            for axis_, domain in ((f"xaxis{name}", wide), (f"yaxis{name}", tall)):
                if prefix:
                    target[f"{axis_}.domain"] = domain
                else:
                    target[axis_]["domain"] = domain
        said = (
            layer["split"]
            if layer["split"] != numbers["layers"][0]["split"]
            else titles.get(layer["task"], layer["title"])
        )
        layout["annotations"].append(_heading(inert(str(said), 22), name))
    return figure(traces, layout, narrow)


def _heading(title: str, name: str) -> dict[str, Any]:
    return {
        "text": title,
        "x": 0.5,
        "y": 1.0,
        "xref": f"x{name} domain",
        "yref": f"y{name} domain",
        "xanchor": "center",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12, "color": colour("muted")},
    }


def _bar(levels: Levels, title: str) -> dict[str, Any]:
    ticks = {"tickvals": [at for at, _ in levels.ticks], "ticktext": [word for _, word in levels.ticks]}
    return scale_bar(title, **ticks)


def _domains(number: int, count: int, across: int) -> tuple[list[float], list[float]]:
    """Return where a small map stands among `count`, so many beside each other, the first at the upper left."""
    down = math.ceil(count / across)
    return _cell(number % across, min(across, count)), _cell(down - 1 - number // across, down)


def _cell(index: int, count: int) -> list[float]:
    gap = 0.03 if count > _NARROW else 0.1
    width = (1.0 - gap * (count - 1)) / count
    start = index * (width + gap)
    return [round(start, 4), round(start + width, 4)]


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="loss",
            title="Loss on the plane",
            sentence="Loss on the plane: models in one basin lie in one pale valley, and a ridge between two models is "
            "a barrier. A ring is a model beside the plane, at its nearest point; the cross is the lowest cell.",
            height=430,
            narrow=350,
            table="plane",
            wide=False,
        ),
        FigureInfo(
            name="accuracy",
            title="Accuracy on the plane",
            sentence="Accuracy on the same plane: the fuller the colour, the more examples are right.",
            height=430,
            narrow=350,
            table="plane",
            wide=False,
        ),
        FigureInfo(
            name="surface",
            title="Loss as a landscape",
            sentence="The same losses as a landscape that can be turned, with the models where they stand on it.",
            height=460,
            narrow=340,
            table="models",
            solid=True,
        ),
        FigureInfo(
            name="tasks",
            title="Accuracy of each task, and on other splits",
            sentence="Accuracy of each task on the plane, all in the same colours: where the full places overlap, one "
            "model does them all. Other splits are means over tasks.",
            height=230,
            narrow=300,
            table="plane",
        ),
    ),
    draw=_draw,
)
