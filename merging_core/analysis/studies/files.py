"""What a study leaves in a folder: its numbers as JSON, each table as CSV, and what was measured, to go on with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from merging_core.analysis.studies.contract import Finding, Table
from merging_core.analysis.studies.spec import StudySpec
from merging_core.spreadsheets import csv_of

__all__ = ["MEMORY", "NUMBERS", "Keeping", "document_of", "write_tables", "write_whole"]

NUMBERS, MEMORY = "numbers.json", "memory.npz"
_EVERY, _SHARE = 5.0, 20.0
"""Seconds between two times that what was measured is written, and how many times as long as writing took, at least."""


class Keeping:
    """When what was measured is written down: every five seconds, and less often where writing takes long.

    >>> now = [0.0]
    >>> keeping = Keeping(lambda: now[0])
    >>> now[0] = 6.0
    >>> with keeping.writing():
    ...     now[0] = 8.0
    >>> now[0] = 47.0
    >>> keeping.due()
    False
    >>> now[0] = 49.0
    >>> keeping.due()
    True
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + _EVERY

    def due(self) -> bool:
        """Say whether it is time again."""
        return self._clock() > self._next

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Measure how long writing takes."""
        begun = self._clock()
        yield
        ended = self._clock()
        self._next = ended + max(_EVERY, _SHARE * (ended - begun))


def document_of(spec: StudySpec, found: Finding) -> dict[str, object]:
    """Return what was asked and what was found as one JSON document."""
    return {"spec": spec.as_json(), "share": found.share, "complete": found.complete, **found.numbers}


def write_tables(folder: Path, tables: Mapping[str, Table]) -> None:
    """Write a CSV for each table into a folder."""
    for name, table in tables.items():
        write_whole(folder / f"{name}.csv", csv_of(table.header, table.rows).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file: the old one stays or the new one stands there, never half of it."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
