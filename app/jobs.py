"""Jobs that belong to the server: they run in a worker process and survive a closed tab.

A job has a folder `<data>/jobs/<id>`: `job.json` says whose it is and how it stands, everything else is the work's.
Whatever does not end well leaves nothing but `job.json`, unless its process was killed, or its server stopped, and the
work can be gone on with: then what was written is kept for some hours, and asking for the same goes on with it. Jobs of
one lane run one at a time, the oldest first. A visitor has few waiting, so that nobody waits long. A job that waited or
ran when the server stopped is said to have been interrupted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from app import worker
from app.job_ends import killed, no_folder, no_process, said_with, stopped, too_long
from app.job_keeping import check_places, lane_of, timestamp, to_drop
from app.job_records import Job, JobFolder, Limits
from app.live import BusyError
from app.notices import answer_for
from app.processes import process_of
from merging_core.errors import BasinError, Problem

__all__ = ["Job", "JobError", "Jobs", "Limits"]

_LOOK_EVERY = 0.05
_CLEAN_EVERY = 600.0
_LONGEST_LOG = 200
_LOG = logging.getLogger("basin")


class JobError(BasinError):
    """There is no such job for this visitor."""


class Jobs:
    """Takes jobs, runs them one after the other, and keeps their results for a while.

    `grace`: seconds that work may take to stop when it is asked to, before its process is ended.
    """

    def __init__(
        self,
        data: Path | None,
        *,
        limits: Limits | None = None,
        grace: float = 2.0,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._grace = grace
        self._now = now or (lambda: datetime.now(UTC))
        self._store = JobFolder(data)
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._payloads: dict[str, tuple[str, Any, str | None]] = {}
        self._stopping: set[str] = set()
        self._held: dict[str, int] = {}
        self._opened = self._closed = False
        self._threads: dict[str, threading.Thread] = {}

    def submit(
        self,
        visitor: str,
        *,
        title: str,
        work: str,
        payload: Any,
        key: str,
        kind: str = "export",
        secret: str | None = None,
        uses: tuple[str, ...] = (),
        rest: str = "",
        asked: dict[str, Any] | None = None,
    ) -> Job:
        """Put a job at the end of its lane; `work` is `module:function`, its payload plain JSON.

        `uses`: references to what must stay in place until the job has ended (`used`).
        `secret`: what the work finds as `reporter.secret`, such as a token; it is never written down.
        `rest`: names work whose result grows as `merging_core` writes it, to be gone on with where its process was
        killed; `asked` is what the page sends to ask for it again.

        A visitor's job of the same `key` that waits, runs or is done is returned instead: asking twice is one job. One
        of the same `rest` that was cut off is put into its lane again.

        Raises: `BusyError` if the visitor, or the server, has too many waiting.
        """
        with self._changed:
            self._open()
            mine = [job for job in self._jobs.values() if job.visitor == visitor]
            for job in mine:
                if job.key == key and job.state in ("queued", "running", "done"):
                    return job
            if self._closed:
                raise BusyError(Problem("the server is running", "the end of it", "", "try again in a moment"))
            check_places(mine, self._jobs.values(), self.limits)
            again = self.cut_off(visitor, rest)
            if again is None:
                self._clean()
                job = self._create(visitor, title, key, kind, uses=uses, rest=rest, asked=asked)
            else:
                job = self._put_back(again, title=title, key=key, uses=uses, asked=asked)
            self._payloads[job.id] = (work, payload, secret)
            self._attend(lane_of(kind))
            return job

    def cut_off(self, visitor: str, rest: str) -> Job | None:
        """Return the visitor's job of this work that was cut off and can be gone on with."""
        with self._changed:
            self._open()
            mine = (job for job in self._jobs.values() if job.visitor == visitor and job.is_rest)
            return next((job for job in mine if job.rest == rest), None)

    def get(self, visitor: str, id_: str) -> Job:
        """Return a job of this visitor.

        Raises: `JobError`, in the same words whether it is unknown or somebody else's.
        """
        with self._changed:
            self._open()
            job = self._jobs.get(id_)
        if job is None or job.visitor != visitor:
            raise JobError(Problem("a job is one of yours and still kept", "another one", "job", "start it again"))
        return job

    def of(self, visitor: str, kind: str | None = None) -> tuple[Job, ...]:
        """Return the jobs of this visitor, of one kind or of all, the newest first."""
        with self._changed:
            self._open()
            mine = [job for job in reversed(self._jobs.values()) if job.visitor == visitor]
            return tuple(job for job in mine if kind in (None, job.kind))

    def used(self) -> frozenset[str]:
        """Return the references that jobs which wait or run need."""
        with self._changed:
            unfinished = (job for job in self._jobs.values() if job.state in ("queued", "running"))
            return frozenset(ref for job in unfinished for ref in job.uses)

    def ahead(self, job: Job) -> int:
        """Return how many jobs run or wait before this one, in its lane."""
        with self._changed:
            lane = [other for other in self._jobs.values() if lane_of(other.kind) == lane_of(job.kind)]
            ids = [other.id for other in lane if other.state in ("queued", "running")]
            return ids.index(job.id) if job.id in ids else 0

    def cancel(self, visitor: str, id_: str) -> Job:
        """Stop a job, wherever it stands; one that has ended stays as it is. Raises `JobError`."""
        job = self.get(visitor, id_)
        with self._changed:
            job = self._jobs.get(id_, job)
            if job.state == "queued":
                job = self._end(job, "cancelled")
            elif job.state == "running":
                self._stopping.add(id_)
        return job

    def forget(self, visitor: str, id_: str) -> None:
        """Delete a job that has ended, with what it made. Raises `JobError`, `BusyError` while it runs or is read."""
        job = self.get(visitor, id_)
        with self._changed:
            if job.state in ("queued", "running") or self._held.get(id_):
                raise BusyError(Problem("a job that is deleted has ended and is not read", job.state, "job"))
            self._drop(job)

    @contextmanager
    def reading(self, visitor: str, id_: str) -> Iterator[Path]:
        """Keep the files of a job in place while they are read; gives the job's folder. Raises `JobError`."""
        with self._changed:
            job = self.get(visitor, id_)
            self._held[id_] = self._held.get(id_, 0) + 1
        try:
            yield self._store.path(job.id)
        finally:
            with self._changed:
                self._held[id_] -= 1
                if not self._held[id_]:
                    del self._held[id_]

    def close(self) -> None:
        """Stop working; what waits or runs is interrupted."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads.values():
            thread.join(timeout=10)
        with self._changed:
            for job in list(self._jobs.values()):
                if job.state in ("queued", "running"):
                    self._interrupt(job)
            self._store.close()

    def open(self) -> None:
        """Read what an earlier server left, and let go what is too old; from then on that is done by itself."""
        with self._changed:
            self._open()
            if any(job.is_rest for job in self._jobs.values()):
                self._attend("machine")

    def _open(self) -> None:
        """Read what an earlier server left, once."""
        if self._opened:
            return
        self._opened = True
        for job in self._store.load():
            self._jobs[job.id] = job
            if job.state in ("queued", "running"):
                self._interrupt(job)
        self._clean()

    def _create(self, visitor: str, title: str, key: str, kind: str, **more: Any) -> Job:
        try:
            job = self._store.create(visitor, title, key, kind, self._now(), **more)
        except OSError as error:
            raise BusyError(no_folder(error)) from error
        self._jobs[job.id] = job
        return job

    def _put_back(self, job: Job, **changes: Any) -> Job:
        """Put a job that was cut off at the end of its lane, with what it had written."""
        del self._jobs[job.id]
        begun = job.changed(state="queued", created=timestamp(self._now()), started="", finished="", problems=())
        return self._keep(begun.changed(share=0.0, since=0.0, done=0, bytes=0, **changes))

    def _attend(self, lane: str) -> None:
        """See to it that somebody serves a lane."""
        if lane not in self._threads:
            name = f"basin-jobs-{lane}"
            self._threads[lane] = threading.Thread(target=self._serve, args=(lane,), name=name, daemon=True)
            self._threads[lane].start()
        self._changed.notify_all()

    def _waiting_in(self, lane: str) -> Job | None:
        waiting = (job for job in self._jobs.values() if job.state == "queued" and lane_of(job.kind) == lane)
        return next(waiting, None)

    def _serve(self, lane: str) -> None:
        while True:
            with self._changed:
                while not self._closed and self._waiting_in(lane) is None:
                    if not self._changed.wait(_CLEAN_EVERY):
                        self._clean()
                job = self._waiting_in(lane)
                if self._closed or job is None:
                    return
                job = self._keep(job.changed(state="running", started=timestamp(self._now())))
                work, payload, secret = self._payloads.pop(job.id)
            try:
                self._run(job, work, payload, secret)
            except Exception as error:
                problems = tuple(answer_for(error)["problems"])
                with self._changed:
                    self._end(self._jobs[job.id], "failed", problems=problems)
            with self._changed:
                self._clean()

    def _run(self, job: Job, work: str, payload: Any, secret: str | None) -> None:
        """Start the process, hear it out, and write down how it ended."""
        arguments = (work, payload, secret, str(self._store.path(job.id)))
        process, here, there = process_of(worker.run, arguments, f"basin-job-{job.id[:8]}")
        with here:
            try:
                process.start()
            except OSError as error:
                there.close()
                with self._changed:
                    self._end(self._jobs[job.id], "failed", problems=(no_process(error).as_json(),))
                return
            there.close()
            outcome = self._hear(job.id, process, here)
        process.join(self._grace)
        if process.is_alive():
            process.kill()
            process.join()
        with self._changed:
            self._finish(job.id, outcome, process.exitcode)
        process.close()

    def _hear(self, id_: str, process: BaseProcess, here: Connection) -> tuple[Any, ...]:
        """Read what the process says until it ends; ask it to stop, then make it stop, when it is no longer wanted."""
        outcome: tuple[Any, ...] = ()
        begun = time.monotonic()
        asked: float | None = None
        while True:
            try:
                if here.poll(_LOOK_EVERY):
                    message = here.recv()
                    if message[0] in ("done", "failed", "cancelled"):
                        outcome = outcome or message
                    else:
                        self._note(id_, message)
            except (EOFError, OSError):
                return outcome
            now = time.monotonic()
            late = now - begun > self.limits.seconds
            if self._closed and self._jobs[id_].rest:
                process.kill()
            elif asked is None and (self._closed or late or id_ in self._stopping):
                asked = now
                with suppress(OSError):
                    here.send(worker.CANCEL)
                if late:
                    outcome = ("failed", [too_long(self.limits).as_json()])
            elif asked is not None and now - asked > (0.2 if self._closed else self._grace):
                process.kill()

    def _note(self, id_: str, message: tuple[Any, ...]) -> None:
        with self._changed:
            job = self._jobs[id_]
            if message[0] == "progress":
                told = dict(zip(("share", "what", "done", "standing"), message[1:], strict=True))
                self._jobs[id_] = job.changed(**{**told, "share": max(job.share, min(1.0, told["share"]))})
            elif message[0] == "since":
                self._jobs[id_] = job.changed(since=message[1])
            elif message[0] == "left":
                self._keep(job.changed(left=message[1]))
            else:
                self._jobs[id_] = job.logged(timestamp(self._now()), message[1], _LONGEST_LOG)

    def _finish(self, id_: str, outcome: tuple[Any, ...], status: int | None) -> None:
        job = self._jobs[id_]
        kind = outcome[0] if outcome else ""
        if kind == "done":
            self._end(job.changed(share=1.0), "done", result=outcome[1])
        elif kind == "failed":
            self._end(job, "failed", problems=tuple(outcome[1]))
        elif id_ in self._stopping:
            self._end(job, "cancelled")
        elif self._closed:
            self._interrupt(job)
        else:
            self._cut_off(job, killed(status, job.kind))
        self._stopping.discard(id_)

    def _interrupt(self, job: Job) -> None:
        self._cut_off(job, stopped(job.kind))

    def _cut_off(self, job: Job, problem: Problem) -> None:
        """End a job whose process was killed; what it had written stays where its work can be gone on with."""
        found = self._store.remains(job.id) if job.rest else None
        job = job.changed(share=found.share) if found else job
        problems = (said_with(found, problem, self.limits).as_json(),)
        self._end(job, "failed", problems=problems, kept=found.nbytes if found else 0)

    def _end(
        self,
        job: Job,
        state: str,
        *,
        problems: tuple[dict[str, str], ...] = (),
        result: dict[str, Any] | None = None,
        kept: int = 0,
    ) -> Job:
        if state != "done":
            if not kept:
                self._store.sweep(job.id)
            problems = (*problems, *(one for one in job.left if one not in problems))
        ended = job.logged(timestamp(self._now()), state, _LONGEST_LOG)
        self._payloads.pop(job.id, None)
        return self._keep(
            ended.changed(
                state=state,
                what="",
                standing=None,
                problems=problems,
                left=(),
                result=result,
                finished=timestamp(self._now()),
                bytes=self._store.size(job.id) if state == "done" else kept,
            )
        )

    def _keep(self, job: Job) -> Job:
        self._jobs[job.id] = job
        try:
            self._store.write(job)
        except OSError as error:
            _LOG.error("the record of a job could not be written: %s", error.strerror)
        return job

    def _clean(self) -> None:
        """Delete what is too old, too many of one visitor, or too much; never what is read."""
        ended = [
            job for job in self._jobs.values() if job.state not in ("queued", "running") and job.id not in self._held
        ]
        for job in to_drop(ended, self.limits, self._now()):
            self._drop(job)

    def _drop(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        self._store.delete(job.id)
