"""The scheduler of live requests: bounded, fair between visitors, newest request wins.

Server functions pass by Gradio's queue, so this is what keeps one visitor's slider from starving the others:

- *Fair*: waiting visitors take turns, whatever number of requests each has waiting. Within a visitor, the more urgent
  kind goes first, then the older request.
- *Newest wins*: a request takes the place of those of the same visitor and page that were sent before it and are of its
  own kind or a less urgent one. The ones that wait are answered at once; one that runs is told through `cancelled()`,
  which it asks between two batches, and its answer is dropped.
- *Sliced*: a kind that keeps what it has done (`fine path`, `ghosts`, `trade-off`, `study`) steps aside for whoever
  waits once it has run for a tenth of a second, and takes its next turn after all others. For what is no more urgent
  its slices grow, up to sixteen times as long, so that work whose single steps take longer than a slice comes to its
  end too.
- *Side by side*: where there are several threads, `at_once` says how many of them one visitor's work may hold, so that
  what takes one visitor long leaves a thread to the others.
- *Bounded*: at most `waiting_limit` requests wait, at most `per_visitor` of one visitor. When all places are taken,
  a visitor with fewer waiting requests takes the place of the visitor with the most.

No gradio here; work is any function of `cancelled`.
"""

from __future__ import annotations

import contextvars
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from merging_core.errors import BasinError, CancelledError, Problem

__all__ = ["URGENCY", "BusyError", "Cancelled", "Scheduler"]

T = TypeVar("T")
Cancelled = Callable[[], bool]
"""True when the work should stop; asked between two batches."""

_RESUMABLE = frozenset({"fine path", "ghosts", "trade-off", "study"})
_SLICE = 0.1
"""Seconds that resumable work runs while others wait."""
_LONGEST = 16
"""How many times as long a slice becomes, at most, for whoever steps aside again and again."""

URGENCY = (
    "preview",
    "path",
    "layers",
    "try",
    "settle",
    "look",
    "text",
    "fine path",
    "ghosts",
    "trade-off",
    "study",
    "search",
)
"""Kinds of live work, most urgent first. Other kinds (such as a test score) come last and are never superseded; what
may take long has a scheduler of its own, so that live work never waits for it."""


class BusyError(BasinError):
    """Every place is taken; the visitor may ask again."""


@dataclass(eq=False)
class _Job(Generic[T]):
    visitor: str
    page: str
    kind: str
    sequence: int
    arrival: int
    work: Callable[[Cancelled], T]
    future: Future[T] = field(default_factory=Future)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    """What was said where the request came in, such as for whom it is."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    aside: int = 0
    """How often it stepped aside."""

    @property
    def rank(self) -> int:
        return URGENCY.index(self.kind) if self.kind in URGENCY else len(URGENCY)

    def yields_to(self, newer: _Job[Any]) -> bool:
        """Whether `newer` makes this job's answer worthless."""
        same_page = self.visitor == newer.visitor and self.page == newer.page
        live = self.rank < len(URGENCY) and newer.rank <= self.rank
        later = newer.sequence > self.sequence or (newer.sequence == self.sequence and newer.kind == self.kind)
        return same_page and live and later

    def answer(self, *, result: Any = None, error: Exception | None = None) -> None:
        """Give the answer, unless one was given or nobody waits for it any more."""
        try:
            if error is not None:
                self.future.set_exception(error)
            else:
                self.future.set_result(result)
        except InvalidStateError:
            return


class Scheduler:
    """Runs live work on a few threads.

    >>> scheduler = Scheduler()
    >>> scheduler.submit("ann", "page", "preview", 1, lambda cancelled: 40 + 2).result(timeout=10)
    42
    >>> scheduler.close()
    """

    def __init__(
        self, *, workers: int = 1, waiting_limit: int = 64, per_visitor: int = 12, at_once: int | None = None
    ) -> None:
        at_once = at_once or workers
        if min(workers, waiting_limit, per_visitor, at_once) < 1:
            raise ValueError("workers and limits are at least 1")
        self._waiting_limit = waiting_limit
        self._per_visitor = per_visitor
        self._at_once = at_once
        self._changed = threading.Condition()
        self._arrivals = itertools.count()
        self._waiting: OrderedDict[str, list[_Job[Any]]] = OrderedDict()
        self._running: set[_Job[Any]] = set()
        self._closed = False
        self._clock = time.monotonic
        names = (f"basin-live-{index}" for index in range(workers))
        self._threads = [threading.Thread(target=self._serve, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def submit(self, visitor: str, page: str, kind: str, sequence: int, work: Callable[[Cancelled], T]) -> Future[T]:
        """Take one request and return the future of its answer.

        The future raises `CancelledError` if a newer request took its place, or whatever `work` raised.

        Raises: `BusyError` if there is no place for it.
        """
        job: _Job[T] = _Job(visitor, page, kind, sequence, next(self._arrivals), work)
        with self._changed:
            if self._closed:
                raise BusyError(Problem("the server is running", "the end of it", "", "try again in a moment"))
            dropped = self._supersede(job)
            if self._outrun(job):
                dropped.append((job, _superseded()))
            else:
                dropped += self._make_place(job)
                self._waiting.setdefault(visitor, []).append(job)
                self._changed.notify()
        for other, error in dropped:
            other.answer(error=error)
        return job.future

    def waiting(self) -> int:
        """Return how many requests wait."""
        with self._changed:
            return self._count()

    def close(self, timeout: float = 5.0) -> None:
        """Stop taking requests, tell the running ones to stop, and answer the waiting ones."""
        with self._changed:
            self._closed = True
            left = [job for jobs in self._waiting.values() for job in jobs]
            self._waiting.clear()
            for job in self._running:
                job.cancelled.set()
            self._changed.notify_all()
        for job in left:
            job.answer(error=_superseded())
        for thread in self._threads:
            thread.join(timeout)

    def _supersede(self, newer: _Job[Any]) -> list[tuple[_Job[Any], Exception]]:
        """Take out what `newer` replaces; a running job is told to stop and answered at once all the same."""
        waiting = self._waiting.get(newer.visitor, [])
        replaced = [job for job in waiting if job.yields_to(newer)]
        for job in replaced:
            self._remove(job)
        for job in self._running:
            if job.yields_to(newer):
                job.cancelled.set()
                replaced.append(job)
        return [(job, _superseded()) for job in replaced]

    def _outrun(self, job: _Job[Any]) -> bool:
        """Whether a request that was sent later has arrived earlier and already takes this one's place."""
        others = [*self._waiting.get(job.visitor, []), *self._running]
        return any(job.yields_to(other) and other.sequence > job.sequence for other in others)

    def _make_place(self, job: _Job[Any]) -> list[tuple[_Job[Any], Exception]]:
        """Check the limits; at the common one, the visitor with the most waiting requests loses the last of them."""
        own = len(self._waiting.get(job.visitor, []))
        if own >= self._per_visitor:
            raise _busy(f"at most {self._per_visitor} requests of one visitor wait", own)
        count = self._count()
        if count < self._waiting_limit:
            return []
        heaviest = max(self._waiting.values(), key=len)
        if len(heaviest) <= own + 1:
            raise _busy(f"at most {self._waiting_limit} requests wait", count)
        last = max(heaviest, key=lambda other: (other.rank, other.arrival))
        self._remove(last)
        return [(last, _busy(f"at most {self._waiting_limit} requests wait", count))]

    def _count(self) -> int:
        return sum(len(jobs) for jobs in self._waiting.values())

    def _remove(self, job: _Job[Any]) -> None:
        jobs = self._waiting[job.visitor]
        jobs.remove(job)
        if not jobs:
            del self._waiting[job.visitor]

    def _turn(self) -> str | None:
        """Return the visitor whose turn it is: the first that waits and holds no more threads than one may."""
        running = [job.visitor for job in self._running]
        return next((visitor for visitor in self._waiting if running.count(visitor) < self._at_once), None)

    def _next(self) -> _Job[Any] | None:
        """Take the next job: the visitor whose turn it is, its most urgent kind, its oldest request."""
        with self._changed:
            while (visitor := self._turn()) is None and not self._closed:
                self._changed.wait()
            if visitor is None or self._closed:
                return None
            jobs = self._waiting[visitor]
            job = min(jobs, key=lambda other: (other.rank, other.arrival))
            self._remove(job)
            if visitor in self._waiting:
                self._waiting.move_to_end(visitor)
            self._running.add(job)
            return job

    def _asked_to_stop(self, job: _Job[Any]) -> Cancelled:
        """Return the question that the job's work asks between two batches."""
        if job.kind not in _RESUMABLE:
            return job.cancelled.is_set
        begun, patience = self._clock(), _SLICE * min(2**job.aside, _LONGEST)

        def stops() -> bool:
            run = self._clock() - begun
            if job.cancelled.is_set() or run <= _SLICE:
                return job.cancelled.is_set()
            with self._changed:
                return bool(self._waiting) and (run > patience or self._urgent_wait(job))

        return stops

    def _urgent_wait(self, job: _Job[Any]) -> bool:
        return any(other.rank < job.rank for jobs in self._waiting.values() for other in jobs)

    def _put_back(self, job: _Job[Any]) -> bool:
        """Let resumable work that only stepped aside wait for its next turn."""
        with self._changed:
            if job.kind not in _RESUMABLE or job.cancelled.is_set() or self._closed:
                return False
            self._running.discard(job)
            job.arrival, job.aside = next(self._arrivals), job.aside + 1
            self._waiting.setdefault(job.visitor, []).append(job)
            self._changed.notify()
            return True

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            try:
                if job.future.done():
                    continue
                job.answer(result=job.context.run(job.work, self._asked_to_stop(job)))
            except CancelledError as error:
                if not self._put_back(job):
                    job.answer(error=error)
            except Exception as error:
                job.answer(error=error)
            finally:
                with self._changed:
                    self._running.discard(job)
                    self._changed.notify_all()


def _superseded() -> CancelledError:
    return CancelledError(Problem("the newest request of a page is answered", "a newer one"))


def _busy(must: str, count: int) -> BusyError:
    return BusyError(Problem(must, f"number {count + 1}", "", "wait a moment and move on"))
