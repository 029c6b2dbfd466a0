"""Telling a file that somebody is writing from one whose writer is gone.

The kernel drops a lock when its process ends, however it ends. Where there are no such locks (Windows), every file
counts as being written, so nothing is removed.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["held_alone", "hold_while", "locked_elsewhere", "take_lock"]


def take_lock(file: BinaryIO) -> None:
    """Hold an exclusive lock on an open file until it is closed or the process ends, where the system can."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # some network file systems have no locks; the write goes on without
        return


def locked_elsewhere(path: Path) -> bool:
    """Say whether somebody holds the lock of `path`, or may hold it because the system cannot tell."""
    try:
        import fcntl

        with path.open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return True
    return False


def hold_while(path: Path, holder: object) -> None:
    """Hold a shared lock on a file for as long as an object lives, where the system can."""
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except (ImportError, OSError):
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return
    weakref.finalize(holder, os.close, descriptor).atexit = False


@contextmanager
def held_alone(path: Path) -> Iterator[bool]:
    """Hold a file's lock against everybody, and say whether nobody else holds it; False where no system tells."""
    try:
        import fcntl

        file = path.open("rb")
    except (ImportError, OSError):
        yield False
        return
    with file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
