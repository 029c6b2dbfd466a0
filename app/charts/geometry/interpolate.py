"""Loss and accuracy on the line through models: each task in its colour, their mean, the chord and the barrier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.barriers import barriers_figure, makers_figure
from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.panels import LEFT, RIGHT, stacked
from app.charts.roles import Figure, axis, caption, colour, expert, figure, fraction_axis, inert

__all__ = ["DRAWING"]

_SPLITS = ("train", "validation")
_DASHES = ("solid", "dash")
_SECOND = {"xaxis": "x2", "yaxis": "y2"}


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw the line, and once a point between its ends is known its barriers and who makes them."""
    points, barriers = numbers["points"], numbers["barriers"]
    if len(points) < 2:
        return {}
    found = {"path": _path(numbers, about)}
    if any(row["points"] > 2 for row in barriers):
        found["barriers"] = barriers_figure(barriers, about)
    if numbers["examples"]:
        found["makers"] = makers_figure(numbers["examples"])
    return found


def _path(numbers: Mapping[str, Any], about: About) -> Figure:
    """Draw loss on the left and accuracy on the right; train is solid, or what there is, and validation dashed."""
    points = numbers["points"]
    tasks = about["tasks"]
    splits = [split for split in _SPLITS if any(score["split"] == split for score in points[0]["scores"])]
    several = len(tasks) > 1
    lead = splits[0]
    traces = [*_bands(numbers["means"], lead), *_barrier(_means(points, lead, "loss"), lead)]
    dashes = dict(zip(splits, _DASHES, strict=False))
    for split in reversed(splits):
        for task in tasks if several else ():
            style = {"color": expert(task["colour"]), "width": 1.2, "dash": dashes[split]}
            own = _pair(points, split, task["title"], style, task["task"])
            traces += own if split == lead else [{**trace, "opacity": 0.35, "showlegend": False} for trace in own]
    for split in reversed(splits):
        style = {"color": colour("merge"), "width": 2.4, "dash": dashes[split]}
        traces += _pair(points, split, "mean" if several else tasks[0]["title"], style, None)
    names = [inert(model["title"], 18) for model in about["models"]]
    ends = {"tickvals": list(range(len(names))), "ticktext": names, "fixedrange": True}
    low, high = numbers["range"]
    span = {**ends, "range": [low - 0.05 * (high - low), high + 0.05 * (high - low)]}
    loss = "loss (nats)" + (", mean over tasks bold" if several else "")
    heights = _heights(numbers, lead)
    layout = {
        "xaxis": axis("", domain=LEFT, **span),
        "xaxis2": axis("", domain=RIGHT, anchor="y2", matches="x", **span),
        "yaxis": axis("", rangemode="tozero", fixedrange=True),
        "yaxis2": fraction_axis("", anchor="x2", fixedrange=True),
        "annotations": [caption(loss, LEFT[0]), caption("accuracy", RIGHT[0]), *heights],
        "margin": {"l": 46, "r": 22, "t": 26, "b": 30},
    }
    narrow = stacked(loss, "accuracy", *heights)
    return figure(traces, layout, narrow)


def _pair(
    points: Sequence[Mapping[str, Any]], split: str, title: str, line: dict[str, Any], task: str | None
) -> list[dict[str, Any]]:
    """The loss and the accuracy of one task, or of the mean over tasks, on one split."""
    name = inert(title)
    common = {
        "type": "scatter",
        "mode": "lines+markers" if task is None else "lines",
        "x": [point["t"] for point in points],
        "line": line,
        "marker": {"size": 4, "color": line["color"]},
        "opacity": 1.0 if task is None else 0.75,
        "legendrank": (1 if task is None else 10) + _SPLITS.index(split),
    }
    shown = {"name": f"{name}, {split}" if task is None else name}
    return [
        {
            **common,
            **shown,
            "y": _row(points, split, task, "loss"),
            "hovertemplate": f"{name}, {split}: loss %{{y:.3f}} at t %{{x:.3f}}<extra></extra>",
        },
        {
            **common,
            **_SECOND,
            "name": f"{name}, {split}, accuracy",
            "showlegend": False,
            "y": _row(points, split, task, "accuracy"),
            "hovertemplate": f"{name}, {split}: %{{y:.1%}} at t %{{x:.3f}}<extra></extra>",
        },
    ]


def _row(points: Sequence[Mapping[str, Any]], split: str, task: str | None, what: str) -> list[float | None]:
    if task is None:
        return _means(points, split, what)["y"]
    return [
        next((score[what] for score in point["scores"] if (score["task"], score["split"]) == (task, split)), None)
        for point in points
    ]


def _means(points: Sequence[Mapping[str, Any]], split: str, what: str) -> dict[str, list[Any]]:
    """The mean over tasks at each point; nothing where one of them is not known."""
    rows = [[score[what] for score in point["scores"] if score["split"] == split] for point in points]
    means = [None if not row or None in row else sum(row) / len(row) for row in rows]
    return {"x": [point["t"] for point in points], "y": means}


def _bands(means: Sequence[Mapping[str, Any]], split: str) -> list[dict[str, Any]]:
    """The 95 % intervals of the mean loss and accuracy of one split, as bands behind their curves."""
    bands: list[dict[str, Any]] = []
    for what, place in (("loss", {}), ("accuracy", _SECOND)):
        rows = [row for row in means if row["split"] == split and row[f"{what}_interval"] is not None]
        common = {
            "type": "scatter",
            "mode": "lines",
            "x": [row["t"] for row in rows],
            "line": {"width": 0, "color": colour("merge-soft")},
            "hoverinfo": "skip",
            **place,
        }
        low, high = ([row[f"{what}_interval"][side] for row in rows] for side in (0, 1))
        bands += [
            {**common, "name": f"{what}, low", "y": low, "showlegend": False},
            {
                **common,
                "name": f"95 % interval, {split}{'' if what == 'loss' else ', accuracy'}",
                "showlegend": what == "loss",
                "legendrank": 32,
                "y": high,
                "fill": "tonexty",
                "fillcolor": colour("merge-soft"),
            },
        ]
    return bands


def _heights(numbers: Mapping[str, Any], split: str) -> list[dict[str, Any]]:
    """The height of each barrier that is more than noise, over its top."""
    tops: dict[float, float] = {}
    for row in numbers["means"]:
        tops[row["t"]] = max(row["loss"] or 0.0, tops.get(row["t"], 0.0))
    notes = []
    for row in numbers["barriers"]:
        step = (row["split"], row["task"], row["metric"], row["to"] - row["from"]) == (split, None, "loss", 1)
        judged = (row["held_out"] or {}).get("interval")
        if step and row["points"] > 2 and judged and judged[0] > 0.0:
            text = f"B = {row['barrier']['value']:.2f}"
            font = {"size": 12, "color": colour("ink")}
            notes.append(
                {
                    "x": row["at"],
                    "y": tops[row["at"]],
                    "text": text,
                    "showarrow": False,
                    "yanchor": "bottom",
                    "yshift": 6,
                    "font": font,
                }
            )
    return notes


def _barrier(curve: Mapping[str, list[Any]], split: str) -> list[dict[str, Any]]:
    """The chord from model to model, and the area between it and the curve where the loss lies above."""
    known = [(x, y) for x, y in zip(curve["x"], curve["y"], strict=True) if y is not None]
    models = {x: y for x, y in known if float(x).is_integer()}
    inside = [(x, y) for x, y in known if {int(x // 1), int(-(-x // 1))} <= models.keys()]
    if len(models) < 2:
        return []
    chord = [_between(models, x) for x, _ in inside]
    quiet = {"type": "scatter", "mode": "lines", "x": [x for x, _ in inside], "hoverinfo": "skip"}
    return [
        {
            **quiet,
            "name": "chord",
            "y": chord,
            "legendrank": 30,
            "line": {"color": colour("faint"), "width": 1.4, "dash": "dot"},
        },
        {
            **quiet,
            "name": f"barrier, {split}",
            "y": [max(y, low) for (_, y), low in zip(inside, chord, strict=True)],
            "legendrank": 31,
            "line": {"width": 0, "color": colour("barrier")},
            "fill": "tonexty",
            "fillcolor": colour("barrier"),
        },
    ]


def _between(models: Mapping[float, float], x: float) -> float:
    low = x // 1
    return models[low] if low == x else models[low] + (x - low) * (models[low + 1] - models[low])


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="path",
            title="Loss and accuracy along the line",
            sentence="Loss and accuracy on the straight line from model to model: where the loss rises above the "
            "dotted chord between its ends, a barrier lies between the two.",
            height=340,
            narrow=500,
            table="path",
        ),
        FigureInfo(
            name="barriers",
            title="Every barrier with its 95 % interval",
            sentence="How high loss and error rise above the chord between the ends, above their mean and above the "
            "worse one, and what lies in the middle; held out, the place is chosen on other examples.",
            height=300,
            table="barriers",
            wide=False,
        ),
        FigureInfo(
            name="makers",
            title="How few examples make the barrier",
            sentence="The part of the loss barrier that the leading examples make, against how many of all they are.",
            height=300,
            table="examples",
            wide=False,
        ),
    ),
    draw=_draw,
)
