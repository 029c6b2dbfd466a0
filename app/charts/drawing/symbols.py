"""The outlines of markers, in plotly's proportions."""

from __future__ import annotations

import math
from typing import Any

from app.charts.drawing.colours import PictureError
from merging_core.errors import Problem, closest

__all__ = ["outline"]

_THIN = ("line-ew", "line-ns")


def outline(symbol: str) -> tuple[Any, bool, bool]:
    """Return the path of a symbol for a diameter of 2, whether it is hollow, and whether it is only a stroke."""
    from matplotlib.path import Path

    name, hollow = symbol.removesuffix("-open"), symbol.endswith("-open")
    if name == "circle":
        return Path.unit_circle(), hollow, False
    corners = _corners()
    if name not in corners:
        raise PictureError(Problem("a marker's symbol is known", repr(symbol), "marker.symbol", closest(name, corners)))
    points = corners[name]
    if name in _THIN:
        return Path(points), hollow, True
    return Path([*points, points[0]], closed=True), hollow, False


def _corners() -> dict[str, list[tuple[float, float]]]:
    side, far, arm = 2 / math.sqrt(3), 1.2, 0.4
    cross = [(far, arm), (arm, arm), (arm, far), (-arm, far), (-arm, arm), (-far, arm)]
    cross += [(-x, -y) for x, y in cross]
    turn = math.sqrt(0.5)
    return {
        "square": [(1, 1), (-1, 1), (-1, -1), (1, -1)],
        "diamond": [(1.3, 0), (0, 1.3), (-1.3, 0), (0, -1.3)],
        "triangle-up": [(-side, -0.5), (side, -0.5), (0, 1)],
        "triangle-down": [(-side, 0.5), (side, 0.5), (0, -1)],
        "cross": cross,
        "x": [(turn * (x - y), turn * (x + y)) for x, y in cross],
        "line-ew": [(-1.4, 0), (1.4, 0)],
        "line-ns": [(0, -1.4), (0, 1.4)],
    }
