"""What stays in memory between two requests: a least-recently-used store under a budget of bytes.

The live engine keeps flat vectors, thresholds and stages here. Values are shared between visitors and read-only by
agreement; the store never copies them. Whoever holds a value keeps it alive, so eviction only drops the store's own
hold on it. A value that several threads ask for at once is built once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

import torch

__all__ = ["LINE", "Residency", "nbytes"]

LINE = 4
"""Values that are kept of one line."""
_MOST_LINES = 256
"""Lines that are remembered before those without a value are forgotten."""

Value = TypeVar("Value")


def nbytes(value: object) -> int:
    """Count the bytes of every tensor in `value` (tensors, and tuples, lists, dicts or dataclass-free nests of them).

    >>> nbytes((torch.zeros(3), {"a": torch.zeros(2, dtype=torch.float64)}))
    28
    """
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(nbytes(part) for part in value.values())
    if isinstance(value, tuple | list):
        return sum(nbytes(part) for part in value)
    return 0


class Residency:
    """Keep values by key while their bytes fit the budget; drop the least recently used first.

    A value larger than the whole budget is built and returned, not kept.

    >>> store = Residency(budget=8)
    >>> _ = store.get("a", lambda: torch.zeros(1)), store.get("b", lambda: torch.zeros(1))
    >>> _ = store.get("a", lambda: torch.ones(1)), store.get("c", lambda: torch.zeros(1))
    >>> sorted(store.held()), store.used
    (['a', 'c'], 8)
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lines: dict[Hashable, list[Hashable]] = {}
        self._building: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes held now; never more than the budget."""
        with self._lock:
            return self._used

    def held(self) -> tuple[Hashable, ...]:
        """Return the keys held now, least recently used first."""
        with self._lock:
            return tuple(self._values)

    def get(
        self,
        key: Hashable,
        build: Callable[[], Value],
        size: Callable[[Value], int] = nbytes,
        line: Hashable | None = None,
    ) -> Value:
        """Return the value of `key`, building and keeping it if it is not here.

        Of the values of one `line`, such as one expert under the masks of a moving slider, only the last `LINE` are
        kept: a system clears every page of memory that was not used before, which takes longer than the mask itself.
        An exception of `build` reaches the caller and nothing is kept; the next caller tries again.
        """
        while True:
            with self._lock:
                held = self._touch(key)
                if held is not None:
                    return cast(Value, held[0])
                gate = self._building.setdefault(key, threading.Lock())
            with gate:
                with self._lock:
                    held = self._touch(key)
                    if held is not None:
                        return cast(Value, held[0])
                    if self._building.get(key) is not gate:
                        continue
                try:
                    value = build()
                    self._keep(key, value, size(value), line)
                    return value
                finally:
                    with self._lock:
                        self._building.pop(key, None)

    def peek(self, key: Hashable) -> object | None:
        """Return the value of `key` if it is here, without building it and without counting as a use."""
        with self._lock:
            held = self._values.get(key)
            return None if held is None else cast(object, held[0])

    def _touch(self, key: Hashable) -> tuple[Any, int] | None:
        held = self._values.get(key)
        if held is not None:
            self._values.move_to_end(key)
        return held

    def _keep(self, key: Hashable, value: object, size: int, line: Hashable | None) -> None:
        if size > self.budget:
            return
        with self._lock:
            self._values[key] = (value, size)
            self._used += size
            if line is not None:
                members = [one for one in self._lines.get(line, []) if one in self._values]
                self._lines[line] = [*members, key][-LINE:]
                for one in [*members, key][:-LINE]:
                    self._used -= self._values.pop(one)[1]
                if len(self._lines) > _MOST_LINES:
                    self._lines = {name: ones for name, ones in self._lines.items() if self._values.keys() & set(ones)}
            while self._used > self.budget:
                _, (_, freed) = self._values.popitem(last=False)
                self._used -= freed
