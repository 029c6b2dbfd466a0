"""What was measured for studies, shared by all who ask the same of the same weights, and kept on the disk for jobs.

A memory is named by the contents of models, which only whoever may open them learns. What jobs need lies in a folder of
the server, one file a study; the oldest go first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from app.server_folder import ServerFolder
from merging_core.analysis.studies.memory import Memory
from merging_core.errors import EvaluationError

__all__ = ["Memories"]

_BYTES, _DISK_BYTES = 256 << 20, 4 << 30


class Memories:
    """Memories by identity; any number of threads may ask.

    `data`: where the files lie, of `disk` bytes at most. `most`: bytes that stay in memory; the newest stays in any
    case.
    """

    def __init__(self, data: Path | None, *, most: int = _BYTES, disk: int = _DISK_BYTES) -> None:
        self._folder = ServerFolder(data, "studies")
        self._most, self._disk = most, disk
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Memory] = OrderedDict()

    def of(self, identity: str) -> Memory:
        """Return what was measured for a study, here or by a job; nothing yet, if it is new."""
        with self._lock:
            memory = self._found.get(identity)
            if memory is None:
                memory = self._found[identity] = self._read(identity) or Memory()
            self._found.move_to_end(identity)
            return memory

    def settle(self) -> None:
        """Forget what was not asked for longest, where all takes too much."""
        with self._lock:
            total = sum(memory.nbytes for memory in self._found.values())
            while total > self._most and len(self._found) > 1:
                _, memory = self._found.popitem(last=False)
                total -= memory.nbytes

    def handed_over(self, identity: str) -> Path:
        """Write down what is known of a study, and return the file that a job goes on with.

        What an earlier job has written stays where that is more.
        """
        with self._lock:
            self._clean()
            path, memory = self._path(identity), self._found.get(identity)
            written = self._read(identity)
            if memory is not None and (written is None or memory.nbytes > written.nbytes):
                memory.save(path, identity)
            return path

    def renew(self, identity: str) -> bool:
        """Take over what a job has written; say whether that is more than what was known."""
        with self._lock:
            written, memory = self._read(identity), self._found.get(identity)
            if written is None or (memory is not None and memory.nbytes >= written.nbytes):
                return False
            self._found[identity] = written
            return True

    def close(self) -> None:
        """Give the folder back."""
        self._folder.close()

    def _path(self, identity: str) -> Path:
        return self._folder.path / f"{identity}.npz"

    def _read(self, identity: str) -> Memory | None:
        with suppress(EvaluationError):
            if (path := self._path(identity)).is_file():
                return Memory.load(path, identity)
        return None

    def _clean(self) -> None:
        files = sorted(self._folder.path.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total <= self._disk:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)
