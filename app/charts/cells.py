"""Words in the cells of a matrix, in letters that stand out from their cell in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.charts.roles import colour

__all__ = ["written"]


def written(texts: Sequence[Sequence[str]], full: Sequence[Sequence[bool]], size: float = 11) -> list[dict[str, Any]]:
    """Return two traces of letters over a heat map: those of faint cells, and those of the cells that are `full`.

    >>> [trace["text"] for trace in written([["1", "22"], ["", "3"]], [[False, True], [False, True]])]
    [['1'], ['22', '3']]
    """
    traces = []
    for role, wanted in (("on-faint", False), ("on-full", True)):
        cells = [
            (i, j, text) for j, row in enumerate(texts) for i, text in enumerate(row) if text and full[j][i] is wanted
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "text",
                "name": "written",
                "x": [i for i, _, _ in cells],
                "y": [j for _, j, _ in cells],
                "text": [text for _, _, text in cells],
                "textfont": {"size": size, "color": colour(role)},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return traces
