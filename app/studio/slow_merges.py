"""Merges that take long are made where no slider waits for them: one at a time, the newest of a page first."""

from __future__ import annotations

import asyncio

from app.live import Cancelled, Scheduler
from app.state import StudioState
from app.studio.workbench import Workbench

__all__ = ["SlowMerges"]

_AT_ONCE = 0.3
"""Seconds that a merge may take among the sliders of everybody; a slower one has a thread of its own."""


class SlowMerges:
    """Whoever is about to work on a merge in a line that sliders wait in asks here first."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self._scheduler = Scheduler()

    async def ready(self, visitor: str, page: str, kind: str, sequence: int, state: StudioState) -> None:
        """Return when the state can be merged at once.

        Raises: what merging says of the state; `CancelledError` if a newer request of the page took its place.
        """
        if await asyncio.to_thread(self._workbench.waiting, state) <= _AT_ONCE:
            return

        def work(cancelled: Cancelled) -> None:
            self._workbench.prepare(state, cancelled)

        await asyncio.wrap_future(self._scheduler.submit(visitor, page, kind, sequence, work))

    def close(self) -> None:
        """Stop working."""
        self._scheduler.close()
