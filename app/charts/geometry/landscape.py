"""Heights of a landscape as colours: scales of levels, and what stands between cells that were measured already."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from merging_core.analysis.planes.grid import depths

__all__ = ["Levels", "Rows", "even_levels", "filled", "rising_levels", "whole_lines"]

Rows = Sequence[Sequence[float | None]]
_LEVELS = 12
_TICKS = 6
_SOFTNESS, _NEAR, _MOST = 40.0, 8.0, 1e4
"""How many times the unit in which low rises are told apart fits into the extent, into what is near, and at most."""
_TOP = 0.95
_STEPS = (0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True)
class Levels:
    """Where values lie on a scale of even steps: `place` maps a value to it, levels are at `step`, 2·`step` … `end`.

    The lowest value lies at 0. `ticks`: places and what is written there.
    """

    place: Callable[[float], float]
    end: float
    step: float
    ticks: tuple[tuple[float, str], ...]


def rising_levels(values: Sequence[float], near: Sequence[float] = ()) -> Levels:
    """Return levels of losses: spaced by the logarithm of the rise above the lowest, and one bin for all above the top.

    The top is the value that 95 % of the cells stay below, so that a few far corners do not take the colours. Nothing
    is cut from the numbers: only their colours are alike beyond the top. `near`: values whose differences are to be
    seen however high the others rise.

    >>> levels = rising_levels([1.0, 2.0] * 20 + [90.0])
    >>> levels.place(1.0), levels.place(90.0) == levels.place(1e9)
    (0.0, True)
    """
    ordered = sorted(values)
    low, high = ordered[0], ordered[min(len(ordered) - 1, math.ceil(_TOP * len(ordered)) - 1)]
    above, extent = ordered[-1] > high, max(high - low, 1e-9)
    soft = min(extent / _SOFTNESS, max((max(near, default=high) - low) / _NEAR, extent / _MOST))
    top = math.log1p(extent / soft)
    step = top / _LEVELS

    def place(value: float) -> float:
        if not value <= high:
            return top + step / 2.0
        return min(max(0.0, math.log1p((value - low) / soft)), top - step / 1e3)

    steps = [top * index / _TICKS for index in range(_TICKS + 1)]
    words = [_written(low + soft * math.expm1(one)) for one in steps]
    words[-1] = f"{words[-1]} +" if above else words[-1]
    return Levels(place, top if above else top - step, step, tuple(zip(steps, words, strict=True)))


def even_levels(values: Sequence[float]) -> Levels:
    """Return levels of accuracies: even steps of whole percents over what occurs.

    >>> levels = even_levels([0.31, 0.72])
    >>> levels.step, [word for _, word in levels.ticks]
    (0.05, ['30 %', '40 %', '50 %', '60 %', '70 %'])
    """
    low, high = min(values), max(values)
    step = next((step for step in _STEPS if (high - low) / step <= _LEVELS), _STEPS[-1])
    floor = math.floor(low / step + 1e-9) * step
    count = max(1, math.ceil((high - floor) / step - 1e-9))
    every = max(1, math.ceil(count / _TICKS))
    ticks = tuple(
        (step * index, f"{floor + step * index:.0%}".replace("%", " %")) for index in range(0, count + 1, every)
    )
    return Levels(lambda value: value - floor, step * max(1, count - 1), step, ticks)


def filled(rows: Rows) -> list[list[float]] | None:
    """Return a picture without gaps: a cell that was not measured yet lies between its measured neighbours.

    The lines and columns that are whole make a coarse grid; between them values are bilinear. None where there is no
    such grid yet.

    >>> rows = [[None if row % 2 or column % 2 else row + 2.0 * column for column in range(5)] for row in range(5)]
    >>> filled(rows)[1]
    [1.0, 3.0, 5.0, 7.0, 9.0]
    >>> filled([[0.0, None], [None, 1.0]]) is None
    True
    """
    last = len(rows) - 1
    at = whole_lines(rows)
    if last < 1 or len(at) < 2:
        return None
    found = []
    for row in range(last + 1):
        low, high, down = _between(at, row)
        line = []
        for column in range(last + 1):
            known = rows[row][column]
            if known is None:
                left, right, across = _between(at, column)
                upper = _mixed(rows[low][left], rows[low][right], across)
                known = _mixed(upper, _mixed(rows[high][left], rows[high][right], across), down)
            line.append(known)
        found.append(line)
    return found


def whole_lines(rows: Rows) -> list[int]:
    """Return the lines and columns of the finest grid of which every cell was measured, ends included; none yet: [].

    >>> rows = [[None if row % 2 or column % 2 else 1.0 for column in range(5)] for row in range(5)]
    >>> whole_lines(rows)
    [0, 2, 4]
    """
    depth = depths(len(rows))
    for deepest in range(max(depth), -1, -1):
        at = [index for index, own in enumerate(depth) if own <= deepest]
        if all(rows[row][column] is not None for row in at for column in at):
            return at
    return []


def _between(at: Sequence[int], index: int) -> tuple[int, int, float]:
    high = min(bisect_right(at, index), len(at) - 1)
    low = at[high - 1]
    return low, at[high], (index - low) / (at[high] - low)


def _mixed(first: float | None, second: float | None, share: float) -> float:
    one, other = first or 0.0, second or 0.0
    return one if share == 0.0 else other if share == 1.0 else one + (other - one) * share


def _written(value: float) -> str:
    return f"{value:.0f}" if value >= 100.0 else f"{value:.3g}"
