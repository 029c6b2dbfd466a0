"""Answers that stand still between two requests of a page, and go on where they stood."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from app.geometry.memories import Memories
from app.live import Cancelled
from merging_core.analysis.studies.contract import Finding, StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.errors import CancelledError, Problem

__all__ = ["Looks"]

_SECONDS = 0.3
"""How long one request goes on before it answers with what it has."""
_OPEN = 6
"""Answers that stand still at the same time; one that is closed goes on from its memory."""
_PATIENCE = 0.02


class Looks:
    """Goes on with studies, a moment at a time; whoever asks the same shares what is measured."""

    def __init__(self, memories: Memories, *, seconds: float = _SECONDS) -> None:
        self._memories = memories
        self._seconds = seconds
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, str], _Open] = OrderedDict()

    def more(self, spec: StudySpec, bench: StudyBench, identity: str, cancelled: Cancelled) -> Finding:
        """Return the newest finding, which is one more than the last time unless it is complete, or `long` comes next.

        Raises CancelledError where somebody else waits or nobody does, and whatever the study says.
        """
        key = (identity, json.dumps(spec.as_json(), sort_keys=True))
        memory = self._memories.of(identity)
        with self._lock:
            found = self._open.get(key)
            if found is None or found.memory is not memory:
                found = self._open[key] = _Open(spec, bench, memory)
            self._open.move_to_end(key)
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        try:
            with found.held(cancelled):
                return found.more(self._seconds)
        finally:
            self._memories.settle()
            with self._lock:
                if found.ended and self._open.get(key) is found:
                    del self._open[key]


class _Open:
    """One answer; one thread at a time goes on with it."""

    def __init__(self, spec: StudySpec, bench: StudyBench, memory: Memory) -> None:
        self.memory = memory
        self.ended = False
        """Whether it was broken off; what was measured is in the memory."""
        self._cancelled: Cancelled = lambda: False
        self._lock = threading.Lock()
        self._findings: Iterator[Finding] = spec.info.answer(spec, replace(bench, cancelled=self._unwanted), memory)
        self._last: Finding | None = None

    @contextmanager
    def held(self, cancelled: Cancelled) -> Iterator[None]:
        """Wait for whoever goes on with it just now."""
        while not self._lock.acquire(timeout=_PATIENCE):
            if cancelled():
                raise _unwanted()
        self._cancelled = cancelled
        try:
            yield
        finally:
            self._cancelled = lambda: False
            self._lock.release()

    def more(self, seconds: float) -> Finding:
        """Go on for so many seconds, by one finding at least."""
        until = time.monotonic() + seconds
        last = self._last
        while last is None or not (last.complete or last.long):
            last = self._last = self._next()
            if time.monotonic() > until:
                break
            if not last.complete and self._cancelled():
                raise _unwanted()
        return last

    def _unwanted(self) -> bool:
        """Say whether whoever goes on with it just now should stop."""
        return self._cancelled()

    def _next(self) -> Finding:
        """Return the next finding; after the last one, let go of the models."""
        try:
            found = next(self._findings, None)
        except BaseException:
            self.ended = True
            raise
        if found is None:
            self.ended = True
            raise RuntimeError("a study ends with a complete finding")
        if found.complete:
            self._findings = iter(())
        return found


def _unwanted() -> CancelledError:
    return CancelledError(Problem("a study goes on while its answer is wanted", "a newer request"))
