"""What the page asks about jobs of any kind: how one stands, stop it, delete it, list those there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.job_keeping import kept_until
from app.job_records import RESULT
from app.jobs import Job, Jobs
from app.notices import Answer, answers
from app.studio.messages import is_text, message_of
from merging_core.checkpoints.templates import folder_files

__all__ = ["JobDesk", "files_of", "shown"]


class JobDesk:
    """Methods take a visitor's id and a message, and return an answer; none raises."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {
            "job_status": self.status,
            "job_cancel": self.cancel,
            "job_delete": self.delete,
            "job_list": self.list,
        }

    @answers
    def status(self, visitor: str, message: object) -> Answer:
        """Say how a job stands."""
        return {"job": shown(self._jobs, self._jobs.get(visitor, _job_id(message)))}

    @answers
    def cancel(self, visitor: str, message: object) -> Answer:
        """Stop a job."""
        return {"job": shown(self._jobs, self._jobs.cancel(visitor, _job_id(message)))}

    @answers
    def delete(self, visitor: str, message: object) -> Answer:
        """Delete a job that has ended, with its files; list the others of its kind."""
        job = self._jobs.get(visitor, _job_id(message))
        self._jobs.forget(visitor, job.id)
        return {"jobs": [shown(self._jobs, other) for other in self._jobs.of(visitor, job.kind)]}

    @answers
    def list(self, visitor: str, message: object) -> Answer:
        """List the visitor's jobs, of one kind or of all, the newest first."""
        fields = message_of(message, {"kind": (False, "kind is a kind of jobs, or null for all", is_text(20))})
        return {"jobs": [shown(self._jobs, job) for job in self._jobs.of(visitor, fields["kind"])]}


def shown(jobs: Jobs, job: Job) -> dict[str, Any]:
    """Return a job as the page shows it."""
    result = job.result or {}
    return {
        "id": job.id,
        "kind": job.kind,
        "title": job.title,
        "state": job.state,
        "share": job.share,
        "what": job.what,
        "done": job.done,
        "standing": job.standing,
        "since": job.since,
        "ahead": jobs.ahead(job),
        "created": job.created,
        "finished": job.finished,
        "log": [{"when": when, "text": text} for when, text in job.log],
        "problems": list(job.problems),
        "name": str(result.get("name", "")),
        "hash": str(result.get("hash", "")),
        "result": result,
        "rest": {"until": kept_until(job, jobs.limits), "asked": job.asked} if job.is_rest else None,
        "files": [{"name": name, "bytes": path.stat().st_size} for name, path in files_of(jobs, job).items()],
    }


def files_of(jobs: Jobs, job: Job) -> dict[str, Path]:
    """Return the regular files that a job made, by name; none unless it is done."""
    if job.state != "done":
        return {}
    with jobs.reading(job.visitor, job.id) as folder:
        found = folder / RESULT
        if not found.is_dir():
            return {}
        return folder_files(found)


def _job_id(message: object) -> str:
    return str(message_of(message, {"job": (True, "job is the id of a job", is_text(64))})["job"])
