"""A run of learning: losses and accuracy over its steps, coefficients over depth, density of the mask."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from app.charts.cells import written
from app.charts.panels import LEFT, RIGHT, stacked
from app.charts.roles import Figure, axis, caption, colour, expert, figure, fraction_axis, inert

__all__ = ["accuracy_of", "coefficients_of", "density_of", "figures_of", "loss_of"]

_PALE = 0.5
"""What a coefficient is at least beside which all others are pale."""
_FEW = 8
"""Columns of a heat map that have room for their numbers."""
_NAMES = {"entropy": "entropy", "cross_entropy": "cross-entropy"}


def figures_of(numbers: dict[str, Any]) -> dict[str, Figure | None]:
    """Draw the numbers of a run (see docs/architecture.md); nothing where a run has none of a kind."""
    return {
        "loss": loss_of(numbers) if numbers["curve"]["steps"] else None,
        "accuracy": accuracy_of(numbers) if numbers["checks"] else None,
        "coefficients": coefficients_of(numbers) if numbers["coefficients"] else None,
        "density": density_of(numbers) if numbers["density"] else None,
    }


def loss_of(numbers: dict[str, Any]) -> Figure:
    """Draw what is minimised: added over the tasks on the left, of each task on the right.

    Thick lines are means over the last twentieth of the steps; the thin one has the batches themselves.
    """
    name = _NAMES.get(numbers["objective"], "loss")
    curve = numbers["curve"]
    smooth = curve["smooth"]
    total = _line(name, smooth["steps"], smooth["loss"], colour("merge"), 2.4)
    batches = {**_line("batches", curve["steps"], curve["loss"], colour("merge"), 1.0), "opacity": 0.4}
    tasks = [
        _line(inert(one["title"]), smooth["steps"], [row[at] for row in smooth["losses"]], expert(one["colour"]), 1.6)
        for at, one in enumerate(numbers.get("teachers") or numbers["tasks"])
    ]
    hover = f"{name} %{{y:.4f}} after %{{x:.0f}} steps<extra></extra>"
    traces = [
        {**batches, "hoverinfo": "skip"},
        {**total, "hovertemplate": hover},
        *({**one, **_SECOND, "hovertemplate": f"{one['name']} {hover}"} for one in tasks),
    ]
    captions = (f"{name}, added over the tasks", f"{name} of each task")
    return _two(traces, numbers, captions, axis("", fixedrange=True), axis("", anchor="x2", fixedrange=True))


def accuracy_of(numbers: dict[str, Any]) -> Figure:
    """Draw the checks on validation: their mean with its interval and task arithmetic on the left, tasks on the right.

    The filled point is the best check so far, by what was chosen.
    """
    checks, baseline = numbers["checks"], numbers["baseline"]
    steps = [check["step"] for check in checks]
    traces = [
        *_band(steps, checks),
        *_level(numbers, baseline),
        {
            **_line("accuracy", steps, [check["average"] for check in checks], colour("merge"), 2.2),
            "mode": "lines+markers",
            "marker": {"size": 4, "color": colour("merge")},
            "customdata": [[*check["interval"], check["n"]] for check in checks],
            "hovertemplate": "after %{x} steps %{y:.1%}<br>95 % interval %{customdata[0]:.1%} – %{customdata[1]:.1%}"
            "<br>n %{customdata[2]}<extra></extra>",
        },
        *_best(checks),
        *(
            {
                **_line(
                    inert(task["title"]),
                    steps,
                    [check["tasks"][place]["accuracy"] for check in checks],
                    expert(task["colour"]),
                    1.4,
                ),
                **_SECOND,
                "mode": "lines+markers",
                "marker": {"size": 3.5, "color": expert(task["colour"])},
                "hovertemplate": f"{inert(task['title'])} %{{y:.1%}} after %{{x}} steps<extra></extra>",
            }
            for place, task in enumerate(numbers["tasks"])
        ),
    ]
    words = "mean accuracy" + (", transductive" if numbers["transductive"] else "")
    ends = [end for check in checks for end in check["interval"]] + (baseline["interval"] if baseline else [])
    near = [max(0.0, min(ends) - 0.02), min(1.0, max(ends) + 0.02)]
    first = axis("", range=near, tickformat=".0%", fixedrange=True)
    captions = (f"{words}, 95 % interval", "accuracy of each task")
    return _two(traces, numbers, captions, first, fraction_axis("", anchor="x2", fixedrange=True))


def coefficients_of(numbers: dict[str, Any]) -> Figure:
    """Draw how much of each expert is taken: over depth as a heat map, or one number each over the steps."""
    cells = numbers["coefficients"]
    if cells["by"] == "expert":
        return _coefficient_lines(numbers)
    rows, names = cells["rows"], [inert(one["title"], 18) for one in numbers["experts"]]
    strongest = max(_PALE, *(abs(value) for row in rows for value in row if value is not None))
    places = list(range(len(cells["columns"])))
    heat = {
        "type": "heatmap",
        "name": "coefficient",
        "x": places,
        "y": list(range(len(names))),
        "z": rows,
        "customdata": [[[name, inert(leaf, 60)] for leaf in cells["names"]] for name in names],
        "hovertemplate": "%{customdata[0]}, %{customdata[1]}: %{z:.4f}<extra></extra>",
        "hoverongaps": False,
        "zmin": -strongest,
        "zmax": strongest,
        "colorscale": [[0.0, colour("cell-opposite")], [0.5, colour("surface")], [1.0, colour("cell")]],
        "xgap": 1 if len(places) <= 80 else 0,
        "ygap": 2,
        "showscale": False,
    }
    letters = []
    if len(places) <= _FEW:
        texts = [[f"{value:.2f}".replace("-", "−") for value in row] for row in rows]
        letters = written(texts, [[value / strongest >= 0.79 for value in row] for row in rows])
    quiet: dict[str, Any] = {"showgrid": False, "fixedrange": True}
    starts = _starts(cells["columns"])
    layout = {
        "xaxis": axis(
            "depth, leaf by leaf" if cells["by"] == "leaf" else "depth",
            range=[-0.5, len(places) - 0.5],
            tickvals=[start for start, _ in starts],
            ticktext=[label for _, label in starts],
            **quiet,
        ),
        "yaxis": axis(
            range=[len(names) - 0.5, -0.5],
            tickvals=list(range(len(names))),
            ticktext=[
                f'<span style="color:{expert(one["colour"])}">●</span> {name}'
                for one, name in zip(numbers["experts"], names, strict=True)
            ],
            **quiet,
        ),
        "margin": {"l": 120, "r": 12, "t": 8, "b": 38},
    }
    return figure([heat, *letters], layout, narrow={"margin.l": 96})


def density_of(numbers: dict[str, Any]) -> Figure:
    """Draw which share the mask keeps: at each depth now, and of the whole over the steps."""
    density, curve = numbers["density"], numbers["curve"]
    depths = [{"before": "in", "after": "out"}.get(depth, depth) for depth in density["columns"]]
    places, steps = list(range(len(depths))), curve["steps"] or [numbers["step"]]
    traces = [
        {
            "type": "bar",
            "name": "density",
            "x": places,
            "y": density["values"],
            "width": 0.8,
            "marker": {"color": colour("merge-fill"), "line": {"width": 1, "color": colour("merge")}},
            "hovertemplate": "%{y:.1%} kept<extra></extra>",
        },
        {
            **_line("density over steps", steps, curve["density"] or [density["whole"]], colour("merge"), 2.0),
            **_SECOND,
            "hovertemplate": "%{y:.1%} kept after %{x:.0f} steps<extra></extra>",
        },
    ]
    ticks = {"tickvals": places, "ticktext": depths, "showgrid": False, "fixedrange": True}
    span = [0, max(1, numbers["steps"])]
    captions = ("kept at each depth", "kept in all, over steps")
    layout = {
        "xaxis": axis("depth", domain=LEFT, range=[-0.6, len(depths) - 0.4], **ticks),
        "xaxis2": axis("step", domain=RIGHT, anchor="y2", range=span, fixedrange=True),
        "yaxis": fraction_axis("", fixedrange=True),
        "yaxis2": fraction_axis("", anchor="x2", fixedrange=True),
        **_frame(captions),
    }
    return figure(traces, layout, stacked(*captions))


_SECOND = {"xaxis": "x2", "yaxis": "y2"}


def _line(name: str, steps: list[Any], values: list[Any], tint: str, width: float) -> dict[str, Any]:
    line = {"color": tint, "width": width}
    return {"type": "scatter", "mode": "lines", "name": name, "x": steps, "y": values, "line": line}


def _band(steps: list[int], checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The 95 % interval of the mean accuracy, as a band behind its curve."""
    line = {"width": 0, "color": colour("merge-soft")}
    quiet = {"type": "scatter", "mode": "lines", "x": steps, "line": line, "hoverinfo": "skip"}
    low, high = ([check["interval"][side] for check in checks] for side in (0, 1))
    return [
        {**quiet, "name": "interval, low", "y": low, "showlegend": False},
        {**quiet, "name": "95 % interval", "y": high, "fill": "tonexty", "fillcolor": colour("merge-soft")},
    ]


def _level(numbers: dict[str, Any], baseline: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What the run is held against on the same examples, as a line through all steps."""
    if baseline is None:
        return []
    (low, high), name = baseline["interval"], numbers["yardstick"]
    return [
        {
            **_line(name, [0, numbers["steps"]], [baseline["average"]] * 2, colour("average"), 1.6),
            "line": {"color": colour("average"), "width": 1.6, "dash": "dash"},
            "hovertemplate": f"{name} %{{y:.1%}}<br>95 % interval {low:.1%} – {high:.1%}<extra></extra>",
        }
    ]


def _best(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [check for check in checks if check["best"]][-1:]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "best so far",
            "x": [check["step"] for check in found],
            "y": [check["average"] for check in found],
            "marker": {"size": 10, "color": colour("merge"), "line": {"width": 2, "color": colour("surface")}},
            "hoverinfo": "skip",
        }
    ]


def _coefficient_lines(numbers: dict[str, Any]) -> Figure:
    curve = numbers["curve"]
    known = [(step, row) for step, row in zip(curve["steps"], curve["coefficients"], strict=True) if row]
    traces = [
        {
            **_line(
                inert(one["title"]),
                [step for step, _ in known],
                [row[place] for _, row in known],
                expert(one["colour"]),
                1.8,
            ),
            "hovertemplate": f"{inert(one['title'])} %{{y:.4f}} after %{{x:.0f}} steps<extra></extra>",
        }
        for place, one in enumerate(numbers["experts"])
    ]
    layout = {
        "xaxis": axis("step", range=[0, max(1, numbers["steps"])], fixedrange=True),
        "yaxis": axis("", fixedrange=True),
        "annotations": [caption("coefficient of each expert", 0.0)],
        "margin": {"l": 46, "r": 12, "t": 24, "b": 34},
    }
    return figure(traces, layout)


def _starts(columns: list[str]) -> list[tuple[int, str]]:
    """Return where each depth begins among the columns, and what it is called there."""
    places = [0, *(place + 1 for place, (one, other) in enumerate(pairwise(columns)) if one != other)]
    return [(place, {"before": "in", "after": "out"}.get(columns[place], columns[place])) for place in places]


def _two(
    traces: list[dict[str, Any]],
    numbers: dict[str, Any],
    captions: tuple[str, str],
    first: dict[str, Any],
    second: dict[str, Any],
) -> Figure:
    """Put two charts over the same steps side by side, on a narrow screen one below the other."""
    span = {"range": [0, max(1, numbers["steps"])], "fixedrange": True}
    layout = {
        "xaxis": axis("step", domain=LEFT, **span),
        "xaxis2": axis("step", domain=RIGHT, anchor="y2", **span),
        "yaxis": first,
        "yaxis2": second,
        **_frame(captions),
    }
    return figure(traces, layout, stacked(*captions))


def _frame(captions: tuple[str, str]) -> dict[str, Any]:
    return {
        "annotations": [caption(captions[0], 0.0), caption(captions[1], RIGHT[0])],
        "margin": {"l": 46, "r": 12, "t": 24, "b": 34},
    }
