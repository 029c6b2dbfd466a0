"""Work that may wait for a network, watched by a caller who may lose patience."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Meter", "Stopped", "attended"]

T = TypeVar("T")
_LOOK = 0.1


class Stopped(Exception):  # noqa: N818
    """The work was told to stop, and did."""


class Meter:
    """How far the work is: written by the one thread, read by the other."""

    def __init__(self) -> None:
        self._now = (0, "")

    def tell(self, done: int, what: str) -> None:
        """Say how many bytes are there, and what is being done."""
        self._now = (done, what)

    @property
    def now(self) -> tuple[int, str]:
        """What was told last."""
        return self._now


@dataclass
class _Result(Generic[T]):
    value: T | None = None
    error: BaseException | None = None


def attended(
    work: Callable[[Meter, Callable[[], bool]], T],
    progress: Callable[[int, str], None] | None,
    cancelled: Callable[[], bool] | None,
) -> T:
    """Do the work in a thread of its own, and meanwhile look after it in this one.

    `progress(bytes, what)` is called here, whenever something new was told. When `cancelled()` becomes true this raises
    Stopped at once; the thread ends at its next look, at the latest when a read that waits for the network gives up.

    >>> attended(lambda meter, stopped: 7, None, None)
    7
    """
    meter, stop, done = Meter(), threading.Event(), threading.Event()
    result: _Result[T] = _Result()

    def run() -> None:
        try:
            result.value = work(meter, stop.is_set)
        except BaseException as error:  # noqa: BLE001  # handed to the caller below
            result.error = error
        finally:
            done.set()

    threading.Thread(target=run, name="basin-download", daemon=True).start()
    told = meter.now
    try:
        while not done.wait(_LOOK):
            if cancelled is not None and cancelled():
                raise Stopped
            if progress is not None and meter.now != told:
                told = meter.now
                progress(*told)
    finally:
        stop.set()
    if result.error is not None:
        raise result.error
    return result.value  # type: ignore[return-value]  # set where there is no error
