"""Task vectors side by side: pairs as squares of cells, layers as lines and rows, and one matrix from close by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.charts.geometry.contract import About, Drawing, FigureInfo
from app.charts.geometry.matrix import blocks_figure, clash_figure, values_figure
from app.charts.pair_matrix import pair_matrix
from app.charts.roles import Figure, axis, expert, figure, inert, scale, scale_bar

__all__ = ["DRAWING"]

_MOST_PAIRS = 28


def _draw(numbers: Mapping[str, Any], about: About) -> dict[str, Figure]:
    """Draw what is known: pairs of the whole, then layers and ranks, or the chosen leaf."""
    models = list(about["models"])
    found = _squares(numbers, models) if len(models) > 1 else {}
    if numbers.get("chosen"):
        matrix = numbers.get("matrix") or {}
        if matrix.get("pictures") and matrix["pictures"][0]:
            found["blocks"] = blocks_figure(matrix, models)
            if len(models) > 1:
                found["clash"] = clash_figure(matrix)
        if any(matrix.get("values") or ()):
            found["values"] = values_figure(matrix, models)
        return found
    if numbers["depths"]:
        found["norms"] = _norms(numbers["depths"], models)
        if len(models) > 1:
            found["layers"] = _layers(numbers, models)
    if numbers["ranks"]:
        found["ranks"] = _ranks(numbers, models)
    return found


def _squares(numbers: Mapping[str, Any], models: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    whole = numbers["whole"]
    times = [
        None if overlap is None or not chance else overlap / chance
        for overlap, chance in zip(whole["overlaps"], whole["chances"], strict=True)
    ]

    def square(values: Sequence[float | None]) -> list[list[float | None]]:
        rows: list[list[float | None]] = [[None] * len(models) for _ in models]
        for (i, j), value in zip(numbers["pairs"], values, strict=True):
            rows[i][j] = rows[j][i] = value
        return rows

    def percent(value: float) -> str:
        return f"{100 * value:.1f}"

    return {
        "cosines": pair_matrix(models, square(whole["cosines"]), "cosine"),
        "clashes": pair_matrix(
            models, square(whole["clashes"]), "clashing signs", middle=0.5, turned=True, digits=percent, hover=".2%"
        ),
        "overlaps": pair_matrix(models, square(times), "overlap over chance", middle=1.0, hover=".3f"),
    }


def _norms(depths: Sequence[Mapping[str, Any]], models: Sequence[Mapping[str, Any]]) -> Figure:
    relative = all(value is not None for row in depths for value in row["moved"])
    key, title = ("moved", "‖τ‖ / ‖θ₀‖") if relative else ("norms", "‖τ‖")
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": inert(model["title"]),
            "x": list(range(len(depths))),
            "y": [row[key][t] for row in depths],
            "line": {"color": expert(model["colour"]), "width": 1.8},
            "marker": {"size": 5, "color": expert(model["colour"])},
            "hovertemplate": f"{inert(model['title'])}: %{{y:.4f}}<extra></extra>",
        }
        for t, model in enumerate(models)
    ]
    return figure(
        traces,
        {
            "xaxis": _depth_axis(depths),
            "yaxis": axis(title, rangemode="tozero", fixedrange=True, nticks=6),
            "margin": {"l": 60, "r": 12, "t": 10, "b": 40},
        },
    )


def _layers(numbers: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the cosine of each pair in each layer: at most 28 pairs, those with the largest cosines of the whole."""
    depths, whole = numbers["depths"], numbers["whole"]["cosines"]
    order = sorted(range(len(whole)), key=lambda pair: -abs(whole[pair] or 0.0))[:_MOST_PAIRS]
    shown = sorted(order)
    names = [" · ".join(inert(models[t]["title"], 12) for t in numbers["pairs"][pair]) for pair in shown]
    rows = [[row["cosines"][pair] for row in depths] for pair in shown]
    strongest = max((abs(value) for row in rows for value in row if value is not None), default=1.0) or 1.0
    cells = {
        "type": "heatmap",
        "name": "cosine",
        "x": list(range(len(depths))),
        "y": list(range(len(names))),
        "z": rows,
        "customdata": [[[name, row["depth"]] for row in depths] for name in names],
        "hovertemplate": "%{customdata[0]}, layer %{customdata[1]}: cosine %{z:.4f}<extra></extra>",
        "hoverongaps": False,
        "zmin": -strongest,
        "zmax": strongest,
        "colorscale": scale("diverging"),
        "colorbar": scale_bar("cosine"),
        "xgap": 1,
        "ygap": 1,
    }
    ticks: dict[str, Any] = {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False, "ticks": ""}
    layout = {
        "xaxis": _depth_axis(depths, showgrid=False),
        "yaxis": axis(range=[len(names) - 0.5, -0.5], fixedrange=True, **ticks),
        "margin": {"l": 150, "r": 76, "t": 8, "b": 40},
    }
    return figure(
        [cells], layout, narrow={"margin.l": 122, "margin.r": 62, "yaxis.tickfont.size": 10, "xaxis.tickangle": -38}
    )


def _ranks(numbers: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw of each matrix the effective rank as a share of the largest possible one; the stable rank where that is it.

    The matrices of one layer stand side by side in the order of the leaves; a line joins the means of the layers.
    """
    rows = numbers["ranks"]
    labels = [row["depth"] for row in numbers["depths"]]
    of_layer: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        of_layer.setdefault(row["depth"], []).append(row)
    traces: list[dict[str, Any]] = []
    for t, model in enumerate(models):
        tint, title = expert(model["colour"]), inert(model["title"])
        xs, ys, words, middles, means = list[float](), list[float](), list[str](), list[int](), list[float]()
        for place, label in enumerate(labels):
            own = of_layer.get(label, [])
            known = [(i, row["effective"][t], row) for i, row in enumerate(own) if row["effective"][t] is not None]
            for i, rank, row in known:
                xs.append(place + (i + 0.5) / len(own) * 0.7 - 0.35)
                ys.append(rank / min(row["shape"]))
                words.append(
                    f"{inert(row['leaf'], 60)}: {rank:.1f} of {min(row['shape'])}, stable {row['stable'][t]:.1f}"
                )
            if known:
                middles.append(place)
                means.append(sum(rank / min(row["shape"]) for _, rank, row in known) / len(known))
        dots = {"size": 4, "color": tint, "opacity": 0.55}
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": title,
                "legendgroup": title,
                "showlegend": False,
                "x": xs,
                "y": ys,
                "customdata": words,
                "marker": dots,
                "hovertemplate": f"{title}, %{{customdata}}<extra></extra>",
            }
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": title,
                "legendgroup": title,
                "x": middles,
                "y": means,
                "line": {"color": tint, "width": 1.8},
                "hovertemplate": f"{title}, mean of the layer: %{{y:.1%}}<extra></extra>",
            }
        )
    layout = {
        "xaxis": _depth_axis(numbers["depths"]),
        "yaxis": axis("effective rank / largest possible", rangemode="tozero", tickformat=".0%", fixedrange=True),
        "margin": {"l": 60, "r": 12, "t": 10, "b": 40},
    }
    return figure(traces, layout)


def _depth_axis(depths: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    labels = [inert(row["depth"], 14) for row in depths]
    every = -(-len(labels) // 16)
    shown = list(range(0, len(labels), every))
    ticks = {"tickvals": shown, "ticktext": [labels[place] for place in shown], "fixedrange": True}
    looks: dict[str, Any] = {"showgrid": False, **ticks, **more}
    return axis("layer", range=[-0.5, len(labels) - 0.5], **looks)


DRAWING = Drawing(
    figures=(
        FigureInfo(
            name="cosines",
            title="Cosines",
            sentence="How alike the directions of two task vectors are: 0 where they have nothing to do with each "
            "other, 1 where they are parallel.",
            height=300,
            table="pairs",
            wide=False,
        ),
        FigureInfo(
            name="clashes",
            title="Clashing signs (%)",
            sentence="Of the elements that both changed, how many in a hundred were changed in opposite directions; "
            "50 is what chance gives.",
            height=300,
            table="pairs",
            wide=False,
        ),
        FigureInfo(
            name="overlaps",
            title="Common largest elements (times chance)",
            sentence="How much more often than by chance the largest changes of two models are in the same places, "
            "as |A ∩ B| / |A ∪ B|; 1 is chance.",
            height=300,
            table="pairs",
            wide=False,
        ),
        FigureInfo(
            name="norms",
            title="How far each layer moved",
            sentence="The norm of each task vector in each layer, beside the norm of the base there.",
            height=300,
            table="norms",
            wide=False,
        ),
        FigureInfo(
            name="layers",
            title="Cosines by layer",
            sentence="The cosine of each pair in each layer; the leaves of a layer stand below.",
            height=400,
            table="layers",
        ),
        FigureInfo(
            name="ranks",
            title="Effective ranks",
            sentence="How many directions each matrix of a task vector uses, as a share of those it could use: dots "
            "are matrices, lines the means of layers.",
            height=320,
            table="ranks",
        ),
        FigureInfo(
            name="blocks",
            title="The leaf itself",
            sentence="The chosen leaf of each task vector, block by block: the root mean square of a block, with the "
            "sign of its sum.",
            height=420,
            table="blocks",
        ),
        FigureInfo(
            name="clash",
            title="Where signs clash",
            sentence="In each block of the chosen leaf, how often the signs of two models disagree where both "
            "changed an element.",
            height=340,
            table="pairs",
            wide=False,
        ),
        FigureInfo(
            name="values",
            title="Singular values",
            sentence="The singular values of the chosen matrix of each task vector, from the largest.",
            height=340,
            table="values",
            wide=False,
        ),
    ),
    draw=_draw,
)
