"""How many jobs may wait, how long ended ones are kept, and which go first where they take too much of the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from app.job_records import Job, Limits
from app.live import BusyError
from merging_core.errors import Problem

__all__ = ["check_places", "kept_until", "lane_of", "timestamp", "to_drop"]

_NETWORK = frozenset({"download", "publish", "task"})
"""Kinds of jobs that mostly wait for a network."""
_MEASURING = frozenset({"compare"})
"""Kinds of jobs that measure again and again, so that whoever waits for a merge does not wait for them."""
_LEARNING = frozenset({"learn"})
"""Kinds of jobs that train for minutes or hours, for which nobody else waits."""
_STUDYING = frozenset({"study"})
"""Kinds of jobs that go on with what somebody looks at."""
_LANES = {"network": _NETWORK, "measuring": _MEASURING, "learning": _LEARNING, "studying": _STUDYING}


def lane_of(kind: str) -> str:
    """Return the lane in which jobs of a kind run one after the other."""
    return next((lane for lane, kinds in _LANES.items() if kind in kinds), "machine")


def check_places(mine: Iterable[Job], all_: Iterable[Job], limits: Limits) -> None:
    """Raise `BusyError` where a visitor with the jobs `mine`, or the server, has too many waiting for one more."""
    if sum(job.state in ("queued", "running") for job in mine) >= limits.unfinished:
        must = f"a visitor has at most {limits.unfinished} jobs that wait or run"
        raise BusyError(Problem(must, "one more", "", "wait for one, or cancel it"))
    if sum(job.state == "queued" for job in all_) >= limits.waiting:
        must = f"at most {limits.waiting} jobs wait on this server"
        raise BusyError(Problem(must, "one more", "", "try again in a few minutes"))


def kept_until(job: Job, limits: Limits) -> str:
    """Return until when what a job made is kept, or what it had written when it was cut off: UTC, ISO 8601.

    >>> job = Job("", "ann", "", "", "", finished="2030-01-01T10:00:00Z", state="done")
    >>> cut_off = job.changed(state="failed", rest="a", bytes=1)
    >>> [kept_until(one, Limits(age=3600.0, rests=60.0)) for one in (job, cut_off)]
    ['2030-01-01T11:00:00Z', '2030-01-01T10:01:00Z']
    """
    seconds = limits.rests if job.is_rest else limits.age
    return timestamp(datetime.fromisoformat(job.finished) + timedelta(seconds=seconds))


def to_drop(ended: Sequence[Job], limits: Limits, now: datetime) -> list[Job]:
    """Return which of the ended jobs go, the oldest first: too old, too many of one visitor, too much for all.

    What a job that was cut off had written counts like a result.
    """
    total, counts = sum(job.bytes for job in ended), Counter(job.visitor for job in ended)
    dropped = []
    for job in ended:
        surplus = counts[job.visitor] > limits.kept or total > limits.bytes
        if surplus or kept_until(job, limits) < timestamp(now):
            counts[job.visitor] -= 1
            total -= job.bytes
            dropped.append(job)
    return dropped


def timestamp(moment: datetime) -> str:
    """Write a moment as jobs keep it: UTC, ISO 8601, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
