"""Running a pure function over many examples in batches, on all cores and without their waiting for each other.

On a CPU one operation that is split over threads ends in a barrier, a few hundred of them a batch; when other programs
use the cores, each barrier waits for the slowest. Here a batch is computed by one thread from end to end and several
batches run side by side. On two busy cores, operations that were split took three to four times as long as one thread
alone, batches side by side two thirds as long; `python -m benchmarks.evaluation --only threads` measures both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import torch

from merging_core.cores import MAX_WORKERS, cores, single_threaded_pool
from merging_core.errors import CancelledError, Problem

__all__ = ["Batches", "Cancelled", "cut"]

Cancelled = Callable[[], bool]


class Batches:
    """Worker threads that compute batches, one core each; on an accelerator, the caller's own thread.

    `size`: examples a batch, about. Requests of several threads take turns: each has a few batches in flight at most.
    """

    def __init__(self, device: torch.device, size: int, workers: int | None = None) -> None:
        self.size = size
        wanted = workers or min(MAX_WORKERS, cores())
        self.workers = wanted if device.type == "cpu" else 1
        self._pool = single_threaded_pool(self.workers, "basin-evaluation") if device.type == "cpu" else None

    def count(self, n: int, size: int | None = None) -> int:
        """Return how many batches `n` examples make: near `size` each, and the same number for each worker."""
        return min(n, self.workers * max(1, round(n / ((size or self.size) * self.workers))))

    def run(
        self,
        function: Callable[[torch.Tensor], torch.Tensor],
        pieces: Sequence[torch.Tensor],
        cancelled: Cancelled | None = None,
        size: int | None = None,
    ) -> torch.Tensor:
        """Return `function` of all rows of `pieces`, `[n, …]` together, in order, without gradients.

        `size`: rows a batch, about, where these are heavier than others.
        `cancelled()` is asked in the caller's thread before each batch; CancelledError is raised when it says so.
        """
        outputs: list[torch.Tensor] = []
        waiting: deque[Future[torch.Tensor]] = deque()
        try:
            for batch in cut(pieces, self.count(sum(len(piece) for piece in pieces), size)):
                if cancelled is not None and cancelled():
                    raise CancelledError(Problem("an evaluation runs while its answer is wanted", "a newer request"))
                if self._pool is None:
                    outputs.append(_computed(function, batch))
                    continue
                if len(waiting) > self.workers:
                    outputs.append(waiting.popleft().result())
                waiting.append(self._pool.submit(_computed, function, batch))
            outputs.extend(future.result() for future in waiting)
        finally:
            for future in waiting:
                future.cancel()
        with torch.inference_mode():
            return torch.cat(outputs)


def cut(pieces: Sequence[torch.Tensor], count: int) -> list[list[torch.Tensor]]:
    """Cut the rows of `pieces` into `count` batches whose sizes differ by at most one; nothing is copied.

    >>> [[len(part) for part in batch] for batch in cut([torch.zeros(3), torch.zeros(4)], 2)]
    [[3, 1], [3]]
    """
    n = sum(len(piece) for piece in pieces)
    batches, start = [], 0
    for index in range(count):
        stop = -(-n * (index + 1) // count)
        batches.append(_rows(pieces, start, stop))
        start = stop
    return batches


def _rows(pieces: Sequence[torch.Tensor], start: int, stop: int) -> list[torch.Tensor]:
    found, offset = [], 0
    for piece in pieces:
        low, high = max(start - offset, 0), min(stop - offset, len(piece))
        if low < high:
            found.append(piece[low:high])
        offset += len(piece)
    return found


def _computed(function: Callable[[torch.Tensor], torch.Tensor], batch: list[torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode():
        return function(batch[0] if len(batch) == 1 else torch.cat(batch))
