"""A folder in the data folder that one server works in; a temporary one where that cannot be."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["ServerFolder"]


class ServerFolder:
    """`<data>/<name>`; a temporary folder where nothing is kept, or where another server works in that one."""

    def __init__(self, data: Path | None, name: str) -> None:
        self._data = data
        self._name = name
        self._path: Path | None = None
        self._temporary = False
        self._lock = -1

    @property
    def path(self) -> Path:
        """The folder, made when it is first needed."""
        if self._path is None:
            self._path = self._claimed() or Path(tempfile.mkdtemp(prefix=f"basin-{self._name}-"))
            self._temporary = self._lock < 0
        return self._path

    def close(self) -> None:
        """Give the folder back; delete it if it was temporary."""
        if self._path is not None and self._temporary:
            shutil.rmtree(self._path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _claimed(self) -> Path | None:
        """Return the folder in the data folder if nobody else works in it; the lock ends with this process."""
        if self._data is None:
            return None
        root = self._data / self._name
        try:
            root.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError:
            return None
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # without such locks there is no telling; the folder is taken to be ours
            self._lock = descriptor
            return root
        except OSError:
            os.close(descriptor)
            return None
        self._lock = descriptor
        return root
