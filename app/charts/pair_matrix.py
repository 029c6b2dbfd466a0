"""A number for each pair of models as a square of cells, with the models along both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.charts.cells import written
from app.charts.roles import Figure, axis, colour, expert, figure, inert

__all__ = ["pair_matrix"]


def pair_matrix(  # noqa: PLR0913
    models: Sequence[dict[str, Any]],
    values: Sequence[Sequence[float | None]],
    name: str,
    *,
    middle: float = 0.0,
    turned: bool = False,
    digits: Callable[[float], str] = lambda value: f"{value:.2f}",
    hover: str = ".4f",
) -> Figure:
    """Draw values of pairs [T][T]; the diagonal is left out.

    The scale runs to both sides of `middle` as far as the farthest pair, so that small differences can be told apart;
    `turned` puts what is above the middle into the colour of opposites.
    """
    pairs = [[None if i == j else value for j, value in enumerate(row)] for i, row in enumerate(values)]
    farthest = max((abs(value - middle) for row in pairs for value in row if value is not None), default=1.0) or 1.0
    names = [inert(one["title"], 18) for one in models]
    places = list(range(len(names)))
    ends = [colour("cell-opposite"), colour("cell")]
    low, high = reversed(ends) if turned else ends
    cells = {
        "type": "heatmap",
        "name": name,
        "x": places,
        "y": places,
        "z": pairs,
        "customdata": [[[one, other] for other in names] for one in names],
        "hovertemplate": f"%{{customdata[0]}} · %{{customdata[1]}}: %{{z:{hover}}}<extra></extra>",
        "hoverongaps": False,
        "zmin": middle - farthest,
        "zmax": middle + farthest,
        "colorscale": [[0.0, low], [0.5, colour("surface")], [1.0, high]],
        "xgap": 2,
        "ygap": 2,
        "showscale": False,
    }
    texts = [["" if value is None else _signed(digits(value)) for value in row] for row in pairs]
    sign = -1.0 if turned else 1.0
    full = [[value is not None and _is_full(sign * (value - middle) / farthest) for value in row] for row in pairs]
    letters = written(texts, full, 12)
    ticks: dict[str, Any] = {
        "tickvals": places,
        "ticktext": [
            f'<span style="color:{expert(one["colour"])}">●</span> {title}'
            for one, title in zip(models, names, strict=True)
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


def _signed(text: str) -> str:
    """Write the sign of a number as a minus, and none before zero.

    >>> _signed("-0.10"), _signed("-0.00")
    ('−0.10', '0.00')
    """
    return text.replace("-", "−" if text.strip("-0.") else "")


def _is_full(share: float) -> bool:
    """Say whether white letters stand out best on a cell of this share of the strongest, in [−1, 1]."""
    return share >= 0.79 or share <= -0.96
