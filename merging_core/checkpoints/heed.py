"""Who waits while a whole checkpoint is read for its digest or to be compared: hears of it, and may end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Hears", "heard", "tell"]

Hears = Callable[[str, int, int], None]
"""`hears(label, done, total)`: bytes of a checkpoint; raises CancelledError where it is no longer wanted."""

_HEARS: ContextVar[Hears | None] = ContextVar("hears", default=None)


@contextmanager
def heard(hears: Hears) -> Iterator[None]:
    """Let somebody hear what is read inside the block, by this thread.

    >>> with heard(lambda label, done, total: print(label, done, total)):
    ...     tell("file:expert", 1, 4)
    file:expert 1 4
    >>> tell("file:expert", 2, 4)
    """
    before = _HEARS.set(hears)
    try:
        yield
    finally:
        _HEARS.reset(before)


def tell(label: str, done: int, total: int) -> None:
    """Say how much of a checkpoint was read, to whoever hears it; raises as that does."""
    hears = _HEARS.get()
    if hears is not None:
        hears(label, done, total)
