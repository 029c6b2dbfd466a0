"""What the page asks about exports: plan one, and start it; `app.job_desk` shows how it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.export import work
from app.export.planning import Planner
from app.export.table import Conditions
from app.hub.source import VisitorsHub
from app.job_desk import shown
from app.jobs import Job, Jobs
from app.ledger import Ledger
from app.live import Cancelled, Scheduler
from app.notices import Answer, answers, answers_in_turn
from app.state import StudioState, parse_state
from app.studio.messages import message_of
from app.studio.rows import label_of
from app.studio.workbench import Workbench
from merging_core import __version__
from merging_core.engines import Plan
from merging_core.recipes.resolving import references

__all__ = ["Exports"]

_LARGEST_SHARD = 2**53
_LARGEST_EXPORT = 8_000_000_000


class Exports:
    """Methods take a visitor's id and a message, and return an answer; none raises."""

    def __init__(
        self,
        workbench: Workbench,
        ledger: Ledger,
        scheduler: Scheduler,
        jobs: Jobs,
        *,
        zoo: Path,
        models: Path | None = None,
        uploads: Path | None = None,
        hub: VisitorsHub | None = None,
        learned: Path | None = None,
        data: Path | None,
        largest: int = _LARGEST_EXPORT,
        memory: int | None = None,
    ) -> None:
        self._workbench = workbench
        self._scheduler = scheduler
        self._jobs = jobs
        self._planner = Planner(workbench, ledger, zoo, models, data, largest, uploads, hub, learned, memory)

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {
            "export_plan": self.plan,
            "export_start": self.start,
        }

    @answers
    def plan(self, visitor: str, message: object) -> Answer:
        """Say what an export would be, and give the recipe in its forms."""
        state, shard_bytes = self._asked(message)
        plan, conditions = self._planner.plan(state, shard_bytes)
        rest = self._jobs.cut_off(visitor, _rest(plan, shard_bytes))
        shown = self._planner.shown(plan, _with(conditions, rest), shard_bytes)
        tested = self._planner.recorded(visitor, state) is not None
        return {"plan": {**shown, "test": tested, "begun": rest.share if rest is not None else None}}

    @answers_in_turn
    async def start(self, visitor: str, message: object) -> Answer:
        """Start an export; one that waits, runs or is done is that one, and one that was cut off goes on."""
        state, shard_bytes = self._asked(message)

        def begin(cancelled: Cancelled) -> Job:
            return self._begin(visitor, state, shard_bytes, cancelled)

        future = self._scheduler.submit(visitor, "export", "export", 0, begin)
        job = await asyncio.wrap_future(future)
        return {"job": shown(self._jobs, job)}

    def _begin(self, visitor: str, state: StudioState, shard_bytes: int | None, cancelled: Cancelled) -> Job:
        plan, conditions = self._planner.plan(state, shard_bytes)
        rest = _rest(plan, shard_bytes)
        _with(conditions, self._jobs.cut_off(visitor, rest)).check()
        payload = self._planner.payload(visitor, state, plan, shard_bytes, cancelled)
        return self._jobs.submit(
            visitor,
            title=label_of(state, self._workbench.families),
            work=work.NAME,
            payload=payload,
            key=f"export {plan.hash} {shard_bytes} {len(payload['results'])}",
            uses=references(plan.recipe),
            rest=rest,
            asked={"state": state.as_json(), "shard_bytes": shard_bytes},
        )

    def _asked(self, message: object) -> tuple[StudioState, int | None]:
        fields = message_of(
            message,
            {
                "state": (True, "state is an object", lambda value: isinstance(value, dict)),
                "shard_bytes": (False, "shard_bytes is a whole number of bytes, or null for one file", _is_size),
            },
        )
        return parse_state(fields["state"], self._workbench.families), fields["shard_bytes"]


def _rest(plan: Plan, shard_bytes: int | None) -> str:
    """Name what one export of this version writes, whatever its card says."""
    return f"export {__version__} {plan.hash} {shard_bytes}"


def _with(conditions: Conditions, rest: Job | None) -> Conditions:
    """Count what an earlier process had written of the same as free."""
    return replace(conditions, free=conditions.free + rest.bytes) if rest is not None else conditions


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_SHARD
