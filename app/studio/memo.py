"""A bounded memory of results: each key is computed once, also when several threads ask at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from merging_core.errors import CancelledError, Problem

__all__ = ["Memo"]

_PATIENCE = 0.02
"""Seconds between two looks at whether a result is still wanted."""

T = TypeVar("T")


class Memo(Generic[T]):
    """The last `size` values by key.

    A computation that raises is not remembered; the next who asks computes again.

    >>> memo: Memo[int] = Memo(2)
    >>> memo.get("a", lambda: 1), memo.get("a", lambda: 2), memo.known("b")
    (1, 1, None)
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def known(self, key: Hashable) -> T | None:
        """Return the value of `key` if it is remembered."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def keep(self, key: Hashable, value: T) -> T:
        """Remember a value, forgetting the one that was not asked for longest."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value

    def get(self, key: Hashable, compute: Callable[[], T], cancelled: Callable[[], bool] = lambda: False) -> T:
        """Return the value of `key`, computing it if nobody has; others who ask meanwhile wait for it.

        Raises: `CancelledError` if `cancelled()` becomes true while it waits.
        """
        value = self.known(key)
        if value is not None:
            return value
        with self._lock:
            gate = self._locks.setdefault(key, threading.Lock())
        while not gate.acquire(timeout=_PATIENCE):
            if cancelled():
                raise CancelledError(Problem("a result is waited for while it is wanted", "a newer request"))
        try:
            value = self.known(key)
            return value if value is not None else self.keep(key, compute())
        finally:
            gate.release()
            with self._lock:
                if self._locks.get(key) is gate and not gate.locked():
                    del self._locks[key]
