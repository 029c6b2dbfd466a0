"""What a run does between two steps: ask whether to go on, and stand still as long as it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Literal

from merging_core.learning.events import Paused

__all__ = ["heeded"]

_WAIT = 0.05


def heeded(
    heed: Callable[[], Literal["go", "pause", "stop"]], step: int
) -> Generator[Paused, None, Literal["go", "stop"]]:
    """Ask once; where the answer is to pause, say so and wait until it is another. Returns go or stop.

    >>> wishes = iter(["pause", "stop"])
    >>> [event.kind for event in heeded(lambda: next(wishes), 3)]
    ['paused']
    """
    wish = heed()
    if wish == "pause":
        yield Paused(step)
        while (wish := heed()) == "pause":
            time.sleep(_WAIT)
    return "stop" if wish == "stop" else "go"
