"""How fast work goes and how long it still takes: said once it means something, and steadily."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Pace", "spell"]

_LEAST = 2.0
"""Seconds that work is looked at before anything is said of its pace."""
_EVERY = 0.1


def spell(seconds: float) -> str:
    """Write an estimated time for people.

    >>> spell(0.2), spell(37.0), spell(94.0), spell(5400.0)
    ('1 s', '37 s', '1.6 min', '1.5 h')
    """
    if seconds < 60.0:  # noqa: PLR2004
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60.0
    return f"{minutes:.1f} min" if minutes < 60.0 else f"{minutes / 60.0:.1f} h"  # noqa: PLR2004


class Pace:
    """Hears how much is done, in any unit, and says how much that is a second.

    What counts is the later half of the time so far, and no less than a few seconds: what went slowly at the beginning
    is forgotten, and one slow piece does not turn the estimate over.

    >>> moments = iter([0.0, 1.0, 3.0, 6.0])
    >>> pace = Pace(lambda: next(moments))
    >>> for done in (0, 100, 300, 600):
    ...     pace.hear(done)
    >>> pace.per_second, pace.left(50)
    (100.0, 0.5)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard = deque[tuple[float, float]]()
        self._last: tuple[float, float] | None = None
        self._begun = 0.0

    def hear(self, done: float) -> None:
        """Take note of how much is done now."""
        now = self._clock()
        self._last = (now, done)
        if not self._heard:
            self._begun = now
        elif now - self._heard[-1][0] < _EVERY:
            return
        self._heard.append(self._last)
        since = now - max(_LEAST, (now - self._begun) / 2)
        while len(self._heard) > 2 and self._heard[1][0] <= since:  # noqa: PLR2004
            self._heard.popleft()

    @property
    def per_second(self) -> float | None:
        """How much is done in a second; None where it was not looked at for long enough, or nothing came of it."""
        if self._last is None:
            return None
        (start, before), (now, done) = self._heard[0], self._last
        return (done - before) / (now - start) if now - start >= _LEAST and done > before else None

    def left(self, more: float) -> float | None:
        """Return the seconds that so much more takes; None where the pace is not known."""
        pace = self.per_second
        return None if pace is None else max(0.0, more) / pace
