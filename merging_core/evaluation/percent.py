"""Accuracies as people read them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

__all__ = ["percent"]


def percent(share: float) -> str:
    """Return a share in [0, 1] as a percentage with one decimal; ties are rounded up, as the page does.

    >>> percent(0.7345), percent(0.6725), f"{100 * 0.6725:.1f}"
    ('73.5', '67.3', '67.2')
    """
    return str(Decimal(100 * share).quantize(Decimal("0.1"), ROUND_HALF_UP))
