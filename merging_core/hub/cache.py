"""What lies in the cache of downloads, and making room in it: what was used longest ago goes first.

Whoever has a downloaded checkpoint open holds a shared lock on its `complete.json`, and its time says when it was last
opened; a download holds the lock of its folder. What somebody holds stays. Where the system has no such locks, nothing
that is complete goes by itself. Folders without that mark, of data sets and of downloads that were never finished, stay
while they are younger than any job may run.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from merging_core.checkpoints.locks import held_alone
from merging_core.errors import HubError, Problem, closest
from merging_core.hub.download import COMPLETE_NAME

__all__ = ["Held", "held", "make_room", "remove", "sweep_parts"]

_KINDS = {"models": "hub:", "datasets": "data set "}
_LOCK = ".lock"
_WEEK = 7 * 24 * 3600.0
_UNMARKED = 3 * 3600.0
_GIGABYTE = 1e9


@dataclass(frozen=True)
class Held:
    """One commit in the cache."""

    ref: str
    """`hub:owner/name@commit`, or `data set owner/name@commit`."""
    folder: Path
    bytes: int
    used: float
    """When it was opened or written last, in seconds since 1970."""
    complete: bool

    def as_json(self) -> dict[str, object]:
        """Return it for `--json`; the folder is the reader's own business."""
        return {"ref": self.ref, "bytes": self.bytes, "used": round(self.used), "complete": self.complete}


def held(cache: Path) -> tuple[Held, ...]:
    """Return what the cache holds, what was used longest ago first."""
    found = [entry for kind, scheme in _KINDS.items() for entry in _of(cache / kind, scheme)]
    return tuple(sorted(found, key=lambda entry: (entry.used, entry.ref)))


def make_room(cache: Path, needed: int, budget: int | None, keep: Path) -> None:
    """Remove what was used longest ago until `needed` more bytes fit into `budget`; `keep` stays, and what is in use.

    Parts of downloads that nobody went on with for a week go in any case.
    Raises HubError where it cannot fit.
    """
    sweep_parts(cache)
    if budget is None or not needed:
        return
    entries = held(cache)
    surplus = sum(entry.bytes for entry in entries) + needed - budget
    for entry in entries:
        if surplus <= 0:
            return
        if entry.folder != keep and _remove(entry, time.time() - _UNMARKED):
            surplus -= entry.bytes
    if surplus > 0:
        must = f"the cache has {needed / _GIGABYTE:.2f} GB free of its {budget / _GIGABYTE:.0f} GB (BASIN_CACHE_GB)"
        got = f"{max(0.0, (needed - surplus) / _GIGABYTE):.2f} GB free, the rest in use"
        raise HubError(Problem(must, got, "cache", "choose smaller models, or make the cache larger"))


def remove(cache: Path, ref: str) -> Held:
    """Remove one commit, and return what it was.

    Raises HubError where the cache does not hold it, with the closest that it holds, and where it is in use.
    """
    entries = {entry.ref: entry for entry in held(cache)}
    entry = entries.get(ref)
    if entry is None:
        fix = closest(ref, entries) if entries else "it is empty"
        raise HubError(Problem("the cache holds what is removed", ascii(ref[:200])[1:-1], "cache", fix))
    if not _remove(entry, time.time() + 1.0):
        must, fix = "what is removed is not in use", "wait until it is closed"
        raise HubError(Problem(must, "an open checkpoint, or a running download", ref, fix))
    return entry


def sweep_parts(cache: Path, older: float = _WEEK) -> None:
    """Delete parts of downloads that are older than so many seconds, except where a download runs."""
    for entry in held(cache):
        old = [part for part in entry.folder.rglob("*.part") if _time(part) < time.time() - older]
        if not old:
            continue
        with _still(entry.folder) as still:
            for part in old if still else []:
                part.unlink(missing_ok=True)


def _of(folder: Path, scheme: str) -> Iterator[Held]:
    for commit in folder.glob("*/*/*"):
        inside = commit.rglob("*") if _is_folder(commit) else ()
        files = [path for path in inside if path.is_file() and path.name != _LOCK]
        if not files:
            continue
        mark = commit / COMPLETE_NAME
        complete = mark.is_file()
        used = _time(mark) if complete else max(map(_time, files))
        size = sum(_size(path) for path in files)
        ref = f"{scheme}{commit.parent.parent.name}/{commit.parent.name}@{commit.name}"
        yield Held(ref, commit, size, used, complete)


def _remove(entry: Held, unmarked_before: float) -> bool:
    """Empty a folder unless it is in use, its mark first; the lock stays, since others may wait for it."""
    if not entry.complete and entry.used > unmarked_before:
        return False
    with _still(entry.folder) as still:
        if not still:
            return False
        if not entry.complete:
            _empty(entry.folder)
            return True
        with held_alone(entry.folder / COMPLETE_NAME) as alone:
            if alone:
                (entry.folder / COMPLETE_NAME).unlink(missing_ok=True)
                _empty(entry.folder)
            return alone


@contextmanager
def _still(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock, and say whether it was free."""
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _empty(folder: Path) -> None:
    for path in list(folder.iterdir()):
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _time(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return time.time()


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
