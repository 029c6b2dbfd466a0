"""How alike the task vectors are: the cosine of each pair as a matrix."""

from __future__ import annotations

from typing import Any

from app.charts.cells import written
from app.charts.roles import Figure, axis, colour, expert, figure, inert

__all__ = ["figure_of"]


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw the cosines of layer numbers (see docs/architecture.md): stronger means nearer to 1 or to −1.

    The diagonal is left out; the scale ends at the strongest pair, so that small cosines can be told apart.
    """
    experts, matrix = numbers["experts"], numbers["cosines"] or []
    pairs = [[None if i == j else value for j, value in enumerate(row)] for i, row in enumerate(matrix)]
    strongest = max((abs(value) for row in pairs for value in row if value is not None), default=1.0) or 1.0
    names = [inert(one["title"], 18) for one in experts]
    places = list(range(len(names)))
    cells = {
        "type": "heatmap",
        "name": "cosine",
        "x": places,
        "y": places,
        "z": pairs,
        "customdata": [[[one, other] for other in names] for one in names],
        "hovertemplate": "%{customdata[0]} · %{customdata[1]}: %{z:.4f}<extra></extra>",
        "hoverongaps": False,
        "zmin": -strongest,
        "zmax": strongest,
        "colorscale": [[0.0, colour("cell-opposite")], [0.5, colour("surface")], [1.0, colour("cell")]],
        "xgap": 2,
        "ygap": 2,
        "showscale": False,
    }
    texts = [["" if value is None else f"{value:.2f}".replace("-", "−") for value in row] for row in pairs]
    full = [[_is_full((value or 0) / strongest) for value in row] for row in pairs]
    letters = written(texts, full, 12)
    ticks: dict[str, Any] = {
        "tickvals": places,
        "ticktext": [
            f'<span style="color:{expert(one["colour"])}">●</span> {name}'
            for one, name in zip(experts, names, strict=True)
        ],
        "showgrid": False,
        "ticks": "",
        "fixedrange": True,
    }
    layout = {
        "xaxis": axis(range=[-0.5, len(names) - 0.5], **ticks),
        "yaxis": axis(range=[len(names) - 0.5, -0.5], **ticks),
        "margin": {"l": 120, "r": 16, "t": 8, "b": 30},
    }
    return figure([cells, *letters], layout, narrow={"xaxis.tickangle": -38, "margin.b": 70})


def _is_full(share: float) -> bool:
    """Say whether white letters stand out best on a cell of this share of the strongest, in [−1, 1]."""
    return share >= 0.79 or share <= -0.96
