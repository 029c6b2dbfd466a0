"""The runs of all visitors: each a folder of its own, kept for a while, seen by whoever began it.

A run that is not finished goes on from its state at any time: after a pause, a restart of the server, or an error. What
it learned lies by content in `app.learned`; deleting a run deletes that too where no link, result or history names it.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.database import utc
from app.learned import LearnedShelf
from app.learning.files import RunFiles
from app.server_folder import ServerFolder
from merging_core.checkpoints.reader import MODEL_NAME, Checkpoint
from merging_core.engines.pricing import amount
from merging_core.errors import BasinError, Problem

__all__ = ["Run", "RunError", "RunLimits", "Runs"]

_ID = re.compile(r"[0-9a-f]{32}")


class RunError(BasinError):
    """A run is not there for this visitor, or there is no room for one more."""


@dataclass(frozen=True)
class RunLimits:
    """How much runs may take."""

    kept: int = 24
    """Runs of one visitor."""
    visitor: int = 2_000_000_000
    """Bytes of one visitor's runs and of what they learned."""
    total: int = 20_000_000_000
    """Bytes of everything that was learned on this server."""
    seconds: float = 7 * 24 * 3600.0
    """How long a run is kept after it was last touched."""


@dataclass(frozen=True)
class Run:
    """What is known of a run beside its files; a later look is another value."""

    id: str
    visitor: str
    title: str
    method: str
    state: dict[str, Any]
    """What the studio showed when it was begun."""
    spec: dict[str, Any]
    created: str
    """UTC, ISO 8601, as all times here."""
    touched: str
    starts: int = 0
    """How often it was begun or gone on with."""
    problems: tuple[dict[str, str], ...] = ()
    """What ended it, if not its end."""
    learned: tuple[str, ...] = ()
    """The tensors that it learned, and what it measured."""
    expert: str | None = None
    """The upload that it became, where it made an expert."""

    def changed(self, **changes: Any) -> Run:
        """Return the run with some fields changed."""
        return replace(self, **changes)


class Runs:
    """Finds, keeps and deletes runs; safe to use from several threads."""

    def __init__(
        self,
        scratch: Path | None,
        learned: LearnedShelf,
        limits: RunLimits | None = None,
        *,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.limits = limits or RunLimits()
        self.learned = learned
        self._now = now or (lambda: datetime.now(UTC))
        self._folder = ServerFolder(scratch, "runs")
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}
        self._opened = False

    def create(self, visitor: str, title: str, spec: dict[str, Any], state: dict[str, Any]) -> Run:
        """Make a run with its folder. Raises `RunError` where there is no room for it."""
        with self._lock:
            self._clean()
            self._check_room(visitor)
            now = utc(self._now())
            method = str(spec["method"]["name"])
            run = Run(secrets.token_hex(16), visitor, title, method, state, spec, now, now)
            self.files(run).folder.mkdir(mode=0o700)
            return self.keep(run)

    def bring(self, opened: Checkpoint) -> str:
        """Keep what was learned elsewhere and uploaded, and return its reference. Raises `RunError` without room."""
        self.learned.clean()
        if problems := self._full():
            raise RunError(*problems)
        return self.learned.bring(opened.folder / MODEL_NAME, opened.content())

    def get(self, visitor: str, id_: str) -> Run:
        """Return a run of this visitor. Raises `RunError`, in the same words whether unknown or somebody else's."""
        with self._lock:
            self._open()
            run = self._runs.get(id_)
        if run is None or run.visitor != visitor:
            raise RunError(Problem("a run is one of yours and still kept", "another one", "run", "start it again"))
        return run

    def of(self, visitor: str) -> tuple[Run, ...]:
        """Return the runs of a visitor, the newest first."""
        with self._lock:
            self._open()
            return tuple(run for run in reversed(self._runs.values()) if run.visitor == visitor)

    def files(self, run: Run) -> RunFiles:
        """Return the files of a run."""
        return RunFiles(self._folder.path / run.id)

    def keep(self, run: Run) -> Run:
        """Write down how a run stands, touched now."""
        with self._lock:
            run = run.changed(touched=utc(self._now()))
            self._runs[run.id] = run
            self.files(run).write("run", asdict(run))
            return run

    def forget(self, run: Run) -> None:
        """Delete a run with its files, and what it learned where nothing names it."""
        with self._lock:
            self._runs.pop(run.id, None)
            shutil.rmtree(self.files(run).folder, ignore_errors=True)
            others = {ref for other in self._runs.values() for ref in other.learned}
            for ref in set(run.learned) - others:
                self.learned.let_go(ref)

    def close(self) -> None:
        """Give the folder back."""
        self._folder.close()

    def _check_room(self, visitor: str) -> None:
        mine, limits = self.of(visitor), self.limits
        problems = []
        if len(mine) >= limits.kept:
            must, fix = f"you have at most {limits.kept} runs", "delete one that you need no more"
            problems.append(Problem(must, "one more", "runs", fix))
        taken = sum(self.files(run).size() + sum(map(self.learned.size, run.learned)) for run in mine)
        if taken >= limits.visitor:
            must, fix = f"your runs take at most {amount(limits.visitor)}", "delete one that you need no more"
            problems.append(Problem(must, amount(taken), "runs", fix))
        problems += self._full()
        if problems:
            raise RunError(*problems)

    def _full(self) -> list[Problem]:
        total = self.learned.total()
        if total < self.limits.total:
            return []
        must = f"what was learned on this server takes at most {amount(self.limits.total)}"
        return [Problem(must, amount(total), "runs", "try again in a few days")]

    def _clean(self) -> None:
        """Let go what nobody touched for long, and tensors that nothing names."""
        self._open()
        eldest = utc(self._now() - timedelta(seconds=self.limits.seconds))
        for run in [run for run in self._runs.values() if run.touched < eldest]:
            self.forget(run)
        self.learned.clean()

    def _open(self) -> None:
        """Read what an earlier server left, once; delete folders that are no runs."""
        if self._opened:
            return
        self._opened = True
        for run in sorted(self._found(), key=lambda run: run.created):
            self._runs[run.id] = run

    def _found(self) -> Iterator[Run]:
        for folder in list(self._folder.path.iterdir()):
            if not _ID.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
                continue
            try:
                fields = RunFiles(folder).read("run") or {}
                lists = {name: tuple(fields.get(name, ())) for name in ("problems", "learned")}
                yield Run(**{**fields, **lists})
            except TypeError:
                shutil.rmtree(folder, ignore_errors=True)
