"""What is said of a job that could not begin, or did not come to its end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.job_records import Limits
from merging_core.errors import Problem

if TYPE_CHECKING:
    from merging_core.checkpoints.remains import Remains

__all__ = ["killed", "no_folder", "no_process", "said_with", "stopped", "too_long"]


def no_folder(error: OSError) -> Problem:
    """Say that a job's folder cannot be made."""
    return Problem("the folder of jobs can be written", _got(error), "", "try again later")


def no_process(error: OSError) -> Problem:
    """Say that a job's process cannot be started."""
    return Problem("the machine has room for another process", _got(error), "job", "try again later")


def too_long(limits: Limits) -> Problem:
    """Say that a job took more time than it may."""
    return Problem(f"a job takes at most {limits.seconds / 60:.0f} minutes", "a longer one", "job")


def stopped(kind: str) -> Problem:
    """Say that the server stopped meanwhile.

    >>> print(stopped("download"))
    job: a job runs to its end, but a stop of the server came; what came is kept; start it again.
    """
    left = {
        "download": "what came is kept; ",
        "publish": "",
        "learn": "it goes on from its last check; ",
        "study": "what was measured stays; ",
    }
    fix = f"{left.get(kind, 'nothing of it is left; ')}start it again"
    return Problem("a job runs to its end", "a stop of the server", "job", fix)


def killed(status: int | None, kind: str = "") -> Problem:
    """Say that a process ended without a word: by a signal where its status is negative."""
    how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
    again = "what was measured stays; start it again" if kind == "study" else "try again"
    fix = f"the machine may be short of memory; {again}"
    return Problem("a worker process runs to its end", f"an end by {how}", "job", fix)


def said_with(found: Remains | None, problem: Problem, limits: Limits) -> Problem:
    """Say of a job that was cut off what is kept of it.

    >>> from merging_core.checkpoints.remains import Remains
    >>> print(said_with(Remains(0.614, 9), stopped("export"), Limits()))
    job: a job runs to its end, but a stop of the server came; 61% is written and kept for 6 hours: start it again to go on.
    """  # noqa: E501
    if found is None:
        return problem
    hours = f"{limits.rests / 3600:g} hours"
    return replace(problem, fix=f"{found.share:.0%} is written and kept for {hours}: start it again to go on")


def _got(error: OSError) -> str:
    return f"“{error.strerror or type(error).__name__}”"
