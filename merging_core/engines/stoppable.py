"""Work that whoever waits for it can leave behind: a decomposition of a large matrix is one call, and hears nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

__all__ = ["GRACE", "stoppable"]

T = TypeVar("T")

GRACE = 0.7
"""Seconds in which work that is told to stop may do so by itself."""
_LOOK = 0.1


def stoppable(work: Callable[[], T], check: Callable[[], None], stop: Callable[[], None]) -> T:
    """Do the work in a thread of its own and return what it returns; raise what it raises.

    `check()` is asked meanwhile. When it raises, or this thread is interrupted, the work is told to `stop()`; if it is
    not over a moment later, its thread is left to itself.

    >>> stoppable(lambda: 7, lambda: None, lambda: None)
    7
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  # handed to the caller
            done.set_exception(error)

    threading.Thread(target=run, name="basin-merge", daemon=True).start()
    try:
        while not wait([done], _LOOK).done:
            check()
    except BaseException:
        stop()
        wait([done], GRACE)
        raise
    return done.result()
