"""Telling a file that somebody is writing from one whose writer is gone.

The kernel drops a lock when its process ends, however it ends. Where there are no such locks (Windows), every file
counts as being written, so nothing is removed.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import BinaryIO

__all__ = ["held_alone", "hold_while", "locked_elsewhere", "try_lock"]


def try_lock(file: BinaryIO | FileIO) -> bool:
    """Take an exclusive lock on an open file, held until it is closed or the process ends; say whether it was taken.

    False also where the system has no locks, as on Windows and on some network file systems.
    """
    try:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


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
