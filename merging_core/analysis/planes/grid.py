"""The grid of a plane: a square window around its models, and its cells from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Grid", "around", "depths", "steps"]


@dataclass(frozen=True)
class Grid:
    """Square cells over a square window: `x` and `y` in rising order, equally many, equally far apart."""

    x: tuple[float, ...]
    y: tuple[float, ...]


def around(spots: Sequence[tuple[float, float]], margin: float, count: int) -> Grid:
    """Return a grid whose window holds all spots, with `margin` of their extent on each side, and is square.

    >>> around([(0.0, 0.0), (4.0, 2.0)], 0.25, 3)
    Grid(x=(-1.0, 2.0, 5.0), y=(-2.0, 1.0, 4.0))
    """
    ends = [(min(spot[axis] for spot in spots), max(spot[axis] for spot in spots)) for axis in (0, 1)]
    half = max(high - low for low, high in ends) * (0.5 + margin)
    middles = [(low + high) / 2.0 for low, high in ends]
    lines = [tuple(middle + half * (2.0 * index / (count - 1) - 1.0) for index in range(count)) for middle in middles]
    return Grid(*lines)


def depths(count: int) -> tuple[int, ...]:
    """Return for each of `count` lines at which step it comes: both ends and the middle first, then ever finer halves.

    >>> depths(9)
    (0, 2, 1, 2, 0, 2, 1, 2, 0)
    """
    found, gaps, depth = {0: 0, count - 1: 0}, [(0, count - 1)], 0
    while gaps:
        finer = []
        for low, high in gaps:
            middle = (low + high) // 2
            if low < middle < high:
                found[middle] = depth
                finer += [(low, middle), (middle, high)]
        gaps, depth = finer, depth + 1
    return tuple(found[index] for index in range(count))


def steps(count: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the cells (row, column) of a grid of count × count in steps: 3 × 3 of them first, then ever finer ones.

    >>> [len(step) for step in steps(9)], steps(9)[0][:4]
    ([9, 16, 56], ((0, 0), (0, 4), (0, 8), (4, 0)))
    """
    depth = depths(count)
    found: dict[int, list[tuple[int, int]]] = {}
    for row in range(count):
        for column in range(count):
            found.setdefault(max(depth[row], depth[column]), []).append((row, column))
    return tuple(tuple(found[level]) for level in sorted(found))
