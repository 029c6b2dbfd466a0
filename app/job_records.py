"""What is known of a job, and the folder in which jobs lie."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.server_folder import ServerFolder

if TYPE_CHECKING:
    from merging_core.checkpoints.remains import Remains

__all__ = ["RESULT", "Job", "JobFolder", "Limits"]

RESULT = "result"
"""The folder inside a job's own in which its work leaves what the visitor gets."""

_RECORD = "job.json"
_ID = re.compile(r"[0-9a-f]{32}")
_LARGEST_RECORD = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How much jobs may take."""

    unfinished: int = 2
    """Jobs of one visitor that wait or run."""
    waiting: int = 16
    """Jobs of all visitors that wait."""
    kept: int = 8
    """Ended jobs of one visitor."""
    bytes: int = 20_000_000_000
    """Disk that the results of all take together."""
    age: float = 24 * 3600.0
    """Seconds for which an ended job is kept."""
    seconds: float = 2 * 3600.0
    """Seconds that one job may run."""
    rests: float = 6 * 3600.0
    """Seconds for which what a killed job had written is kept, to be gone on with."""


@dataclass(frozen=True)
class Job:
    """One job as it stands now; a later look is another value."""

    id: str
    visitor: str
    title: str
    key: str
    """Names what is done: asking for the same again is the same job."""
    created: str
    """UTC, ISO 8601, as all times here."""
    kind: str = "export"
    """What sort of work it is, such as `export` or `download`."""
    state: str = "queued"
    """`queued`, `running`, `done`, `failed` or `cancelled`."""
    started: str = ""
    finished: str = ""
    share: float = 0.0
    what: str = ""
    done: int = 0
    """Bytes that are written."""
    standing: dict[str, Any] | None = None
    """More of how far it is while it runs, of a merge what `Standing.as_json` says; None where nobody says it."""
    bytes: int = 0
    """Bytes that the result takes on the disk; of a job that was cut off, what is kept to go on with."""
    log: tuple[tuple[str, str], ...] = ()
    """When and what, oldest first."""
    problems: tuple[dict[str, str], ...] = ()
    left: tuple[dict[str, str], ...] = ()
    """What stays behind elsewhere if the work is ended from outside; told among the problems then."""
    result: dict[str, Any] | None = None
    uses: tuple[str, ...] = ()
    """References to what must stay in place until the job has ended."""
    rest: str = ""
    """Names work that is gone on with where its process was killed; work without a name begins anew."""
    asked: dict[str, Any] | None = None
    """What the page sends to ask for the same again."""
    since: float = 0.0
    """The share of the result that an earlier process had written."""

    @property
    def is_rest(self) -> bool:
        """Whether it was cut off, and what it had written is kept."""
        return bool(self.rest) and self.state == "failed" and self.bytes > 0

    def changed(self, **changes: Any) -> Job:
        """Return the job with some fields changed."""
        return replace(self, **changes)

    def logged(self, when: str, text: str, longest: int) -> Job:
        """Return the job with one more line in its log, the oldest giving way."""
        return replace(self, log=(*self.log, (when, text))[-longest:])


class JobFolder:
    """`<data>/jobs`; a temporary folder where nothing is kept, or where another server works in that one."""

    def __init__(self, data: Path | None) -> None:
        self._folder = ServerFolder(data, "jobs")

    @property
    def root(self) -> Path:
        """The folder, made when it is first needed."""
        return self._folder.path

    def path(self, id_: str) -> Path:
        """Return a job's folder."""
        if not _ID.fullmatch(id_):
            raise ValueError("a job's id has 32 hex digits")
        return self.root / id_

    def create(self, visitor: str, title: str, key: str, kind: str, now: datetime, **more: Any) -> Job:
        """Make a job with its folder; `more` are other fields of it."""
        created = now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        job = Job(secrets.token_hex(16), visitor, title, key, created, kind, **more)
        self.path(job.id).mkdir()
        self.write(job)
        return job

    def write(self, job: Job) -> None:
        """Write down how a job stands: the old record or the new one, never half of it."""
        folder = self.path(job.id)
        aside = folder / f".{_RECORD}"
        with aside.open("w", encoding="utf-8") as file:
            json.dump(asdict(job), file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(folder / _RECORD)

    def load(self) -> Iterator[Job]:
        """Yield the jobs that an earlier server left, oldest first; delete folders that are none."""
        found = []
        for folder in self.root.iterdir():
            if _ID.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                job = _read(folder / _RECORD)
                if job is None or job.id != folder.name:
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    found.append(job)
        yield from sorted(found, key=lambda job: job.created)

    def size(self, id_: str) -> int:
        """Return the bytes of everything in a job's folder."""
        return sum(path.lstat().st_size for path in self.path(id_).rglob("*") if path.is_file())

    def remains(self, id_: str) -> Remains | None:
        """Return what a killed process left of a job's result to go on with."""
        from merging_core.checkpoints.remains import remains

        return remains(self.path(id_) / RESULT)

    def sweep(self, id_: str) -> None:
        """Delete everything but the record."""
        folder = self.path(id_)
        for path in list(folder.iterdir()) if folder.is_dir() else []:
            if path.name == _RECORD:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def delete(self, id_: str) -> None:
        """Delete a job: the record first, so that what is left after a crash is no job."""
        folder = self.path(id_)
        (folder / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Give the folder back; delete it if it was temporary."""
        self._folder.close()


def _read(path: Path) -> Job | None:
    """Read a record; nothing if it is missing or damaged."""
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(_LARGEST_RECORD))
        log = tuple((str(when), str(text)) for when, text in fields["log"])
        lists = {name: tuple(fields.get(name, ())) for name in ("problems", "left", "uses")}
        return Job(**{**fields, **lists, "log": log})
    except (OSError, ValueError, TypeError, KeyError):
        return None
