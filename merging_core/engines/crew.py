"""Independent pieces of a stage, side by side on all cores of a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import torch

from merging_core.cores import MAX_WORKERS, cores, single_threaded_pool

__all__ = ["Crew", "Each", "in_turn"]

Item = TypeVar("Item")
Found = TypeVar("Found")

_PARTS = 4
"""Parts that each worker gets, so that one that is held up does not hold up all."""


class Each(Protocol):
    """Applies a function to every item and gives the answers in the order of the items."""

    def __call__(self, function: Callable[[Item], Found], items: Iterable[Item], /) -> Iterable[Found]:
        """Return function(item) for each item, in order."""


def in_turn(function: Callable[[Item], Found], items: Iterable[Item], /) -> Iterator[Found]:
    """Apply a function to one item after the other.

    >>> list(in_turn(abs, [-1, 2]))
    [1, 2]
    """
    return map(function, items)


class Crew:
    """Workers of one core each; on an accelerator, or with one core, the caller's own thread does everything.

    >>> Crew(torch.device("cpu"), workers=2)(abs, [-1, 2, -3])
    [1, 2, 3]
    """

    def __init__(self, device: torch.device, workers: int | None = None) -> None:
        wanted = min(MAX_WORKERS, cores()) if workers is None else workers
        self._workers = wanted if device.type == "cpu" else 1
        self._pool = single_threaded_pool(self._workers, "basin-merging") if self._workers > 1 else None
        self._alone = self._pool
        self._on_cpu = device.type == "cpu"
        self._lock = threading.Lock()

    def __call__(self, function: Callable[[Item], Found], items: Iterable[Item], /) -> list[Found]:
        """Return function(item) for each item, in order; the first exception of any is raised."""
        every = list(items)
        if self._pool is None or len(every) < 2:
            return [function(item) for item in every]
        size = -(-len(every) // (_PARTS * self._workers))
        parts = [every[start : start + size] for start in range(0, len(every), size)]
        futures = [self._pool.submit(_all, function, part) for part in parts]
        return [found for future in futures for found in future.result()]

    def on_one_core(self, function: Callable[[Item], Found], items: Iterable[Item], /) -> list[Found]:
        """Return function(item) for each item, in order, each on one core of a CPU from end to end.

        Products and decompositions round differently on several cores; like this they do not depend on their number.

        >>> Crew(torch.device("cpu"), workers=1).on_one_core(lambda _: torch.get_num_threads(), [0])
        [1]
        """
        if not self._on_cpu:
            return [function(item) for item in items]
        with self._lock:
            if self._alone is None:
                self._alone = single_threaded_pool(1, "basin-merging")
        futures = [self._alone.submit(function, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Let go of the workers."""
        for pool in {self._pool, self._alone} - {None}:
            pool.shutdown(wait=False, cancel_futures=True)  # type: ignore[union-attr]


def _all(function: Callable[[Item], Found], items: Sequence[Item]) -> list[Found]:
    return [function(item) for item in items]
