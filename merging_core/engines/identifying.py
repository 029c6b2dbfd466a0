"""Finding out what the checkpoints of a plan hold, which takes as long as reading them: with progress, until told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from merging_core.checkpoints.heed import heard
from merging_core.engines.pieces import Cancelled, cancellation
from merging_core.engines.plan import Plan
from merging_core.engines.progress import Progress, Standing
from merging_core.pace import Pace

__all__ = ["identify", "watched"]

_TOLD_EVERY = 0.2


def identify(plan: Plan, progress: Progress | None = None, cancelled: Cancelled | None = None) -> str:
    """Return the plan's hash, reading every byte of the models that are not known yet (`Plan.unidentified`).

    Raises CancelledError when `cancelled()` becomes true, CheckpointError where a file changed.
    """
    with watched(progress, cancelled):
        return plan.hash


@contextmanager
def watched(
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Tell how far each checkpoint is that is read as a whole inside the block, by this thread.

    Inside, CancelledError is raised when `cancelled()` becomes true.
    """
    label, pace, told = "", Pace(clock), -_TOLD_EVERY

    def hears(now: str, done: int, total: int) -> None:
        nonlocal label, pace, told
        if cancelled is not None and cancelled():
            raise cancellation()
        if progress is None:
            return
        if now != label:
            label, pace, told = now, Pace(clock), -_TOLD_EVERY
        pace.hear(done)
        if done == total or clock() - told >= _TOLD_EVERY:
            told = clock()
            left = pace.left(total - done)
            progress(Standing(done, total, f"content of {label}", rate=pace.per_second, left=left, stage="content"))

    with heard(hears):
        yield
