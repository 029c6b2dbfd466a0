"""Work that runs ahead of whoever takes its answers: side by side, a bounded number at a time, answers in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

Item = TypeVar("Item")
Found = TypeVar("Found")


def ahead(
    pool: ThreadPoolExecutor | None, many: int, function: Callable[[Item], Found], items: Iterable[Item]
) -> Iterator[Found]:
    """Yield function(item) for each item, in order; up to `many` are worked on or wait to be taken.

    The first exception of any is raised where its answer would be. Without a pool the caller does everything.

    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(ahead(pool, 3, abs, [-1, 2, -3, 4]))
    [1, 2, 3, 4]
    """
    if pool is None:
        yield from map(function, items)
        return
    waiting = deque[Future[Found]]()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= many:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
