"""The way between two models as it is, after matching and after REPAIR; what was matched, and how much layers vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.panels import LEFT, RIGHT, stacked
from app.charts.roles import Figure, axis, caption, colour, figure, fraction_axis, inert

__all__ = ["DRAWING"]

_WAYS: dict[str, dict[str, Any]] = {
    "naive": {"tint": "base", "symbol": "circle-open", "title": "as they are"},
    "matched": {"tint": "expert-1", "symbol": "diamond", "title": "matched"},
    "repaired": {"tint": "merge", "symbol": "circle", "title": "matched and repaired"},
}
_DASHES = ("solid", "dash")
_MOST = 4
"""Classes whose permutations are drawn side by side, those with the most units moved."""
_NAMED = 8
"""Classes that have room for their names under bars."""


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    found = {"ways": _ways(numbers, about)} if numbers["n"] else {}
    classes = [row for row in numbers["classes"] if row["after"] is not None]
    if classes:
        found["alike"] = _alike(classes)
    drawn = [row for row in numbers["classes"] if row["permutation"] is not None]
    if drawn:
        most = sorted(drawn, key=lambda row: -row["moved"])[:_MOST]
        found["order"] = _order([row for row in drawn if row in most])
    if numbers["layers"]:
        found["spread"] = _spread(numbers["layers"])
    return found


def _ways(numbers: Mapping[str, Any], about: About) -> Figure:
    """Loss on the left and accuracy on the right, the first split solid and the other dashed."""
    traces: list[dict[str, Any]] = []
    for path in numbers["paths"]:
        look = _WAYS[path["what"]]
        for place, (split, part) in enumerate(path["splits"].items()):
            traces += _pair(look, split, part["points"], _DASHES[place % 2])
    names = [inert(model["title"], 18) for model in about["models"]]
    ends = {"tickvals": [0, 1], "ticktext": names, "range": [-0.04, 1.04], "fixedrange": True}
    layout = {
        "xaxis": axis("", domain=LEFT, **ends),
        "xaxis2": axis("", domain=RIGHT, anchor="y2", matches="x", **ends),
        "yaxis": axis("", rangemode="tozero", fixedrange=True),
        "yaxis2": fraction_axis("", anchor="x2", fixedrange=True),
        "annotations": [caption("loss (nats)", LEFT[0]), caption("accuracy", RIGHT[0])],
        "margin": {"l": 46, "r": 22, "t": 26, "b": 30},
    }
    narrow = stacked("loss (nats)", "accuracy")
    return figure(traces, layout, narrow)


def _pair(look: Mapping[str, Any], split: str, points: Sequence[Mapping[str, Any]], dash: str) -> list[dict[str, Any]]:
    name, tint = f"{look['title']}, {split}", colour(look["tint"])
    common = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [point["t"] for point in points],
        "line": {"color": tint, "width": 2.2 if dash == "solid" else 1.4, "dash": dash},
        "marker": {"size": 5, "color": tint, "symbol": look["symbol"]},
        "name": name,
    }
    return [
        {
            **common,
            "y": [point["loss"] for point in points],
            "hovertemplate": f"{name}: loss %{{y:.3f}} at t %{{x:.3f}}<extra></extra>",
        },
        {
            **common,
            "xaxis": "x2",
            "yaxis": "y2",
            "showlegend": False,
            "y": [point["accuracy"] for point in points],
            "hovertemplate": f"{name}: %{{y:.1%}} at t %{{x:.3f}}<extra></extra>",
        },
    ]


def _alike(classes: Sequence[Mapping[str, Any]]) -> Figure:
    """The mean correlation of partners in each class, before and after."""
    names = [inert(row["name"], 40) for row in classes]
    many = len(classes) > _NAMED
    traces = []
    for what, name, tint in (("before", "as they are", "base"), ("after", "matched", "merge")):
        hover = f"%{{text}}, {name}: %{{y:.3f}}<extra></extra>"
        common = {"name": name, "y": [row[what] for row in classes], "text": names, "hovertemplate": hover}
        if many:
            own = {"type": "scatter", "mode": "lines+markers", "x": list(range(1, len(classes) + 1))}
            look = {"line": {"color": colour(tint), "width": 1.6}, "marker": {"size": 5, "color": colour(tint)}}
        else:
            own = {"type": "bar", "x": names, "textposition": "none"}
            look = {"marker": {"color": colour(tint)}}
        traces.append({**own, **common, **look})
    low = min(0.0, *(row[what] for row in classes for what in ("before", "after")))
    layout = {
        "barmode": "group",
        "xaxis": axis("class, in the order of the model" if many else "", fixedrange=True, showgrid=False),
        "yaxis": axis("", fixedrange=True, range=[1.1 * low, 1.02]),
        "annotations": [caption("mean correlation of partners", 0.0)],
        "margin": {"l": 46, "r": 12, "t": 26, "b": 44},
    }
    return figure(traces, layout)


def _order(classes: Sequence[Mapping[str, Any]]) -> Figure:
    """The permutations as pictures: a point for each unit, at its own place and at that of its partner."""
    traces: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    short: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"showlegend": False, "margin": {"l": 40, "r": 12, "t": 26, "b": 34}}
    width = 1.0 / len(classes)
    for place, row in enumerate(classes):
        number = "" if place == 0 else str(place + 1)
        start = place * width
        span = {"range": [-0.5, row["size"] - 0.5], "fixedrange": True, "nticks": 4, "showgrid": False}
        layout[f"xaxis{number}"] = axis("", domain=[start, start + 0.86 * width], anchor=f"y{number}", **span)
        layout[f"yaxis{number}"] = axis("", anchor=f"x{number}", **span)
        captions.append(caption(inert(row["name"], 20), start))
        short.append(caption(inert(row["name"].replace("attention", "att."), 11), start))
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": list(range(row["size"])),
                "y": row["permutation"],
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
                "marker": {"size": 4 if row["size"] < 100 else 2.5, "color": colour("merge")},
                "hovertemplate": "unit %{x} of the first is unit %{y} of the second<extra></extra>",
            }
        )
    return figure(traces, {**layout, "annotations": captions}, {"annotations": short})


def _spread(layers: Sequence[Mapping[str, Any]]) -> Figure:
    """The variance of each layer in the middle, as a share of its parents'."""
    places = list(range(1, len(layers) + 1))
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": places,
            "y": [row[what] for row in layers],
            "text": [inert(row["leaf"], 60) for row in layers],
            "line": {"color": colour(tint), "width": 2},
            "marker": {"size": 5, "color": colour(tint), "symbol": symbol},
            "hovertemplate": f"%{{text}}, {name}: %{{y:.2f}}<extra></extra>",
        }
        for what, name, tint, symbol in (
            ("before", "matched", "expert-1", "diamond"),
            ("after", "matched and repaired", "merge", "circle"),
        )
    ]
    layout = {
        "xaxis": axis("layer", fixedrange=True, dtick=1 if len(layers) < 16 else 4),
        "yaxis": axis("", rangemode="tozero", fixedrange=True),
        "annotations": [caption("variance ÷ the parents' variance, t 0.5", 0.0)],
        "margin": {"l": 46, "r": 12, "t": 26, "b": 44},
    }
    return figure(traces, layout)


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="ways",
            title="The way between them",
            sentence="Loss and accuracy on the straight line between the two models: as they are, with the second "
            "one's units in the order of the first one's, and with the lost variance repaired.",
            height=340,
            narrow=500,
            table="paths",
        ),
        FigureInfo(
            name="alike",
            title="How alike partners are",
            sentence="The mean correlation of the activations of partners in each class of units, before and after "
            "matching; 1 is the same unit.",
            height=260,
            table="classes",
            wide=False,
        ),
        FigureInfo(
            name="spread",
            title="What the middle loses in variance",
            sentence="The variance of each layer's outputs in the middle, as a share of the parents': averaging units "
            "that are not the same makes them flat. REPAIR, or running statistics measured again, undoes it.",
            height=260,
            table="layers",
            wide=False,
        ),
        FigureInfo(
            name="order",
            title="The permutations",
            sentence="Which unit of the second model takes the place of each unit of the first; the diagonal is no "
            "change.",
            height=240,
            table="classes",
        ),
    ),
    draw=_draw,
)
