"""How alike the task vectors are: the cosine of each pair as a matrix."""

from __future__ import annotations

from typing import Any

from app.charts.pair_matrix import pair_matrix
from app.charts.roles import Figure

__all__ = ["figure_of"]


def figure_of(numbers: dict[str, Any]) -> Figure:
    """Draw the cosines of layer numbers (see docs/architecture.md): stronger means nearer to 1 or to −1.

    The diagonal is left out; the scale ends at the strongest pair, so that small cosines can be told apart.
    """
    return pair_matrix(numbers["experts"], numbers["cosines"] or [], "cosine")
