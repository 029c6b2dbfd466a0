"""Puts the merge that a visitor looks at into the library, with everything that is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from app.database import utc
from app.ledger import Ledger
from app.library.forms import Accuracy, kept
from app.library.result import Result, kept_numbers
from app.library.store import LibraryStore
from app.live import Cancelled, Scheduler
from app.own_family import family_named
from app.state import StudioState
from app.studio import pairs
from app.studio.rows import label_of
from app.studio.workbench import Workbench

__all__ = ["Keeper"]


class Keeper:
    """Measures what is not known yet, in its turn behind everything live, and saves it."""

    def __init__(
        self,
        workbench: Workbench,
        ledger: Ledger,
        store: LibraryStore,
        scheduler: Scheduler,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._workbench = workbench
        self._ledger = ledger
        self._store = store
        self._scheduler = scheduler
        self._now = now or (lambda: datetime.now(UTC))

    async def keep(
        self, visitor: str, state: StudioState, *, name: str = "", tags: Sequence[str] = ()
    ) -> tuple[str, bool]:
        """Save the merge of this state; return the result's id, and whether it is new to the visitor.

        Raises: `LibraryError` if the library is full; whatever the engine says of the recipe.
        """
        result = await self.measure(visitor, state)
        return self._store.save(visitor, result, name=name, tags=tags, test=self._test(visitor, state, result))

    async def measure(self, visitor: str, state: StudioState) -> Result:
        """Return the result of a state on the whole validation split, from what is remembered where it is."""

        def work(cancelled: Cancelled) -> Result:
            return self._measure(state, cancelled)

        return await asyncio.wrap_future(self._scheduler.submit(visitor, "library", "result", 0, work))

    def environment(self) -> dict[str, str]:
        """Return what a number depends on beside recipe and examples."""
        import torch

        description = self._workbench.description()
        return {
            "basin": str(description["version"]),
            "device": str(description["device"]),
            "torch": str(torch.__version__),
        }

    def _measure(self, state: StudioState, cancelled: Cancelled) -> Result:
        bench = self._workbench
        bench.named(state)
        scored = bench.accuracy(state, "validation", "full", cancelled)
        based = state.recipe.base is not None
        path = bench.path(state, False, cancelled) if based and state.path.kind == "lambda" else None
        return Result(
            family=state.family,
            label=label_of(state, bench.families),
            recipe=state.recipe.as_json(),
            pins=bench.pins(state),
            hash=bench.identity(state),
            evaluation=bench.evaluation(family_named(bench.families, state.family)),
            environment=self.environment(),
            measured=utc(self._now()),
            correct=pairs.pack(scored.correct),
            **kept_numbers(scored.numbers, path, bench.layers(state) if based else None),
        )

    def _test(self, visitor: str, state: StudioState, result: Result) -> dict[str, Any] | None:
        """Return the test score that this visitor has taken of the merge, and how many by now; never another's."""
        numbers = self._ledger.recorded(visitor, result.hash, result.evaluation)
        if numbers is None:
            return None
        tasks = family_named(self._workbench.families, state.family).tasks
        return {**kept(Accuracy, numbers), "test_scores": self._ledger.scores_taken(visitor, tasks)}
