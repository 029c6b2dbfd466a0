"""The places of a subspace by their loss, the best one beside named ones, and how the search went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.geometry.who import model_colour, model_name
from app.charts.panels import LEFT, RIGHT, stacked
from app.charts.roles import Figure, axis, caption, colour, figure, fraction_axis

__all__ = ["DRAWING"]

_HIGH = math.sqrt(3.0) / 2.0
_STEPS = 8
_TITLES = {"base": "base", "centroid": "plain mean", "sum": "sum × 0.3"}
Place = Mapping[str, Any]


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw the first split."""
    where = _triangle if numbers["within"] == "hull" and len(about["models"]) == 3 else _weights
    return {"where": where(numbers, about), "best": _best(numbers, about), "search": _search(numbers)}


def _triangle(numbers: Mapping[str, Any], about: About) -> Figure:
    """Places of three models' hull: a corner is a model; outside, a weight is negative."""
    corners = [_plane(weights) for weights in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))]
    frame = {
        "type": "scatter",
        "mode": "lines",
        "name": "hull",
        "showlegend": False,
        "x": [x for x, _ in (*corners, corners[0])],
        "y": [y for _, y in (*corners, corners[0])],
        "line": {"color": colour("line"), "width": 1.4},
        "hoverinfo": "skip",
    }
    places, ends = numbers["places"], _ends(numbers["places"])
    points = [_plane(place["weights"]) for place in places]
    marks: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": "places",
        "showlegend": False,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "marker": {
            "size": [7 if place["kind"] == "search" else 11 for place in places],
            "color": [_shade(_loss(place), ends) for place in places],
            "line": {"color": colour("muted"), "width": 0.8},
        },
        "cliponaxis": False,
        "customdata": [_said(place, about) for place in places],
        "hovertemplate": "%{customdata[0]}<br>loss %{customdata[1]}<extra></extra>",
    }
    x, y = _plane(numbers["best"]["weights"])
    best = {
        **{key: marks[key] for key in ("type", "mode", "hovertemplate", "cliponaxis")},
        "name": "best",
        "x": [x],
        "y": [y],
        "marker": {"size": 20, "symbol": "circle-open", "color": colour("ink"), "line": {"width": 2}},
        "customdata": [_said(numbers["best"], about)],
    }
    xs, ys = [*marks["x"], 0.0, 1.0], [*marks["y"], 0.0, _HIGH]
    blank: dict[str, Any] = {"visible": False, "fixedrange": True}
    layout = {
        "xaxis": axis(**blank, range=[min(xs) - 0.14, max(xs) + 0.14]),
        "yaxis": axis(**blank, range=[min(ys) - 0.1, max(ys) + 0.1], scaleanchor="x", scaleratio=1, constrain="domain"),
        "annotations": [
            caption(_words(numbers, ends), 0.0),
            *(_corner(place, corners[place], about) for place in range(3)),
        ],
        "margin": {"l": 8, "r": 8, "t": 26, "b": 6},
        "dragmode": False,
    }
    return figure([frame, marks, best], layout)


def _weights(numbers: Mapping[str, Any], about: About) -> Figure:
    """Places of any subspace as lines over the models: how much of each, the stronger the lower the loss."""
    places, ends = sorted(numbers["places"], key=lambda place: -(_loss(place) or math.inf)), _ends(numbers["places"])
    names = [model_name(place, about) for place in range(len(about["models"]))]
    common: dict[str, Any] = {"type": "scatter", "mode": "lines+markers", "x": list(range(len(names)))}
    traces = [
        {
            **common,
            "name": "place",
            "showlegend": False,
            "y": place["weights"],
            "line": {"color": _shade(_loss(place), ends), "width": 1.4},
            "marker": {"size": 5, "color": _shade(_loss(place), ends)},
            "customdata": [_said(place, about)] * len(names),
            "hovertemplate": "%{customdata[0]}<br>loss %{customdata[1]}<extra></extra>",
        }
        for place in places
    ]
    best = {
        **common,
        "name": "best",
        "y": numbers["best"]["weights"],
        "line": {"color": colour("merge"), "width": 2.6},
        "marker": {"size": 9, "color": colour("merge")},
        "customdata": [_said(numbers["best"], about)] * len(names),
        "hovertemplate": "best: %{customdata[0]}<br>loss %{customdata[1]}<extra></extra>",
    }
    layout = {
        "xaxis": axis("", tickvals=common["x"], ticktext=names, range=[-0.2, len(names) - 0.8], fixedrange=True),
        "yaxis": axis("weight", fixedrange=True),
        "annotations": [caption(_words(numbers, ends), 0.0)],
        "margin": {"l": 50, "r": 16, "t": 26, "b": 30},
    }
    return figure([*traces, best], layout)


def _best(numbers: Mapping[str, Any], about: About) -> Figure:
    """Loss on the left and accuracy on the right, of the best place and of named ones, on the half that judges."""
    rows = [numbers["best"], *numbers["others"]]
    names = ["best", *(_title(one, about) for one in numbers["others"])]
    tints = [colour("merge"), *(_tint(one, about) for one in numbers["others"])]
    held = [row["held_out"][0] for row in rows]
    places = list(range(len(rows)))
    loss = _marks("loss", places, [(row["loss"], row["loss_interval"]) for row in held], tints, names, ".3f")
    right = _marks("accuracy", places, [(row["accuracy"], row["interval"]) for row in held], tints, names, ".1%")
    ticks = {"tickvals": places, "ticktext": names, "range": [len(rows) - 0.5, -0.5], "fixedrange": True}
    words = f"loss (nats), {held[0]['split']}, the half that judges, n {held[0]['n']:,}"
    layout = {
        "xaxis": axis("", domain=LEFT, fixedrange=True),
        "xaxis2": fraction_axis("", domain=RIGHT, anchor="y2", fixedrange=True),
        "yaxis": axis("", **ticks),
        "yaxis2": axis("", anchor="x2", showticklabels=False, **ticks),
        "annotations": [caption(words, 0.0), caption("accuracy", RIGHT[0])],
        "margin": {"l": 104, "r": 18, "t": 26, "b": 28},
    }
    narrow = stacked(f"loss, {held[0]['split']}, n {held[0]['n']:,}", "accuracy", yaxis2__showticklabels=True)
    return figure([loss, {**right, "xaxis": "x2", "yaxis": "y2"}], layout, narrow)


def _search(numbers: Mapping[str, Any]) -> Figure:
    """The lowest loss so far on the half that chooses, and the loss of that same place on the half that judges."""
    best: list[Place] = []
    for place in numbers["places"]:
        value = place["chosen_by"]
        lower = value is not None and (not best or value < best[-1]["chosen_by"])
        if lower or best:
            best.append(place if lower else best[-1])
    x = list(range(1, len(best) + 1))
    common = {"type": "scatter", "mode": "lines", "x": x}
    split = numbers["best"]["held_out"][0]["split"]
    traces = [
        {
            **common,
            "name": "on the half that chooses",
            "y": [place["chosen_by"] for place in best],
            "line": {"color": colour("muted"), "width": 1.6, "dash": "dash", "shape": "hv"},
            "hovertemplate": "after %{x} places: %{y:.3f} where it is chosen<extra></extra>",
        },
        {
            **common,
            "name": "on the half that judges",
            "y": [_loss(place) for place in best],
            "line": {"color": colour("merge"), "width": 2.2, "shape": "hv"},
            "hovertemplate": "after %{x} places: %{y:.3f} where it is judged<extra></extra>",
        },
    ]
    layout = {
        "xaxis": axis("places looked at", fixedrange=True),
        "yaxis": axis("", fixedrange=True),
        "annotations": [caption(f"loss (nats) of the best place so far, {split}", 0.0)],
        "margin": {"l": 46, "r": 12, "t": 26, "b": 44},
    }
    return figure(traces, layout)


def _marks(  # noqa: PLR0913
    name: str,
    places: Sequence[int],
    values: Sequence[tuple[float | None, Sequence[float | None]]],
    tints: Sequence[str],
    titles: Sequence[str],
    form: str,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "showlegend": False,
        "x": [value for value, _ in values],
        "y": list(places),
        "marker": {"size": 10, "color": list(tints)},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [_span(value, ends[1]) for value, ends in values],
            "arrayminus": [_span(value, ends[0]) for value, ends in values],
            "color": colour("muted"),
            "thickness": 1.2,
            "width": 3,
        },
        "customdata": [[title, *ends] for title, (_, ends) in zip(titles, values, strict=True)],
        "hovertemplate": f"%{{customdata[0]}}: {name} %{{x:{form}}}<br>95 % interval %{{customdata[1]:{form}}} – "
        f"%{{customdata[2]:{form}}}<extra></extra>",
    }


def _span(value: float | None, end: float | None) -> float:
    return 0.0 if value is None or end is None else abs(end - value)


def _plane(weights: Sequence[float]) -> tuple[float, float]:
    """Where weights that add up to 1 lie: the first model at the left, the second at the right, the third on top."""
    _, right, top = weights
    return right + top / 2.0, top * _HIGH


def _corner(place: int, at: tuple[float, float], about: About) -> dict[str, Any]:
    x, y = at
    font = {"size": 12.5, "color": model_colour(place, about)}
    shift = {"yshift": 15 if y else -15}
    return {
        "x": x, "y": y, "xref": "x", "yref": "y", "text": f"<b>{model_name(place, about)}</b>", "showarrow": False,
        "font": font, **shift,
    }  # fmt: skip


def _loss(place: Place) -> float | None:
    found: float | None = place["held_out"][0]["loss"]
    return found


def _ends(places: Sequence[Place]) -> tuple[float, float]:
    known = [loss for place in places if (loss := _loss(place)) is not None]
    return (min(known), max(known)) if known else (0.0, 1.0)


def _shade(loss: float | None, ends: tuple[float, float]) -> str:
    """The stronger the colour, the lower the loss; steps are even in its logarithm where it may be taken."""
    low, high = ends
    if loss is None or high <= low:
        return colour("sequential-0" if loss is None else f"sequential-{_STEPS}")
    share = (high - loss) / (high - low)
    if low > 0.0:
        share = math.log(high / loss) / math.log(high / low)
    return colour(f"sequential-{round(_STEPS * share)}")


def _words(numbers: Mapping[str, Any], ends: tuple[float, float]) -> str:
    held = numbers["best"]["held_out"][0]
    return f"stronger: lower loss ({ends[1]:.2f} to {ends[0]:.2f}), {held['split']} n {held['n']:,}"


def _said(place: Place, about: About) -> list[str]:
    parts = [f"{weight:.2f} {model_name(at, about)}" for at, weight in enumerate(place["weights"])]
    loss = _loss(place)
    return [" + ".join(parts), "not finite" if loss is None else f"{loss:.3f}"]


def _title(one: Place, about: About) -> str:
    return model_name(one["models"][0], about) if one["kind"] == "model" else _TITLES[one["kind"]]


def _tint(one: Place, about: About) -> str:
    if one["kind"] == "model":
        return model_colour(one["models"][0], about)
    return colour("base" if one["kind"] == "base" else "average")


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="where",
            title="Where in the subspace it is good",
            sentence="Every place that was looked at, the stronger its colour the lower the loss; the ring or thick "
            "line is the best, chosen on other examples than those shown.",
            height=360,
            table="places",
            wide=False,
        ),
        FigureInfo(
            name="search",
            title="How the search went",
            sentence="The lowest loss so far where places are chosen, and the loss of the same place where they are "
            "judged: a gap is what choosing pretends.",
            height=360,
            table="places",
            wide=False,
        ),
        FigureInfo(
            name="best",
            title="The best place beside others",
            sentence="Loss and accuracy of the best place, of each model and of their plain mean, on the half of the "
            "examples that chose nothing.",
            height=280,
            table="best",
        ),
    ),
    draw=_draw,
)
