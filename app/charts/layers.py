"""What the merge does over depth: λ(ℓ) and, behind it, what it meets."""

from __future__ import annotations

from typing import Any

from app.charts.roles import Figure, axis, caption, colour, expert, figure, fraction_axis, inert

__all__ = ["figure_of"]


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw layer numbers (see docs/architecture.md).

    Left: the factor λ(ℓ) as a line with points, over columns of sign conflict (the share of contested elements) and a
    line of density kept. Right: the norm ‖τ‖ of each expert's task vector per depth, in its colour.
    """
    depths = [_depth_label(depth) for depth in numbers["depths"]]
    places = list(range(len(depths)))
    traces = [
        {
            "type": "bar",
            "name": "sign conflict",
            "x": places,
            "y": numbers["conflict"],
            "yaxis": "y3",
            "width": 0.9,
            "marker": {"color": colour("conflict"), "line": {"width": 0}},
            "hovertemplate": "sign conflict %{y:.0%}<extra></extra>",
        },
        *_kept(numbers, places),
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "λ(ℓ)",
            "x": places,
            "y": numbers["factors"],
            "line": {"color": colour("merge"), "width": 2.2},
            "marker": {"size": 7, "color": colour("merge")},
            "hovertemplate": "factor %{y:.3f}<extra></extra>",
        },
        *(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": inert(one["title"]),
                "x": places,
                "y": one["norms"],
                "xaxis": "x2",
                "yaxis": "y2",
                "line": {"color": expert(one["colour"]), "width": 1.6},
                "marker": {"size": 4, "color": expert(one["colour"])},
                "hovertemplate": f"{inert(one['title'])} ‖τ‖ %{{y:.3f}}<extra></extra>",
            }
            for one in numbers["experts"]
        ),
    ]
    ticks = {"tickvals": places, "ticktext": depths, "showgrid": False, "fixedrange": True}
    span = [-0.6, len(depths) - 0.4]
    top = max([2.0, *(1.1 * value for value in numbers["factors"] if value is not None)])
    bottom = min([0.0, *(1.1 * value for value in numbers["factors"] if value is not None)])
    factor = caption("factor λ(ℓ)", 0.0, font={"size": 12, "color": colour("merge")})
    layout = {
        "xaxis": axis("depth", domain=[0.0, 0.52], range=span, **ticks),
        "xaxis2": axis("depth", domain=[0.65, 1.0], anchor="y2", range=span, **ticks),
        "yaxis": axis("", range=[bottom, top], fixedrange=True),
        "yaxis2": axis("", anchor="x2", rangemode="tozero", fixedrange=True, nticks=5),
        "yaxis3": fraction_axis("", overlaying="y", side="right", showgrid=False, fixedrange=True),
        "annotations": [
            factor,
            caption("sign conflict ▮  kept ┄", 0.52, xanchor="right"),
            caption("‖τ‖ per expert", 0.65),
        ],
        "bargap": 0.1,
        "margin": {"l": 46, "r": 12, "t": 24, "b": 34},
    }
    narrow = {
        "xaxis.domain": [0.0, 0.92],
        "xaxis2.domain": [0.0, 0.92],
        "yaxis.domain": [0.58, 1.0],
        "yaxis2.domain": [0.0, 0.42],
        "annotations": [
            factor,
            caption("sign conflict ▮  kept ┄", 0.92, xanchor="right"),
            caption("‖τ‖ per expert", 0.0, 0.42),
        ],
    }
    return figure(traces, layout, narrow)


def _kept(numbers: dict[str, Any], places: list[int]) -> list[dict[str, Any]]:
    if not numbers["kept"]:
        return []
    mean = []
    for column in zip(*numbers["kept"], strict=True):
        known = [value for value in column if value is not None]
        mean.append(sum(known) / len(known) if known else None)
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "density kept",
            "x": places,
            "y": mean,
            "yaxis": "y3",
            "line": {"color": colour("kept"), "width": 1.4, "dash": "dash"},
            "hovertemplate": "kept %{y:.1%} of the elements<extra></extra>",
        }
    ]


def _depth_label(depth: str) -> str:
    return {"before": "in", "after": "out"}.get(depth, depth)
