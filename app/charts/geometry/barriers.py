"""Barriers as points with their intervals: every variant, each task, or each step; and how few examples make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from app.charts.geometry.contract import About
from app.charts.roles import Figure, axis, caption, colour, expert, figure, inert

__all__ = ["barriers_figure", "makers_figure"]

_VARIANTS = (
    ("barrier", "barrier"),
    ("held_out", "held out"),
    ("above_mean", "above mean of ends"),
    ("above_worse", "above worse end"),
    ("midpoint_gap", "midpoint gap"),
)
_LEFT, _RIGHT = [0.0, 0.47], [0.53, 1.0]
_APART = {"train": -0.16, "validation": 0.16}
_MARKS = {"train": "circle", "validation": "diamond-open"}
_DASHES = ("solid", "dash")

Row = tuple[str, str, Callable[[str, str], Mapping[str, Any] | None]]
"""Name, colour, and the estimate of a split and a metric."""


def barriers_figure(barriers: Sequence[Mapping[str, Any]], about: About) -> Figure:
    """Draw the barriers of loss on the left and of error on the right, one row each, splits by their marks."""
    rows = _rows(barriers, about)
    splits = [split for split in _MARKS if any(row["split"] == split for row in barriers)]
    errors = any(row["metric"] == "error" for row in barriers)
    traces = []
    for split in splits:
        apart = _APART[split] if len(splits) > 1 else 0.0
        traces.append(_points(rows, split, apart, "loss", {}))
        if errors:
            second = {"xaxis": "x2", "yaxis": "y2", "showlegend": False}
            traces.append(_points(rows, split, apart, "error", second))
    names = {"tickvals": list(range(len(rows))), "ticktext": [name for name, _, _ in rows]}
    span = {"range": [len(rows) - 0.5, -0.5], "fixedrange": True, "showgrid": False}
    zero = {
        "nticks": 5,
        "tickangle": 0,
        "zeroline": True,
        "zerolinecolor": colour("faint"),
        "zerolinewidth": 1.2,
        "fixedrange": True,
    }
    layout = {
        "xaxis": axis("", domain=_LEFT if errors else [0.0, 1.0], rangemode="tozero", **zero),
        "yaxis": axis("", **names, **span),
        "annotations": [caption("loss (nats)", 0.0), *([caption("error", _RIGHT[0])] if errors else [])],
        "margin": {"l": 132, "r": 14, "t": 26, "b": 28},
        "showlegend": False,
    }
    if errors:
        layout["xaxis2"] = axis("", domain=_RIGHT, anchor="y2", tickformat=".0%", rangemode="tozero", **zero)
        layout["yaxis2"] = axis("", anchor="x2", **{**names, **span, "showticklabels": False})
    return figure(traces, layout)


def makers_figure(examples: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the part of the barrier that the leading examples make, against how many of all they are."""
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "all alike",
            "legendrank": 30,
            "x": [0, 1],
            "y": [0, 1],
            "line": {"color": colour("faint"), "width": 1.4, "dash": "dot"},
            "hoverinfo": "skip",
        }
    ]
    notes = [caption("part of the barrier", 0.0)]
    for place, found in enumerate(sorted(examples, key=lambda found: list(_MARKS).index(found["split"]))):
        split = found["split"]
        tint = colour("merge") if place == 0 else colour("muted")
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": split,
                "legendrank": place,
                "x": [x for x, _ in found["curve"]],
                "y": [y for _, y in found["curve"]],
                "line": {"color": tint, "width": 2.2, "dash": _DASHES[place]},
                "hovertemplate": f"{split}: the leading %{{x:.0%}} make %{{y:.0%}}<extra></extra>",
            }
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"half, {split}",
                "showlegend": False,
                "x": [found["half"]],
                "y": [_at(found["curve"], found["half"])],
                "marker": {"size": 8, "symbol": _MARKS[split], "color": tint},
                "hovertemplate": f"{split}: %{{x:.0%}} of n {found['n']:,} make half<extra></extra>",
            }
        )
        words = f"{split}: {100 * found['half']:.0f} % of the examples make half"
        notes.append(
            {
                "text": words,
                "x": 1.0,
                "y": 0.03 + 0.1 * place,
                "xref": "paper",
                "yref": "paper",
                "xanchor": "right",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 12, "color": tint},
            }
        )
    layout = {
        "xaxis": axis("examples, the largest part first", range=[0, 1], tickformat=".0%", dtick=0.25, fixedrange=True),
        "yaxis": axis("", rangemode="tozero", tickformat=".0%", fixedrange=True),
        "annotations": notes,
        "margin": {"l": 50, "r": 16, "t": 26, "b": 44},
    }
    return figure(traces, layout)


def _rows(barriers: Sequence[Mapping[str, Any]], about: About) -> list[Row]:
    """The variants and then the tasks between two models; each step and the whole between more."""
    models = about["models"]
    means = {(row["split"], row["metric"], row["from"], row["to"]): row for row in barriers if row["task"] is None}

    def mean(low: int, high: int, name: str) -> Callable[[str, str], Mapping[str, Any] | None]:
        return lambda split, metric: (means.get((split, metric, low, high)) or {}).get(name)

    if len(models) > 2:
        titles = [inert(model["title"], 9) for model in models]
        steps = [(place, place + 1) for place in range(len(models) - 1)] + [(0, len(models) - 1)]
        names = [f"{titles[low]} → {titles[high]}" for low, high in steps[:-1]] + ["first to last"]
        return [(name, colour("merge"), mean(*step, "barrier")) for name, step in zip(names, steps, strict=True)]
    rows: list[Row] = [(title, colour("merge"), mean(0, 1, name)) for name, title in _VARIANTS]
    for task in about["tasks"] if len(about["tasks"]) > 1 else ():
        own = {(row["split"], row["metric"]): row["barrier"] for row in barriers if row["task"] == task["task"]}
        rows.append((inert(task["title"], 18), expert(task["colour"]), partial(_of, own)))
    return rows


def _of(own: Mapping[tuple[str, str], Mapping[str, Any]], split: str, metric: str) -> Mapping[str, Any] | None:
    return own.get((split, metric))


def _points(rows: Sequence[Row], split: str, apart: float, metric: str, second: dict[str, Any]) -> dict[str, Any]:
    found = [(place, name, tint, given(split, metric)) for place, (name, tint, given) in enumerate(rows)]
    kept = [(place, name, tint, one) for place, name, tint, one in found if one and one["value"] is not None]
    values = [one["value"] for *_, one in kept]
    bounds = [one["interval"] or [one["value"]] * 2 for *_, one in kept]
    shape, unit = (".1%", "") if metric == "error" else (".3f", " nats")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": split if metric == "loss" else f"{split}, error",
        "x": values,
        "y": [place + apart for place, *_ in kept],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - value for (_, high), value in zip(bounds, values, strict=True)],
            "arrayminus": [value - low for (low, _), value in zip(bounds, values, strict=True)],
            "thickness": 1.4,
            "width": 0,
            "color": colour("muted"),
        },
        "cliponaxis": False,
        "marker": {"size": 8, "symbol": _MARKS[split], "color": [tint for _, _, tint, _ in kept]},
        "customdata": [[name, low, high] for (_, name, *_), (low, high) in zip(kept, bounds, strict=True)],
        "hovertemplate": f"%{{customdata[0]}}, {split}: %{{x:{shape}}}{unit}"
        f"<br>95 % %{{customdata[1]:{shape}}} to %{{customdata[2]:{shape}}}<extra></extra>",
        **second,
    }


def _at(curve: Sequence[Sequence[float]], share: float) -> float:
    """Return the height of a curve over a share, between its points."""
    for (low, first), (high, last) in zip(curve, curve[1:], strict=False):
        if low <= share <= high:
            return first + (last - first) * (share - low) / (high - low)
    return curve[-1][1]
