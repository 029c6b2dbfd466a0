"""Interference of pairs: scores and kept accuracy by method, from before to after, and whether one tells the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.cells import written
from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.roles import Figure, axis, caption, colour, expert, figure, inert

__all__ = ["DRAWING"]

_MOST_PAIRS = 28
Values = list[list[float | None]]
"""[pair][method]."""


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw what is known: scores at once, what merges keep as it is measured."""
    models = list(about["models"])
    scores = _scores(numbers, "cancelled")
    if all(value is None for row in scores for value in row):
        return {}
    found = {"scores": _map(numbers, models, scores, "cancelled magnitude", "")}
    rows = _of_first_split(numbers)
    kept = _kept(numbers, rows)
    if rows:
        found["kept"] = _map(
            numbers, models, kept, "normalised accuracy", ", 95 % interval ", _intervals(numbers, rows)
        )
    after = [place for place in range(1, len(numbers["methods"])) if any(row[place] is not None for row in scores)]
    if after:
        found["slopes"] = _slopes(numbers, models, scores, kept)
    if any(row["method"] == "sum" for row in rows):
        found["relation"] = _relation(numbers, models, rows)
    if numbers["changes"]:
        found["changes"] = _changes(numbers)
    return found


def _scores(numbers: Mapping[str, Any], name: str) -> Values:
    methods = [one["name"] for one in numbers["methods"]]
    rows = [numbers["scores"][method] for method in methods]
    return [[(row[pair] or {}).get(name) for row in rows] for pair in range(len(numbers["pairs"]))]


def _of_first_split(numbers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = numbers["accuracies"]
    return [row for row in rows if row["split"] == rows[0]["split"] and row["normalised"] is not None]


def _kept(numbers: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Values:
    known = {(row["pair"], row["method"]): row["normalised"] for row in rows}
    methods = [one["name"] for one in numbers["methods"]]
    return [[known.get((pair, method)) for method in methods] for pair in range(len(numbers["pairs"]))]


def _intervals(numbers: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    words = {
        (row["pair"], row["method"]): " – ".join(f"{end:.3f}" for end in row["normalised_interval"])
        + f", n {row['n']}"
        + (" (preview)" if row["partial"] else "")
        for row in rows
    }
    methods = [one["name"] for one in numbers["methods"]]
    return [[words.get((pair, method), "") for method in methods] for pair in range(len(numbers["pairs"]))]


def _names(numbers: Mapping[str, Any], models: Sequence[Mapping[str, Any]], limit: int = 12) -> list[str]:
    return [" · ".join(inert(models[t]["title"], limit) for t in pair) for pair in numbers["pairs"]]


def _map(  # noqa: PLR0913
    numbers: Mapping[str, Any],
    models: Sequence[Mapping[str, Any]],
    values: Values,
    name: str,
    beside: str,
    words: Sequence[Sequence[str]] = (),
) -> Figure:
    """Draw pairs by method as cells with their numbers; of many pairs those with most interference."""
    order = sorted(range(len(values)), key=lambda pair: -(_scores(numbers, "cancelled")[pair][0] or 0.0))
    shown = sorted(order[:_MOST_PAIRS])
    names = _names(numbers, models)
    methods = [one["title"] for one in numbers["methods"]]
    z = [values[pair] for pair in shown]
    known = [value for row in z for value in row if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    span = high - low or 1.0
    told = [[words[pair][m] if words else "" for m in range(len(methods))] for pair in shown]
    cells = {
        "type": "heatmap",
        "name": name,
        "x": list(range(len(methods))),
        "y": list(range(len(shown))),
        "z": z,
        "customdata": [
            [[names[pair], method, told[row][m]] for m, method in enumerate(methods)] for row, pair in enumerate(shown)
        ],
        "hovertemplate": f"%{{customdata[0]}}, %{{customdata[1]}}: {name} %{{z:.3f}}{beside}%{{customdata[2]}}"
        "<extra></extra>",
        "hoverongaps": False,
        "zmin": low,
        "zmax": low + span,
        "colorscale": [[0.0, colour("surface")], [1.0, colour("cell")]],
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
    }
    texts = [["" if value is None else f"{value:.2f}" for value in row] for row in z]
    full = [[value is not None and (value - low) / span >= 0.79 for value in row] for row in z]
    ticks: dict[str, Any] = {"showgrid": False, "ticks": "", "fixedrange": True}
    layout = {
        "xaxis": axis(
            range=[-0.5, len(methods) - 0.5], tickvals=list(range(len(methods))), ticktext=methods, side="top", **ticks
        ),
        "yaxis": axis(
            range=[len(shown) - 0.5, -0.5],
            tickvals=list(range(len(shown))),
            ticktext=[names[pair] for pair in shown],
            **ticks,
        ),
        "margin": {"l": 140, "r": 12, "t": 26, "b": 8},
    }
    narrow = {"margin.l": 118, "margin.r": 46, "margin.t": 52, "xaxis.tickangle": -38, "yaxis.tickfont.size": 10}
    return figure([cells, *written(texts, full, 11)], layout, narrow)


def _slopes(numbers: Mapping[str, Any], models: Sequence[Mapping[str, Any]], scores: Values, kept: Values) -> Figure:
    """Draw every pair from the sum to each method: its score above, what its merge keeps below; the mean is bold."""
    methods, names = numbers["methods"], _names(numbers, models)
    count = len(methods) - 1
    width = (1.0 - 0.03 * (count - 1)) / count
    measured = any(value is not None for row in kept for value in row)
    panels = [("cancelled magnitude", scores, [0.57, 1.0] if measured else [0.0, 1.0])]
    panels += [("normalised accuracy", kept, [0.0, 0.43])] if measured else []
    traces, layout, notes = list[dict[str, Any]](), dict[str, Any](), list[dict[str, Any]]()
    for row, (title, values, domain) in enumerate(panels):
        known = [value for one in values for value in one if value is not None]
        margin = 0.06 * (max(known) - min(known) or 1.0)
        for m in range(1, count + 1):
            place = row * count + m
            end = "" if place == 1 else str(place)
            left = (m - 1) * (width + 0.03)
            drawn = _lines(values, m, names, methods, title, (f"x{end}", f"y{end}"))
            if not drawn:
                continue
            traces += drawn
            layout[f"xaxis{end}"] = axis(
                domain=[left, left + width],
                anchor=f"y{end}",
                range=[-0.12, 1.12],
                tickvals=[0, 1],
                ticktext=["sum", methods[m]["title"]],
                showticklabels=row == len(panels) - 1,
                showgrid=False,
                fixedrange=True,
            )
            layout[f"yaxis{end}"] = axis(
                domain=domain,
                anchor=f"x{end}",
                range=[min(known) - margin, max(known) + margin],
                showticklabels=m == 1,
                nticks=5,
                fixedrange=True,
            )
        notes.append(caption(title, 0.0, domain[1]))
    layout |= {"annotations": notes, "margin": {"l": 46, "r": 30, "t": 24, "b": 28}}
    small = {f"xaxis{'' if m == 1 else m}.tickfont.size": 9 for m in range(1, len(panels) * count + 1)}
    last = range((len(panels) - 1) * count + 1, len(panels) * count + 1)
    turned = {f"xaxis{'' if m == 1 else m}.tickangle": -50 for m in last}
    return figure(traces, layout, {**small, **turned, "margin.b": 62})


def _lines(  # noqa: PLR0913
    values: Values,
    method: int,
    names: Sequence[str],
    methods: Sequence[Mapping[str, Any]],
    title: str,
    axes: tuple[str, str],
) -> list[dict[str, Any]]:
    ends = [(row[0], row[method]) for row in values]
    both = [
        (name, before, after)
        for name, (before, after) in zip(names, ends, strict=True)
        if before is not None and after is not None
    ]
    if not both:
        return []
    xs, ys, words = list[float | None](), list[float | None](), list[str]()
    for name, before, after in both:
        xs += [0, 1, None]
        ys += [before, after, None]
        words += [name, name, ""]
    on = {"xaxis": axes[0], "yaxis": axes[1], "type": "scatter", "mode": "lines+markers"}
    first = axes[0] == "x"
    lines = {
        **on,
        "name": "each pair",
        "showlegend": first,
        "x": xs,
        "y": ys,
        "customdata": words,
        "line": {"color": colour("faint"), "width": 1},
        "marker": {"size": 3.5, "color": colour("faint")},
        "opacity": 0.7,
        "hovertemplate": f"%{{customdata}}: {title} %{{y:.3f}}<extra></extra>",
    }
    means = [sum(before for _, before, _ in both) / len(both), sum(after for _, _, after in both) / len(both)]
    mean = {
        **on,
        "name": "mean of pairs",
        "showlegend": first,
        "x": [0, 1],
        "y": means,
        "line": {"color": colour("merge"), "width": 2.6},
        "marker": {"size": 7, "color": colour("merge")},
        "hovertemplate": f"mean of {len(both)} pairs, {methods[method]['title']}: {title} %{{y:.3f}}<extra></extra>",
    }
    return [lines, mean]


def _relation(
    numbers: Mapping[str, Any], models: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> Figure:
    """Draw the score of every pair as it is and what its sum keeps; a dot has the colours of both experts."""
    names = _names(numbers, models, 18)
    scores = _scores(numbers, "cancelled")
    known = [row for row in rows if row["method"] == "sum" and scores[row["pair"]][0] is not None]
    tints = [[expert(models[t]["colour"]) for t in numbers["pairs"][row["pair"]]] for row in known]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": "pairs",
        "x": [scores[row["pair"]][0] for row in known],
        "y": [row["normalised"] for row in known],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [row["normalised_interval"][1] - row["normalised"] for row in known],
            "arrayminus": [row["normalised"] - row["normalised_interval"][0] for row in known],
            "color": colour("faint"),
            "thickness": 1,
            "width": 0,
        },
        "marker": {
            "size": 10,
            "color": [first for first, _ in tints],
            "line": {"width": 3, "color": [second for _, second in tints]},
        },
        "customdata": [
            [names[row["pair"]], *row["normalised_interval"], row["n"], " (preview)" if row["partial"] else ""]
            for row in known
        ],
        "hovertemplate": "%{customdata[0]}: cancelled %{x:.3f}, keeps %{y:.3f}"
        "<br>95 % interval %{customdata[1]:.3f} – %{customdata[2]:.3f}, n %{customdata[3]}%{customdata[4]}"
        "<extra></extra>",
    }
    told = next((one for one in numbers["relations"] if one["score"] == "cancelled"), None)
    notes = []
    if told is not None:
        ends = "" if told["interval"] is None else " (" + " to ".join(_signed(end) for end in told["interval"]) + ")"
        words = f"Spearman {_signed(told['spearman'])}{ends}, p {told['p']:.2g}; {told['pairs']} pairs"
        notes.append(caption(words, 0.0, font={"size": 11.5, "color": colour("muted")}))
    layout = {
        "xaxis": axis("cancelled magnitude, as they are", nticks=6, fixedrange=True),
        "yaxis": axis("normalised accuracy of the sum", nticks=6, fixedrange=True),
        "annotations": notes,
        "margin": {"l": 58, "r": 14, "t": 26, "b": 42},
    }
    return figure(
        [dots],
        layout,
        {"annotations": [{**note, "font": {"size": 10, "color": colour("muted")}} for note in notes]}
        if notes
        else None,
    )


def _changes(numbers: Mapping[str, Any]) -> Figure:
    """Draw what each method changes in kept accuracy beside the sum, with its interval; zero is no change."""
    first = numbers["changes"][0]["split"]
    rows = [row for row in numbers["changes"] if row["split"] == first]
    titles = {one["name"]: one["title"] for one in numbers["methods"]}
    places = list(range(len(rows)))
    ends = [row["interval"] if row["interval"][0] is not None else [row["normalised"]] * 2 for row in rows]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": "change",
        "x": [row["normalised"] for row in rows],
        "y": places,
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - row["normalised"] for row, (_, high) in zip(rows, ends, strict=True)],
            "arrayminus": [row["normalised"] - low for row, (low, _) in zip(rows, ends, strict=True)],
            "color": colour("merge"),
            "thickness": 1.6,
            "width": 4,
        },
        "marker": {"size": 9, "color": colour("merge")},
        "customdata": [[titles[row["method"]], *end] for row, end in zip(rows, ends, strict=True)],
        "hovertemplate": "%{customdata[0]}: %{x:+.3f}, 95 % interval %{customdata[1]:+.3f} – %{customdata[2]:+.3f}"
        "<extra></extra>",
    }
    zero = {
        "type": "scatter",
        "mode": "lines",
        "name": "sum",
        "showlegend": False,
        "x": [0, 0],
        "y": [-0.5, len(rows) - 0.5],
        "line": {"color": colour("faint"), "width": 1.4, "dash": "dot"},
        "hoverinfo": "skip",
    }
    layout = {
        "xaxis": axis("change of normalised accuracy, mean over pairs", nticks=6, fixedrange=True),
        "yaxis": axis(
            range=[len(rows) - 0.5, -0.5],
            tickvals=places,
            ticktext=[titles[row["method"]] for row in rows],
            showgrid=False,
            fixedrange=True,
        ),
        "margin": {"l": 84, "r": 14, "t": 26, "b": 42},
    }
    return figure([zero, dots], layout)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="scores",
            title="Cancelled magnitude",
            sentence="The share of all magnitude that opposite signs take from each other when the two contributions "
            "are added: as they are (sum), and as each method leaves them.",
            height=400,
            table="scores",
            wide=False,
        ),
        FigureInfo(
            name="kept",
            title="What the merge of the pair keeps",
            sentence="Accuracy of each pair's merge on the own tasks of its two experts, as a share of theirs.",
            height=400,
            table="accuracies",
            wide=False,
        ),
        FigureInfo(
            name="slopes",
            title="From the sum to each method",
            sentence="Each thin line is a pair: its cancelled magnitude above and what its merge keeps below, from the "
            "plain sum to the method; the mean is bold.",
            height=400,
            table="scores",
        ),
        FigureInfo(
            name="relation",
            title="Does the score tell?",
            sentence="Each dot is a pair in the colours of its experts: how much its task vectors cancel, and what "
            "their plain sum keeps of the experts' accuracy.",
            height=320,
            table="accuracies",
            wide=False,
        ),
        FigureInfo(
            name="changes",
            title="Does the method pay?",
            sentence="How much more or less than the plain sum each method's merges keep, mean over pairs, with the "
            "95 % interval over examples.",
            height=320,
            table="changes",
            wide=False,
        ),
    ),
    draw=_draw,
)
