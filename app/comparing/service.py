"""What the page asks about comparisons: start one, and see the rows that are there."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.charts import comparison as comparison_chart
from app.comparing import work
from app.families import Family, plain
from app.hub.source import VisitorsHub
from app.job_desk import shown
from app.jobs import Job, Jobs
from app.live import Cancelled, Scheduler
from app.notices import Answer, answers, answers_in_turn
from app.own_family import family_named
from app.settings import Settings
from app.state import StudioState, parse_state
from app.studio.here import check_here
from app.studio.messages import is_text, message_of
from app.studio.workbench import Workbench
from merging_core.errors import EvaluationError, Problem
from merging_core.recipes.resolving import references

__all__ = ["KIND", "Comparisons"]

KIND = "compare"
"""The kind of these jobs."""
_MOST_ROWS = 10_000


class Comparisons:
    """Methods take a visitor's id and a message, and return an answer; none raises."""

    def __init__(
        self,
        workbench: Workbench,
        errands: Scheduler,
        jobs: Jobs,
        settings: Settings,
        *,
        uploads: Path | None = None,
        hub: VisitorsHub | None = None,
    ) -> None:
        self._workbench = workbench
        self._errands = errands
        self._jobs = jobs
        self._settings = settings
        self._uploads = uploads
        self._hub = hub

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {"comparison_start": self.start, "comparison_rows": self.rows}

    @answers_in_turn
    async def start(self, visitor: str, message: object) -> Answer:
        """Compare the methods on the state's experts; the same again is the same job while it runs or is whole."""
        fields = message_of(
            message,
            {
                "state": (True, "state is an object", lambda value: isinstance(value, dict)),
                "search": (False, "search is true or false", lambda value: isinstance(value, bool)),
            },
        )
        state = parse_state(fields["state"], self._workbench.families)

        def begin(cancelled: Cancelled) -> Job:
            return self._begin(visitor, state, bool(fields["search"]))

        job = await asyncio.wrap_future(self._errands.submit(visitor, "comparison", "comparison", 0, begin))
        return {"job": shown(self._jobs, job)}

    @answers
    def rows(self, visitor: str, message: object) -> Answer:
        """Say how a comparison stands, with its rows from a place on, and the chart of all that are there."""
        fields = message_of(
            message,
            {
                "job": (True, "job is the id of a job", is_text(64)),
                "after": (False, "after is how many rows are there already", _is_count),
            },
        )
        job = self._jobs.get(visitor, fields["job"])
        with self._jobs.reading(visitor, job.id) as folder:
            lines = list(work.rows_in(folder)) if job.kind == KIND else []
        head, rows = (lines[0], lines[1:]) if lines else (None, [])
        after = fields["after"] or 0
        answer: Answer = {
            "job": shown(self._jobs, job),
            "head": head,
            "rows": rows[after:],
            "after": min(after, len(rows)),
        }
        figure = comparison_chart.figure_of({"head": head, "rows": rows}) if rows[after:] else None
        return {**answer, "figure": figure}

    def _begin(self, visitor: str, state: StudioState, search: bool) -> Job:
        family = family_named(self._workbench.families, state.family)
        payload = self._payload(state, family, search)
        key = f"compare {_digest(payload)}"
        for job in self._jobs.of(visitor, KIND):
            if job.key == key and job.state == "done" and not (job.result or {}).get("complete"):
                self._jobs.forget(visitor, job.id)
        return self._jobs.submit(
            visitor,
            title=payload["title"],
            work=work.NAME,
            payload=payload,
            key=key,
            kind=KIND,
            uses=(*([payload["base"]] if payload["base"] else []), *payload["models"]),
        )

    def _payload(self, state: StudioState, family: Family, search: bool) -> dict[str, Any]:
        """Check everything that the caller may read, and return what the job needs, as plain JSON.

        Raises: `CheckpointError` naming what is not downloaded, `EvaluationError` where there is nothing to measure on.
        """
        models = self._workbench.models()
        if models is None or not family.tasks:
            fix = "choose one under Choose models"
            raise EvaluationError(Problem("methods are compared on tasks", "a family without one", "", fix))
        check_here(references(state.recipe), models.engine.opened)
        models.tasks_of(family)
        settings, merged = self._settings, [entry.ref for entry in state.recipe.models]
        chosen = {plain(ref): ref for ref in merged}
        experts = {one.task: chosen[plain(one.ref)] for one in family.experts if one.task and plain(one.ref) in chosen}
        return {
            "title": _title(family, merged, search),
            "state": state.as_json(),
            "base": state.recipe.base,
            "models": merged,
            "experts": experts,
            "tasks": list(family.tasks),
            "specs": [spec.as_json() for spec in family.specs],
            "tasks_root": str(models.shelf.root.absolute()),
            "search": search,
            "evaluation": self._workbench.evaluation(family),
            "zoo": str(settings.zoo.absolute()),
            "local": str(settings.models.absolute()) if settings.models is not None else None,
            "uploads": str(self._uploads.absolute()) if self._uploads is not None else None,
            "hub_cache": str(self._hub.cache.absolute()) if self._hub is not None else None,
            "device": models.engine.device.type,
            "memory": settings.memory_budget,
            "seconds": self._jobs.limits.seconds,
        }


def _title(family: Family, models: list[str], search: bool) -> str:
    titles = [family.title_of(ref) for ref in models]
    few = " and ".join(titles) if len(titles) < 3 else f"{len(titles)} experts"
    return f"All methods on {few}{', with a search' if search else ''}"


def _digest(payload: dict[str, Any]) -> str:
    """Return what tells one comparison from another: what is merged and measured, not what else the state shows."""
    asked = {key: payload[key] for key in ("base", "models", "experts", "tasks", "search", "evaluation")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_ROWS
