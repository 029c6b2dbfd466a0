"""Studies that go on in a worker process: begun with what looking has measured, gone on with after a stop."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from app.geometry import work
from app.geometry.memories import Memories
from app.geometry.question import Question, references_in
from app.hub.source import VisitorsHub
from app.jobs import Job, Jobs
from app.settings import Settings
from app.studio.workbench import Models

__all__ = ["KIND", "StudyJobs"]

KIND = "study"
"""The kind of these jobs."""


class StudyJobs:
    """Puts studies into the lane of studies. `uploads`, `learned`: folders of what visitors brought and learned."""

    def __init__(
        self,
        models: Models,
        memories: Memories,
        jobs: Jobs,
        settings: Settings,
        *,
        uploads: Path | None = None,
        learned: Path | None = None,
        hub: VisitorsHub | None = None,
    ) -> None:
        self._models = models
        self._memories = memories
        self._jobs = jobs
        self._settings = settings
        self._uploads = uploads
        self._learned = learned
        self._hub = hub

    def begin(
        self, visitor: str, question: Question, state: dict[str, Any], identity: str, *, transductive: bool = False
    ) -> Job:
        """Begin a study, or return the job that is at it already; raises BusyError where too many wait.

        Everything that the visitor may read was checked before.
        """
        spec = question.spec
        key = f"study {_digest(identity, spec.as_json())}"
        for job in self._jobs.of(visitor, KIND):
            if job.key == key and job.state in ("queued", "running"):
                return job
            if job.key == key and job.state == "done":
                if (job.result or {}).get("complete"):
                    return job
                self._jobs.forget(visitor, job.id)
        return self._jobs.submit(
            visitor,
            title=question.title,
            work=work.NAME,
            payload={**self._payload(question, identity), "transductive": transductive},
            key=key,
            kind=KIND,
            uses=references_in(spec),
            asked={"state": state, "spec": spec.as_json(), "identity": identity},
        )

    def _payload(self, question: Question, identity: str) -> dict[str, Any]:
        settings, models = self._settings, self._models
        return {
            "title": question.title,
            "spec": question.spec.as_json(),
            "identity": identity,
            "memory": str(self._memories.handed_over(identity).absolute()),
            "specs": [spec.as_json() for spec in question.family.specs],
            "tasks_root": str(models.shelf.root.absolute()),
            "zoo": str(settings.zoo.absolute()),
            "models": _text(settings.models),
            "uploads": _text(self._uploads),
            "hub_cache": _text(self._hub.cache if self._hub is not None else None),
            "learned": _text(self._learned),
            "device": models.engine.device.type,
            "budget": settings.memory_budget,
            "seconds": self._jobs.limits.seconds,
        }


def _digest(identity: str, spec: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps([identity, spec], sort_keys=True).encode()).hexdigest()


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
