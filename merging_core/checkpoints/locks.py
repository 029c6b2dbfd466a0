"""Telling a file that somebody is writing from one whose writer is gone.

The kernel drops a lock when its process ends, however it ends. Where there are no such locks (Windows), every file
counts as being written, so nothing is removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

__all__ = ["locked_elsewhere", "take_lock"]


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
