"""What happens inside the process of a job: the work is found, run politely, and told about over a pipe.

The process is nice to everybody else, computes in one thread, and ends by itself when the server's end of the pipe is
closed, however the server ended; so no job outlives its server.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from app.notices import answer_for
from merging_core.errors import BasinError, CancelledError, PlanError, Problem, disk_is_full

__all__ = ["CANCEL", "Reporter", "Work", "run"]

CANCEL = "cancel"
"""What the server writes into the pipe to stop the work."""
_NICENESS = 10
_TOLD_EVERY = 0.1
"""Seconds between two reports of progress."""


class Reporter:
    """How work tells of itself, and how it learns that it is no longer wanted."""

    def __init__(self, connection: Connection, secret: str | None = None) -> None:
        self.secret = secret
        """What the server gave to this process alone, such as a visitor's token."""
        self._connection = connection
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._told = 0.0

    def progress(self, share: float, what: str, done: int = 0, standing: dict[str, Any] | None = None) -> None:
        """Tell which share of the work is done, in [0, 1], what is being done, and how many bytes are written.

        `standing` says more, of a merge what `Standing.as_json` does.
        """
        now = time.monotonic()
        if now - self._told >= _TOLD_EVERY or share >= 1.0:
            self._told = now
            self.send("progress", share, what, done, standing)

    def log(self, text: str) -> None:
        """Add a line to the job's log."""
        self.send("log", text)

    def leaves(self, *problems: Problem) -> None:
        """Say what stays behind elsewhere if the work is ended now; the last word counts, nothing takes it back."""
        self.send("left", tuple(problem.as_json() for problem in problems))

    def cancelled(self) -> bool:
        """Say whether the work should stop."""
        return self._stop.is_set()

    def send(self, *message: Any) -> None:
        """Write one message; a server that is gone hears nothing."""
        with self._lock:
            try:
                self._connection.send(message)
            except OSError:
                self._stop.set()

    def listen(self) -> None:
        """Wait for the server's word; end the process when the server is gone."""
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(1)
            if message == CANCEL:
                self._stop.set()


Work = Callable[[Any, Path, Reporter], dict[str, Any]]
"""(payload, the job's own folder, reporter) -> what is remembered of the result, as JSON."""


def run(  # noqa: PLR0913
    work: str, payload: Any, secret: str | None, folder: str, connection: Connection, environment: dict[str, str]
) -> None:
    """Do the work that is named `module:function`, in the server's environment as it is now, and say how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    os.environ.clear()
    os.environ.update(environment)
    os.environ["OMP_NUM_THREADS"] = "1"
    reporter = Reporter(connection, secret)
    threading.Thread(target=reporter.listen, name="basin-worker-listen", daemon=True).start()
    try:
        module, _, name = work.partition(":")
        found: Work = getattr(importlib.import_module(module), name)
        reporter.send("done", found(payload, Path(folder), reporter))
    except CancelledError:
        reporter.send("cancelled")
    except MemoryError:
        reporter.send("failed", _problems(PlanError(Problem("the work fits into memory", "the end of it"))))
    except BasinError as error:
        reporter.send("failed", _problems(error))
    except Exception as error:
        full = isinstance(error, OSError) and disk_is_full(error)
        reporter.send("failed", _problems(_full()) if full else answer_for(error)["problems"])


def _full() -> PlanError:
    fix = "nothing of it is left; try again when there is room"
    return PlanError(Problem("the server's disk takes the result", "a full disk", "job", fix))


def _problems(error: BasinError) -> list[dict[str, str]]:
    return [problem.as_json() for problem in error.problems]
