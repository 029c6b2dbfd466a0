"""Looking for a low point without derivatives: a step along each direction and back, smaller where nothing is lower."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy
from numpy.typing import NDArray

__all__ = ["compass"]

Place = NDArray[numpy.float64]


def compass(
    start: Place, value: float, directions: Sequence[Place], step: float, least: float
) -> Generator[Place, float, None]:
    """Yield one place after the other and be sent its value; the next ones lie around the lowest so far.

    `value`: that of `start`. A place that is lower is gone to at once, and a step further the same way is tried; where
    no direction leads lower, the step is halved, until it is below `least`. A value that is not finite is not lower.

    Source: Kolda, Lewis and Torczon 2003, SIAM Review 45, section 2 (compass search).

    >>> search = compass(numpy.array([3.0]), 9.0, [numpy.array([1.0])], 1.0, 0.5)
    >>> place, seen = next(search), []
    >>> for _ in range(4):
    ...     seen.append(float(place[0]))
    ...     place = search.send(float(place[0]) ** 2)
    >>> seen
    [4.0, 2.0, 1.0, 0.0]
    """
    here, lowest = start, value
    while step >= least:
        moved = False
        for direction in directions:
            for way in (step, -step):
                gone = False
                while (found := (yield here + way * direction)) < lowest:
                    here, lowest, gone = here + way * direction, found, True
                moved = moved or gone
                if gone:
                    break
        step = step if moved else step / 2
