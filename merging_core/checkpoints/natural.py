"""The natural order of leaf names: the one canonical order of a model."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["natural_key", "natural_order"]

_DIGITS = re.compile(r"([0-9]+)")


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a key that sorts names by their texts and numbers, piece by piece.

    Texts and numbers alternate, so that like meets like. The name itself comes last in the key, so that `w1` and `w01`
    keep one order everywhere.

    >>> sorted(["layers.10.w", "layers.2.w", "embed"], key=natural_key)
    ['embed', 'layers.2.w', 'layers.10.w']
    """
    pieces = _DIGITS.split(name)
    return tuple(int(piece) if at % 2 else piece for at, piece in enumerate(pieces)), name


def natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names in natural order.

    >>> natural_order(["b.1", "a.10", "a.9"])
    ('a.9', 'a.10', 'b.1')
    """
    return tuple(sorted(names, key=natural_key))
