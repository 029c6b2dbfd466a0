"""The lines of runs that are watched, read once each: a look reads only what was written since the one before."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from app.learning.files import RunFiles

__all__ = ["Tails"]

_KEPT = 32


@dataclass
class _Tail:
    offset: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)


class Tails:
    """Remembers how far the lines of each run were read; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tails: OrderedDict[tuple[str, int], _Tail] = OrderedDict()

    def lines(self, files: RunFiles) -> list[dict[str, Any]]:
        """Return every line of a run that is written whole."""
        with self._lock:
            try:
                file = files.lines.open("rb")
            except FileNotFoundError:
                return []
            with file:
                key = (str(files.folder), _identity(files))
                tail = self._tails.setdefault(key, _Tail())
                self._tails.move_to_end(key)
                while len(self._tails) > _KEPT:
                    self._tails.popitem(last=False)
                file.seek(tail.offset)
                whole, newline, _ = file.read().rpartition(b"\n")
            if newline:
                tail.offset += len(whole) + 1
                tail.lines += [json.loads(line) for line in whole.split(b"\n")]
            return list(tail.lines)


def _identity(files: RunFiles) -> int:
    """Return what tells a file from the one that takes its place when a run goes on."""
    return files.lines.stat().st_ino
