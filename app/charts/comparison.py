"""All methods on the same experts: a point with its interval for each, the best on top."""

from __future__ import annotations

from typing import Any

from app.charts.roles import Figure, axis, colour, figure, inert

__all__ = ["figure_of"]

_REFERENCES = {"base": "base", "experts": "ink", "average": "average", "ensemble": "ensemble"}
_STEP = 0.16
"""How far the two points of a method stand above and below its line."""


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw the rows of a comparison (see docs/architecture.md): accuracy to the right, a line for each model.

    Filled: what a search found, or the defaults where there was none. Hollow: the defaults beside what was found.
    Squares: what merges are held against. Bars: 95 % intervals.
    """
    shown = [row for row in numbers["rows"] if row["kind"] != "skipped"]
    rows = sorted(reversed(shown), key=lambda row: _best(row)["average"]["accuracy"])
    places = {id(row): float(place) for place, row in enumerate(rows)}
    methods = [row for row in rows if row["kind"] == "method"]
    searched = [row for row in methods if row["found"]]
    plain = [row for row in methods if not row["found"]]
    traces = [
        _points(
            "defaults", [(places[id(row)] - _STEP, row, row["defaults"]) for row in searched], "muted", "circle-open"
        ),
        _points("searched", [(places[id(row)] + _STEP, row, row["found"]) for row in searched], "merge", "circle"),
        _points("defaults", [(places[id(row)], row, row["defaults"]) for row in plain], "merge", "circle"),
        *(
            _points(row["title"], [(places[id(row)], row, row)], _REFERENCES.get(row["name"], "ink"), "square")
            for row in rows
            if row["kind"] == "reference"
        ),
    ]
    names = [_label(row) for row in rows]
    layout = {
        "yaxis": axis(
            tickvals=list(range(len(rows))),
            ticktext=names,
            range=[-0.7, max(0.7, len(rows) - 0.3)],
            fixedrange=True,
            showgrid=True,
        ),
        "xaxis": axis("mean accuracy over tasks", tickformat=".0%", fixedrange=True, range=_range(rows)),
        "margin": {"l": 190, "r": 14, "t": 6, "b": 42},
    }
    return figure(
        [trace for trace in traces if trace["x"]], layout, narrow={"margin.l": 168, "yaxis.tickfont.size": 10.5}
    )


def _best(row: dict[str, Any]) -> dict[str, Any]:
    """Return what of a row is drawn filled."""
    if row["kind"] == "reference":
        return row
    return dict(row["found"] or row["defaults"])


def _label(row: dict[str, Any]) -> str:
    title = inert(row["title"], 28)
    if row["kind"] == "reference":
        return f"<i>{title}</i>"
    return f"{title} (transductive)" if row["transductive"] else title


def _points(
    name: str, points: list[tuple[float, dict[str, Any], dict[str, Any]]], role: str, symbol: str
) -> dict[str, Any]:
    values = [report["average"]["accuracy"] for _, _, report in points]
    ends = [report["average"]["interval"] for _, _, report in points]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": values,
        "y": [place for place, _, _ in points],
        "marker": {"size": 8, "color": colour(role), "symbol": symbol, "line": {"width": 1.5, "color": colour(role)}},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, high - value) for value, (_, high) in zip(values, ends, strict=True)],
            "arrayminus": [max(0.0, value - low) for value, (low, _) in zip(values, ends, strict=True)],
            "color": colour(role),
            "thickness": 1.3,
            "width": 3,
        },
        "customdata": [
            [inert(row["title"]), low, high, report["n"]]
            for (_, row, report), (low, high) in zip(points, ends, strict=True)
        ],
        "hovertemplate": f"%{{customdata[0]}}<br>{inert(name)} %{{x:.1%}}"
        "<br>95 % interval %{customdata[1]:.1%} – %{customdata[2]:.1%}<br>n %{customdata[3]}<extra></extra>",
    }


def _range(rows: list[dict[str, Any]]) -> list[float]:
    reports = [report for row in rows for report in (_best(row), row.get("defaults") or row)]
    ends = [end for report in reports for end in report["average"]["interval"]] or [0.0, 1.0]
    return [max(0.0, min(ends) - 0.02), min(1.0, max(ends) + 0.02)]
