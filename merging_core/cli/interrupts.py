"""Ctrl-C as something to be asked about, so that a step is never cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["interrupts"]


@contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets; a second one ends at once."""
    event = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def heard(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    alone = threading.current_thread() is threading.main_thread()
    if alone:
        signal.signal(signal.SIGINT, heard)
    try:
        yield event
    finally:
        if alone:
            signal.signal(signal.SIGINT, before)
