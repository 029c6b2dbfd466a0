"""A trained curve beside the straight line: loss and accuracy along both, under attack too, and how the curve grew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.panels import LEFT, RIGHT, stacked
from app.charts.roles import Figure, axis, caption, colour, expert, figure, fraction_axis, inert

__all__ = ["DRAWING"]

_SECOND = {"xaxis": "x2", "yaxis": "y2"}
_DASHES = {"train": "solid", "validation": "dash"}
_NORMS = {"linf": "ℓ∞", "l2": "ℓ2"}
_LOOKS = {
    ("line", "clean"): ("base", 1.8, "diamond"),
    ("curve", "clean"): ("merge", 2.4, "circle"),
    ("line", "linf"): ("base", 1.8, "diamond"),
    ("curve", "linf"): ("merge", 2.4, "circle"),
    ("line", "l2"): ("faint", 1.8, "square"),
    ("curve", "l2"): ("expert-3", 2.4, "triangle-up"),
}
"""Colour, width and mark of a path, as it is and under attack."""
_GROWN = {"clean": ("merge", "circle"), "linf": ("warning", "square"), "l2": ("expert-3", "triangle-up")}


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw the paths over t, each on its splits, and the largest loss of the curve over the steps of its training."""
    names = {"line": "line", "curve": "curve" if numbers["kind"] == "bezier" else "chain"}
    clean = [path for path in numbers["paths"] if path["under"] == "clean"]
    attacked = [path for path in numbers["paths"] if path["under"] != "clean"]
    found = {}
    if clean:
        found["curve"] = _paths(clean, names, about, "")
    if attacked:
        found["attacked"] = _paths(attacked, names, about, ", changed pictures")
    if numbers["growth"]:
        found["growth"] = _growth(numbers)
    return found


def _paths(paths: list[dict[str, Any]], names: Mapping[str, str], about: About, words: str) -> Figure:
    several = len({path["under"] for path in paths}) > 1
    traces: list[dict[str, Any]] = []
    for path in paths:
        norm = f", {_NORMS[path['under']]}" if several else ""
        for split in [split for split in ("validation", "train") if split in path["splits"]]:
            part = path["splits"][split]
            if path["what"] == "curve" and split == "validation" and not several:
                traces += _band(part["points"])
            traces += _pair(path, f"{names[path['what']]}{norm}, {split}", split)
        if path["what"] == "curve" and len(about["tasks"]) > 1 and not several:
            traces += _tasks(path, about)
    ends = [inert(model["title"], 18) for model in about["models"]]
    ticks = {"tickvals": [0.0, 0.5, 1.0], "ticktext": [ends[0], "½", ends[-1]], "fixedrange": True}
    span = {**ticks, "range": [-0.05, 1.05]}
    captions = (f"loss (nats){words}", f"accuracy{words}")
    layout = {
        "xaxis": axis("", domain=LEFT, **span),
        "xaxis2": axis("", domain=RIGHT, anchor="y2", matches="x", **span),
        "yaxis": axis("", rangemode="tozero", fixedrange=True),
        "yaxis2": fraction_axis("", anchor="x2", fixedrange=True),
        "annotations": [caption(captions[0], LEFT[0]), caption(captions[1], RIGHT[0])],
        "margin": {"l": 46, "r": 28, "t": 26, "b": 30},
    }
    narrow = stacked(*captions)
    return figure(traces, layout, narrow)


def _pair(path: Mapping[str, Any], name: str, split: str) -> list[dict[str, Any]]:
    """The loss and the accuracy of one path on one split."""
    role, width, mark = _LOOKS[path["what"], path["under"]]
    part = path["splits"][split]
    points, lead = part["points"], split == "train"
    common = {
        "type": "scatter",
        "mode": "lines+markers",
        "cliponaxis": False,
        "x": [point["t"] for point in points],
        "line": {"color": colour(role), "width": width if lead else 0.7 * width, "dash": _DASHES[split]},
        "marker": {"size": 5 if lead else 4, "color": colour(role), "symbol": mark},
        "legendrank": (10 if path["what"] == "line" else 1) + list(_DASHES).index(split),
        "customdata": [[*point["interval"], part["n"]] for point in points],
    }
    return [
        {
            **common,
            "name": name,
            "y": [point["loss"] for point in points],
            "hovertemplate": f"{name}: %{{y:.4f}} nats at t %{{x:.3f}}<br>n %{{customdata[2]}}<extra></extra>",
        },
        {
            **common,
            **_SECOND,
            "name": f"{name}, accuracy",
            "showlegend": False,
            "y": [point["accuracy"] for point in points],
            "hovertemplate": f"{name}: %{{y:.1%}} at t %{{x:.3f}}<br>95 % interval %{{customdata[0]:.1%}} – "
            "%{customdata[1]:.1%}<br>n %{customdata[2]}<extra></extra>",
        },
    ]


def _tasks(path: Mapping[str, Any], about: About) -> list[dict[str, Any]]:
    """Each task along the curve, thin, on the split that is drawn solid."""
    split = next(split for split in _DASHES if split in path["splits"])
    found: list[dict[str, Any]] = []
    for place, task in enumerate(about["tasks"]):
        name, points = inert(task["title"]), path["splits"][split]["points"]
        common = {
            "type": "scatter",
            "mode": "lines",
            "x": [point["t"] for point in points],
            "line": {"color": expert(task["colour"]), "width": 1.2},
            "opacity": 0.75,
            "legendrank": 20 + place,
        }
        for what, axes in (("loss", {}), ("accuracy", _SECOND)):
            shape = ".4f" if what == "loss" else ".1%"
            found.append(
                {
                    **common,
                    **axes,
                    "name": name if what == "loss" else f"{name}, accuracy",
                    "showlegend": what == "loss",
                    "y": [point["tasks"][place][what] for point in points],
                    "hovertemplate": f"{name}, {split}: {what} %{{y:{shape}}} at t %{{x:.3f}}<extra></extra>",
                }
            )
    return found


def _band(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The 95 % interval of the accuracy along the curve on validation, behind it."""
    line = {"width": 0, "color": colour("merge-soft")}
    quiet = {"type": "scatter", "mode": "lines", "x": [point["t"] for point in points], "line": line, **_SECOND}
    low, high = ([point["interval"][side] for point in points] for side in (0, 1))
    more = {"name": "95 % interval, validation", "legendrank": 30, "fill": "tonexty", "fillcolor": colour("merge-soft")}
    return [
        {**quiet, "name": "interval, low", "y": low, "showlegend": False, "hoverinfo": "skip"},
        {**quiet, **more, "y": high, "hoverinfo": "skip"},
    ]


def _growth(numbers: Mapping[str, Any]) -> Figure:
    """The largest loss on the curve at each look, coarsely and on previews, and the mean of the batches between."""
    rows = numbers["growth"]
    steps = [row["step"] for row in rows]
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "batches, mean",
            "x": steps,
            "y": [_positive(row["batch"]) for row in rows],
            "line": {"color": colour("faint"), "width": 1.4, "dash": "dot"},
            "legendrank": 30,
            "hovertemplate": "batches: %{y:.4f} nats up to step %{x}<extra></extra>",
        }
    ]
    under = list(rows[0]["largest"])
    for which in under:
        for split in [split for split in _DASHES if split in rows[0]["largest"][which]]:
            words = "" if which == "clean" else f", {_NORMS[which]}"
            role, mark = _GROWN[which]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "cliponaxis": False,
                    "name": f"between the ends{words}, {split}",
                    "x": steps,
                    "y": [_positive(row["largest"][which][split]) for row in rows],
                    "line": {"color": colour(role), "width": 2.0, "dash": _DASHES[split]},
                    "marker": {"size": 4, "color": colour(role), "symbol": mark},
                    "legendrank": 1 + list(_DASHES).index(split),
                    "hovertemplate": "%{y:.4f} nats after %{x} steps<extra></extra>",
                }
            )
    layout = {
        "xaxis": axis("step", range=[0, numbers["steps"]], fixedrange=True),
        "yaxis": axis("", type="log", dtick=1, exponentformat="power", fixedrange=True),
        "annotations": [caption("loss (nats)", 0.0)],
        "margin": {"l": 52, "r": 22, "t": 26, "b": 38},
    }
    return figure(traces, layout)


def _positive(value: float | None) -> float | None:
    """What a logarithmic axis can show."""
    return value if value is not None and value > 0.0 else None


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="curve",
            title="Loss and accuracy along line and curve",
            sentence="The straight line between two models crosses the barrier; the trained curve goes around it.",
            height=340,
            narrow=500,
            table="points",
        ),
        FigureInfo(
            name="growth",
            title="How the curve grew",
            sentence="The largest loss at a few points between the ends, on previews, as training went on.",
            height=260,
            table="growth",
        ),
        FigureInfo(
            name="attacked",
            title="The same under attack",
            sentence="Loss and accuracy where each picture is changed against the very weights that are asked.",
            height=340,
            narrow=500,
            table="points",
        ),
    ),
    draw=_draw,
)
