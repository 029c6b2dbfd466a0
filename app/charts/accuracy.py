"""Accuracy per task: the merge as bars with intervals, and what to hold it against as ticks."""

from __future__ import annotations

from typing import Any

from app.charts.roles import Figure, axis, colour, expert, figure, fraction_axis, inert, short
from app.tasks.spec import NAME_START

__all__ = ["figure_of"]

_FEW, _WIDE, _NARROW = 7, 18, 11
"""So many bars leave room for names of so many letters, more of them for fewer letters."""

_GHOST = 0.32
"""How far to the right of its bar a prediction stands."""

_REFERENCES = (
    ("base", "base", "line-ew", 22, 3),
    ("expert", "its expert", "line-ew", 22, 3),
    ("average", "simple average", "circle-open", 9, 2),
    ("ensemble", "output ensemble", "diamond-open", 9, 2),
)


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw accuracy numbers (see docs/architecture.md) as one bar a task and one for the average.

    Bars: accuracy of the merge, with a 95 % interval. Ticks: base, the task's expert, the simple average and the output
    ensemble. A pinned merge is a hollow bar behind; a thin one beside it is what the tangent at the base foretells.
    """
    average = {
        **numbers["average"],
        "title": "average" if len(numbers["tasks"]) > 1 else "",
        "colour": None,
        "n": numbers["n"],
    }
    rows = [*numbers["tasks"], average] if len(numbers["tasks"]) > 1 else list(numbers["tasks"])
    places = [float(i) for i in range(len(numbers["tasks"]))]
    if len(rows) > len(places):
        places.append(len(places) + 0.35)
    partial = " (preview)" if numbers["partial"] else ""
    bars = {
        "type": "bar",
        "name": "merge",
        "x": places,
        "y": [row["accuracy"] for row in rows],
        "width": 0.46,
        "marker": {"color": [colour("merge-fill")] * len(rows), "line": {"color": colour("merge"), "width": 1.5}},
        "error_y": _interval(rows),
        "customdata": [[inert(row["title"]), row["n"], *(row["interval"] or [None, None])] for row in rows],
        "hovertemplate": f"%{{customdata[0]}}<br>merge{partial} %{{y:.1%}}"
        f"<br>95 % interval %{{customdata[2]:.1%}} – %{{customdata[3]:.1%}}<br>n %{{customdata[1]}}, {numbers['split']}"
        "<extra></extra>",
    }
    traces = [_pinned(rows, places), bars, *(_ticks(rows, places, *reference) for reference in _REFERENCES)]
    if any(row.get("foretold") is not None for row in rows):
        traces.append(_ghosts(rows, places, numbers.get("foretold_on")))
    most = _WIDE if len(rows) <= _FEW else _NARROW
    names = [_name(row, most) for row in rows]
    ticktext = [
        f'<span style="color:{expert(row["colour"])}">●</span> {name}' for row, name in zip(rows, names, strict=True)
    ]
    if len(rows) > len(numbers["tasks"]):
        ticktext[-1] = "<b>average</b>"
    layout = {
        "barmode": "overlay",
        "xaxis": axis(
            tickvals=places,
            ticktext=ticktext,
            showgrid=False,
            tickangle=0,
            range=[-0.6, places[-1] + 0.6],
            fixedrange=True,
        ),
        "yaxis": fraction_axis(fixedrange=True),
        "margin": {"l": 46, "r": 10, "t": 8, "b": 28},
    }
    return figure(
        traces,
        layout,
        narrow={"xaxis.tickangle": -38, "margin.b": 58 if max(map(len, names)) < most else 72, "margin.l": 40},
    )


def _name(row: dict[str, Any], most: int) -> str:
    """Return the name of a task below its bar; one of a visitor's own is named by a hash, so its title stands there."""
    task = row.get("task", "")
    return inert(row["title"], most) if task.startswith(NAME_START) else short(task)


def _interval(rows: list[dict[str, Any]]) -> dict[str, Any]:
    above, below = [], []
    for row in rows:
        low, high = row["interval"] or (row["accuracy"], row["accuracy"])
        above.append(max(high - row["accuracy"], 0.0))
        below.append(max(row["accuracy"] - low, 0.0))
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "color": colour("ink"),
        "thickness": 1.4,
        "width": 4,
    }


def _pinned(rows: list[dict[str, Any]], places: list[float]) -> dict[str, Any]:
    values = [row.get("pinned") for row in rows]
    return {
        "type": "bar",
        "name": "pinned merge",
        "legendrank": 1001,
        "x": places,
        "y": values,
        "width": 0.66,
        "visible": any(value is not None for value in values),
        "marker": {"color": colour("paper"), "line": {"color": colour("pinned"), "width": 1.2}},
        "hovertemplate": "pinned merge %{y:.1%}<extra></extra>",
    }


def _ghosts(rows: list[dict[str, Any]], places: list[float], elsewhere: str | None) -> dict[str, Any]:
    """Thin bars to the right: what the tangent at the base foretells, and how far that is from the merge's bar.

    `elsewhere`: the subset on which it is, where that is not the one of the bars; then the two are not compared.
    """
    said = [row.get("foretold") for row in rows]
    gaps = [None if value is None else value - row["accuracy"] for value, row in zip(said, rows, strict=True)]
    compared = f", {elsewhere} only" if elsewhere else "<br>%{customdata:+.1%} against the merge"
    return {
        "type": "bar",
        "name": "tangent prediction",
        "legendrank": 1002,
        "x": [place + _GHOST for place in places],
        "y": said,
        "width": 0.12,
        "marker": {"color": colour("merge-soft"), "line": {"color": colour("merge"), "width": 1.2}},
        "customdata": gaps,
        "hovertemplate": f"tangent prediction %{{y:.1%}}{compared}<extra></extra>",
    }


def _ticks(
    rows: list[dict[str, Any]], places: list[float], key: str, name: str, symbol: str, size: int, width: int
) -> dict[str, Any]:
    colours = [expert(row["colour"]) if key == "expert" else colour(key) for row in rows]
    if key == "expert" and len(rows) > 1 and rows[-1]["colour"] is None:
        colours[-1] = colour("ink")
    filled = symbol.startswith("line")
    marker = {"symbol": symbol, "size": size, "color": colours, "line": {"width": width, "color": colours}}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": places,
        "y": [row["references"].get(key) for row in rows],
        "marker": marker if filled else {**marker, "line": {"width": width}},
        "hovertemplate": f"{name} %{{y:.1%}}<extra></extra>",
    }
