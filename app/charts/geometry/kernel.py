"""Kernel behaviour: models against their linearisations, and how far each one's kernel moved from the base's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.roles import Figure, axis, colour, expert, figure, inert

__all__ = ["DRAWING"]

Rows = Sequence[Mapping[str, Any]]


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw a point for each model and coefficient, larger for a larger coefficient, and a bar for each kernel."""
    found = {}
    both = [row for row in numbers["points"] if row["linearised"] is not None]
    if both:
        found["behaviour"] = _behaviour(both, about)
    known = [row for row in numbers["kernels"] if row["distance"] is not None]
    if known:
        found["kernels"] = _kernels(known, about)
    return found


def _behaviour(points: Rows, about: About) -> Figure:
    """Non-linear accuracy across, linearised accuracy up; on the diagonal both are alike."""
    values = [end for row in points for key in ("interval", "linearised_interval") for end in row[key]]
    low, high = max(0.0, min(values) - 0.02), min(1.0, max(values) + 0.02)
    most = max(row["alpha"] for row in points)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "alike",
            "x": [low, high],
            "y": [low, high],
            "line": {"color": colour("faint"), "width": 1.4, "dash": "dot"},
            "hoverinfo": "skip",
            "legendrank": 1001,
        }
    ]
    for place, model in enumerate(about["models"]):
        rows = [row for row in points if row["place"] == place]
        if not rows:
            continue
        tint = expert(model["colour"])
        name = inert(model["title"], 24)
        largest = max(row["alpha"] for row in rows)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [row["accuracy"] for row in rows],
                "y": [row["linearised"] for row in rows],
                "line": {"color": tint, "width": 1.2},
                "marker": {"color": tint, "size": [5 + 6 * row["alpha"] / most for row in rows]},
                "error_x": _bars(rows, "accuracy", "interval", tint, largest),
                "error_y": _bars(rows, "linearised", "linearised_interval", tint, largest),
                "customdata": [
                    [row["alpha"], inert(row["title"], 24), row["difference"]["value"], *row["difference"]["interval"]]
                    for row in rows
                ],
                "hovertemplate": f"{name} at α %{{customdata[0]:.3g}}, on %{{customdata[1]}}"
                "<br>%{x:.1%}, linearised %{y:.1%}<br>difference %{customdata[2]:+.1%}, "
                "95 % interval %{customdata[3]:+.1%} – %{customdata[4]:+.1%}<extra></extra>",
            }
        )
    ends = {"range": [low, high], "tickformat": ".0%", "fixedrange": True}
    layout = {
        "xaxis": axis("accuracy of the model", **ends, constrain="domain"),
        "yaxis": axis("accuracy of its linearisation", **ends, scaleanchor="x", constrain="domain"),
        "margin": {"l": 56, "r": 14, "t": 12, "b": 44},
    }
    return figure(traces, layout)


def _bars(rows: Rows, value: str, interval: str, tint: str, largest: float) -> dict[str, Any]:
    """The 95 % interval of the point with the largest coefficient; the others would cover each other."""
    shown = [row["alpha"] == largest for row in rows]
    above = [row[interval][1] - row[value] if own else 0.0 for row, own in zip(rows, shown, strict=True)]
    below = [row[value] - row[interval][0] if own else 0.0 for row, own in zip(rows, shown, strict=True)]
    kind = {"type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": tint}
    return {**kind, "array": above, "arrayminus": below}


def _kernels(rows: Rows, about: About) -> Figure:
    """One bar a model, with the interval by the jackknife."""
    tints = [expert(about["models"][row["place"]]["colour"]) for row in rows]
    titles = [inert(model["title"], 14) for model in about["models"]]
    names = [titles[row["place"]] for row in rows]
    ends = [row["interval"] for row in rows]
    places = [row["place"] for row in rows]
    count = len(about["models"])
    bars = {
        "type": "bar",
        "name": "distance",
        "x": places,
        "y": [row["distance"] for row in rows],
        "width": 0.5,
        "marker": {"color": tints},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - row["distance"] for row, (_, high) in zip(rows, ends, strict=True)],
            "arrayminus": [row["distance"] - low for row, (low, _) in zip(rows, ends, strict=True)],
            "color": colour("ink"),
            "thickness": 1.4,
            "width": 4,
        },
        "customdata": [
            [name, *end, row["growth"], row["examples"], row["logits"]]
            for name, end, row in zip(names, ends, rows, strict=True)
        ],
        "hovertemplate": "%{customdata[0]}: %{y:.3f}<br>95 % interval %{customdata[1]:.3f} – %{customdata[2]:.3f}"
        "<br>trace ÷ that at the base %{customdata[3]:.2f}"
        "<br>%{customdata[4]} examples, %{customdata[5]} logits each<extra></extra>",
    }
    layout = {
        "xaxis": axis(
            "", tickvals=list(range(count)), ticktext=titles, showgrid=False, range=[-0.6, count - 0.4], fixedrange=True
        ),
        "yaxis": axis("distance of the kernel from the base's", rangemode="tozero", fixedrange=True),
        "margin": {"l": 56, "r": 14, "t": 12, "b": 34},
    }
    return figure([bars], layout, {"xaxis.tickangle": -38, "margin.b": 72})


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="behaviour",
            title="Models against their linearisations",
            sentence="Each model on its own task at several α, larger dots for larger α: on the dotted line it does as "
            "well as its linearisation at the base, below it better.",
            height=380,
            table="behaviour",
            wide=False,
        ),
        FigureInfo(
            name="kernels",
            title="How far the kernel moves",
            sentence="Distance of each model's neural tangent kernel from the base's on a few examples of its task: "
            "0 where the model stays in its linear regime.",
            height=380,
            table="kernels",
            wide=False,
        ),
    ),
    draw=_draw,
)
