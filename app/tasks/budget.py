"""How much the prepared tasks may take on the disk, and which go when there is no more room.

The time of a task's `task.json` says when it was last used. What was used longest ago goes first; what was used a
moment ago, and what the caller names, stays.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from merging_core.engines.pricing import amount
from merging_core.errors import EvaluationError, Problem

__all__ = ["IN_USE", "check_room", "make_room", "mark_used", "remove"]

IN_USE = 600.0
"""Seconds for which a task counts as in use after it was asked for."""
_TASK = re.compile(r"[0-9a-f]{64}")
_ASIDE = re.compile(r"\.[0-9a-f]{16}-[0-9a-f]{8}")
_DAY = 24 * 3600.0
_MARK = "task.json"


@dataclass(frozen=True)
class _Held:
    path: Path
    bytes: int
    used: float


def mark_used(folder: Path) -> None:
    """Note that a prepared task is in use now."""
    try:
        (folder / _MARK).touch()
    except OSError:
        return


def make_room(root: Path, needed: int, budget: int, keep: Collection[str] = ()) -> None:
    """Remove prepared tasks and heads below `root` until `needed` more bytes fit into `budget`.

    `keep`: digests of tasks that stay. What a job that was killed left half written goes after a day.
    Raises: `EvaluationError` where it cannot fit; then nothing was removed.
    """
    _sweep(root, time.time() - _DAY)
    for one in _going(root, needed, budget, keep, amount(needed)):
        remove(one.path)


def check_room(root: Path, needed: int, budget: int, keep: Collection[str], words: str) -> None:
    """Raise `EvaluationError` where `needed` bytes could not be made room for; `words` say what they are."""
    _going(root, needed, budget, keep, words)


def _going(root: Path, needed: int, budget: int, keep: Collection[str], words: str) -> list[_Held]:
    """Return what has to go to make room; raises `EvaluationError` where that is not enough."""
    now = time.time()
    held = sorted(_held(root), key=lambda one: (one.used, one.path.name))
    surplus = sum(one.bytes for one in held) + needed - budget
    going = []
    for one in held:
        if surplus <= 0:
            break
        if one.path.name not in keep and one.used < now - IN_USE:
            going.append(one)
            surplus -= one.bytes
    if surplus > 0:
        must = f"prepared tasks take at most {amount(budget)} (BASIN_TASKS_GB)"
        alone = needed > budget
        got = words if alone else f"{words}, beside {amount(surplus + budget - needed)} in use"
        fix = "take fewer examples of a split" + ("" if alone else ", or try again in ten minutes")
        raise EvaluationError(Problem(must, got, "tasks", fix))
    return going


def _held(root: Path) -> Iterator[_Held]:
    for folder in root.iterdir() if root.is_dir() else ():
        if _TASK.fullmatch(folder.name) and folder.is_dir():
            sizes = sum(file.stat().st_size for file in folder.iterdir())
            mark = folder / _MARK
            yield _Held(folder, sizes, (mark if mark.exists() else folder).stat().st_mtime)
    for head in (root / "heads").iterdir() if (root / "heads").is_dir() else ():
        if head.is_file():
            yield _Held(head, head.stat().st_size, head.stat().st_mtime)


def remove(path: Path) -> None:
    """Remove a head's file, or a task: its description first, so that it is none any more."""
    if path.is_dir():
        (path / _MARK).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sweep(root: Path, before: float) -> None:
    for folder in root.iterdir() if root.is_dir() else ():
        if _ASIDE.fullmatch(folder.name) and folder.stat().st_mtime < before:
            shutil.rmtree(folder, ignore_errors=True)
