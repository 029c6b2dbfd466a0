"""Opening files that strangers made: regular files only, never through a link that leads elsewhere."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from merging_core.errors import CheckpointError, Problem

__all__ = ["Fingerprint", "fingerprint", "open_regular", "read_fully"]


@dataclass(frozen=True)
class Fingerprint:
    """What tells a file from the file that later took its place."""

    size: int
    mtime_ns: int
    inode: int
    device: int


def fingerprint(file: FileIO) -> Fingerprint:
    """Return the fingerprint of an open file."""
    status = os.fstat(file.fileno())
    return Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def open_regular(path: Path, *, root: Path | None = None) -> FileIO:
    """Open a regular file for reading, unbuffered, without ever waiting.

    A symlink is followed only when `root` is given and the file that it leads to lies inside `root`. Pipes, devices and
    folders are refused before they are opened, so a named pipe cannot make the caller hang.
    Raises CheckpointError naming the file, never its folder.
    """
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) and root is not None:
            resolved = path.resolve(strict=True)
            if not resolved.is_relative_to(root.resolve()):
                raise CheckpointError(_refused(path.name, "a link that leads out of its folder"))
            path, mode = resolved, resolved.lstat().st_mode
        if not stat.S_ISREG(mode):
            raise CheckpointError(_refused(path.name, _kind(mode)))
        flags = os.O_RDONLY
        for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
            flags |= getattr(os, name, 0)
        file = FileIO(os.open(path, flags), "rb")
    except FileNotFoundError:
        raise CheckpointError(Problem("the file exists", "no such file", path.name)) from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links; ValueError: a NUL in the name
        got = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise CheckpointError(Problem("the file can be opened", f"“{got}”", path.name)) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise CheckpointError(_refused(path.name, "something that changed while it was opened"))
    return file


def read_fully(file: FileIO, count: int, name: str) -> bytes:
    """Read `count` bytes, or what is left; raises CheckpointError naming the file where it cannot be read."""
    parts = []
    try:
        while count > 0 and (part := file.read(count)):
            parts.append(part)
            count -= len(part)
    except OSError as error:
        got = f"“{error.strerror or type(error).__name__}”"
        raise CheckpointError(Problem("the file can be read", got, name)) from None
    return b"".join(parts)


def _refused(name: str, got: str) -> Problem:
    return Problem("a checkpoint is made of regular files", got, name, "give the file itself")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
