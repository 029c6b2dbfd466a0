"""What changes of pictures do to models' answers, how alike that is for two models, and the barrier beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.geometry.who import model_colour, model_name
from app.charts.panels import LEFT, RIGHT, stacked
from app.charts.roles import Figure, axis, caption, colour, figure

__all__ = ["DRAWING"]

_GROUPS = {"shape": "shape kept, texture changed", "texture": "texture kept, shape destroyed"}
_APART = 0.52
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")
"""So many pairs can be told apart; the table has all."""


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw the first split: effects, agreement, and barriers where there are some."""
    if not numbers["effects"]:
        return {}
    split = numbers["effects"][0]["split"]
    found = {"effects": _effects(numbers, about, split), "alike": _alike(numbers, about, split)}
    barriers = _barriers(numbers, about, split)
    return {**found, "barriers": barriers} if barriers else found


def _effects(numbers: Mapping[str, Any], about: About, split: str) -> Figure:
    """Accuracy added on the left, share of changed answers on the right: one mark a model and change."""
    rows = _Rows(numbers["interventions"])
    traces = []
    for place in range(len(about["models"])):
        own = {row["intervention"]: row["mean"] for row in numbers["effects"] if _is(row, split, place)}
        shift = _shift(place, len(about["models"]))
        name, tint = model_name(place, about), model_colour(place, about)
        marker = {"size": 8, "color": tint}
        traces.append(rows.marks(name, {key: one["accuracy"] for key, one in own.items()}, shift, marker, "+.1%"))
        second = {"xaxis": "x2", "yaxis": "y2", "showlegend": False}
        flips = {key: one["flips"] for key, one in own.items()}
        traces.append({**rows.marks(f"{name}, answers", flips, shift, marker, ".1%"), **second})
    n = numbers["effects"][0]["mean"]["n"]
    words = f"accuracy added, mean over tasks, {split}, n {n:,}"
    layout = {
        "xaxis": axis("", domain=LEFT, tickformat=".0%", fixedrange=True),
        "xaxis2": axis("", domain=RIGHT, anchor="y2", tickformat=".0%", range=[0, 1.02], fixedrange=True),
        "yaxis": rows.axis(),
        "yaxis2": rows.axis(anchor="x2", showticklabels=False),
        "shapes": [_zero()],
        "annotations": [caption(words, 0.0), caption("answers changed", RIGHT[0]), *rows.captions("x")],
        "margin": {"l": 118, "r": 12, "t": 26, "b": 28},
    }
    narrow = stacked(
        f"accuracy added, {split}, n {n:,}",
        "answers changed",
        *rows.captions("x"),
        *rows.captions("x2"),
        yaxis2__showticklabels=True,
    )
    return figure(traces, layout, narrow)


def _alike(numbers: Mapping[str, Any], about: About, split: str) -> Figure:
    """The rank correlation of effects for each change: one mark a pair of models."""
    rows, pairs = _Rows(numbers["interventions"]), numbers["pairs"][: len(_SYMBOLS)]
    traces = []
    for place, pair in enumerate(pairs):
        own = {row["intervention"]: row["correlation"] for row in pair["agreements"] if row["split"] == split}
        name, marker = _pair(place, pair, about)
        traces.append(rows.marks(name, own, _shift(place, len(pairs)), marker, ".2f"))
    lowest = min((end for trace in traces for end in trace["x"] if end is not None), default=0.0)
    layout = {
        "xaxis": axis("", range=[min(-0.05, lowest - 0.1), 1.03], fixedrange=True),
        "yaxis": rows.axis(),
        "shapes": [_zero()],
        "annotations": [caption(f"rank correlation of effects, {split}", 0.0), *rows.captions("x")],
        "margin": {"l": 118, "r": 12, "t": 26, "b": 28},
    }
    return figure(traces, layout)


def _barriers(numbers: Mapping[str, Any], about: About, split: str) -> Figure | None:
    """Each pair of models by its barrier and by how alike the effects are."""
    traces: list[dict[str, Any]] = []
    for place, pair in enumerate(numbers["pairs"]):
        barrier = next((row for row in pair["barriers"] if row["split"] == split), None)
        similar = next((row["both"] for row in pair["similarity"] if row["split"] == split), None)
        if barrier is None or barrier["height"] is None or similar is None:
            continue
        name, marker = _pair(place, pair, about)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [barrier["height"]],
                "y": [similar],
                "marker": {**marker, "size": 11},
                "cliponaxis": False,
                "hovertemplate": f"{name}: barrier %{{x:.3f}} nats, correlation %{{y:.2f}}<extra></extra>",
            }
        )
    if len(traces) < 2:
        return None
    top = max(0.1, 1.1 * _highest(numbers, split))
    layout = {
        "xaxis": axis(f"loss barrier (nats), {split}", range=[-0.04 * top, top], fixedrange=True),
        "yaxis": axis("", range=[min(0.45, *(trace["y"][0] for trace in traces)) - 0.05, 1.02], fixedrange=True),
        "annotations": [caption("rank correlation of effects, mean over changes", 0.0)],
        "margin": {"l": 46, "r": 16, "t": 26, "b": 44},
    }
    return figure(traces, layout)


class _Rows:
    """Changes one under the other: first those that keep the shape, then those that keep the texture."""

    def __init__(self, changes: Sequence[Mapping[str, str]]) -> None:
        self._titles = {change["name"]: change["title"] for change in changes}
        self._places: dict[str, float] = {}
        self._heads: dict[str, float] = {}
        at = 0.0
        for change in changes:
            if change["keeps"] not in self._heads:
                at += 0.5 if self._heads else 0.0
                self._heads[change["keeps"]] = at
                at += 0.85
            self._places[change["name"]] = at
            at += 1.0
        self._end = at - 0.4

    def axis(self, **more: Any) -> dict[str, Any]:
        ticks = {"tickvals": list(self._places.values()), "ticktext": list(self._titles.values())}
        return axis("", **ticks, range=[self._end, -0.45], fixedrange=True, **more)

    def captions(self, across: str) -> list[dict[str, Any]]:
        font = {"size": 11, "color": colour("faint")}
        place = {"xref": f"{across} domain", "yref": across.replace("x", "y"), "x": 0.01, "xanchor": "left"}
        return [
            {**place, "y": at, "text": _GROUPS[keeps], "showarrow": False, "font": font}
            for keeps, at in self._heads.items()
        ]

    def marks(
        self, name: str, values: Mapping[str, Mapping[str, Any]], shift: float, marker: dict[str, Any], form: str
    ) -> dict[str, Any]:
        kept = [(key, one) for key, one in values.items() if key in self._places]
        return {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [one["value"] for _, one in kept],
            "y": [self._places[key] + shift for key, _ in kept],
            "marker": marker,
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [_span(one, 1) for _, one in kept],
                "arrayminus": [_span(one, 0) for _, one in kept],
                "color": marker["color"],
                "thickness": 1.2,
                "width": 2,
            },
            "customdata": [[self._titles[key], *one["interval"]] for key, one in kept],
            "hovertemplate": f"{name}, %{{customdata[0]}}: %{{x:{form}}}<br>95 % interval %{{customdata[1]:{form}}} – "
            f"%{{customdata[2]:{form}}}<extra></extra>",
        }


def _is(row: Mapping[str, Any], split: str, place: int) -> bool:
    return (row["split"], row["model"]) == (split, place)


def _shift(place: int, count: int) -> float:
    return (place - (count - 1) / 2) * _APART / max(1, count - 1) if count > 1 else 0.0


def _pair(place: int, pair: Mapping[str, Any], about: About) -> tuple[str, dict[str, Any]]:
    """The name of a pair, and its mark: of its own form, in the colour of the first, edged in that of the second."""
    one, other = pair["first"], pair["second"]
    edge = {"color": model_colour(other, about), "width": 2.5}
    symbol = _SYMBOLS[place % len(_SYMBOLS)]
    marker = {"size": 9, "symbol": symbol, "color": model_colour(one, about), "line": edge}
    return f"{model_name(one, about)} · {model_name(other, about)}", marker


def _highest(numbers: Mapping[str, Any], split: str) -> float:
    rows = [row["height"] for pair in numbers["pairs"] for row in pair["barriers"] if row["split"] == split]
    return max((height for height in rows if height is not None), default=0.0)


def _span(one: Mapping[str, Any], side: int) -> float:
    value, end = one["value"], one["interval"][side]
    return 0.0 if value is None or end is None else abs(end - value)


def _zero() -> dict[str, Any]:
    line = {"color": colour("line"), "width": 1.2}
    return {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "xref": "x", "yref": "y domain", "line": line}


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="effects",
            title="What changed pictures do to each model",
            sentence="How accuracy changes, and how many answers do, where pictures lose their texture or their "
            "shape: a model that decides by shape stands the first and not the second.",
            height=400,
            narrow=640,
            table="effects",
        ),
        FigureInfo(
            name="alike",
            title="Whether the same pictures are hit",
            sentence="For two models, the rank correlation of what a change adds to the loss of each picture: 1 where "
            "they are hurt on the same ones.",
            height=380,
            table="alike",
            wide=False,
        ),
        FigureInfo(
            name="barriers",
            title="Mechanisms and barriers",
            sentence="Each pair of models by the loss barrier on the line between them and by how alike the effects of "
            "all changes are.",
            height=380,
            table="barriers",
            wide=False,
        ),
    ),
    draw=_draw,
)
