"""Checkpoints in the folders below one root, which whoever runs Basin names: what is there, and where a name leads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from merging_core.checkpoints.adapter_config import ADAPTER_MODEL
from merging_core.checkpoints.index import INDEX_NAME
from merging_core.checkpoints.reader import MODEL_NAME
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, Problem, closest

__all__ = ["DEEPEST", "LocalFolders"]

DEEPEST = 3
"""Levels of folders below the root that are looked into."""
_MOST = 500
_FILES = (MODEL_NAME, INDEX_NAME, ADAPTER_MODEL)


@dataclass(frozen=True)
class LocalFolders:
    """The checkpoint folders below `root`, named by their path from there: `local:runs/digits`.

    Links are never followed, neither to folders nor to files. Folders whose names a reference cannot hold, and hidden
    ones, are left out.
    """

    root: Path

    def names(self) -> tuple[str, ...]:
        """Return the names of all folders with a model or a LoRA adapter, in order, at most 500.

        None if the root cannot be read.
        """
        found: list[str] = []
        for name in _folders(self.root, ""):
            found.append(name)
            if len(found) == _MOST:
                break
        return tuple(found)

    def folder(self, name: str) -> Path:
        """Return the folder of a name.

        Raises CheckpointError, with the closest name, where no checkpoint folder is called so.
        """
        path = self.root
        for part in Ref("local", name).path.split("/"):
            path /= part
            if path.is_symlink() or not path.is_dir():
                raise self._unknown(name)
        if not _holds_checkpoint(path):
            raise self._unknown(name)
        return path

    def _unknown(self, name: str) -> CheckpointError:
        fix = closest(name, self.names())
        return CheckpointError(Problem("a folder of this server holds the checkpoint", name, "local", fix))


def _folders(folder: Path, name: str, depth: int = 0) -> Iterator[str]:
    """Yield the names of checkpoint folders at and below a folder; what holds a checkpoint is not looked into."""
    if name and _holds_checkpoint(folder):
        if _nameable(name):
            yield name
        return
    if depth == DEEPEST:
        return
    try:
        with os.scandir(folder) as entries:
            below = sorted(
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
    except OSError:
        return
    for part in below:
        yield from _folders(folder / part, f"{name}/{part}" if name else part, depth + 1)


def _holds_checkpoint(folder: Path) -> bool:
    files = [folder / name for name in _FILES]
    try:
        return any(file.is_file() and not file.is_symlink() for file in files)
    except OSError:
        return False


def _nameable(name: str) -> bool:
    try:
        Ref("local", name)
    except CheckpointError:
        return False
    return True
