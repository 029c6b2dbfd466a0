"""How far a merge is: one line on a terminal, or a line of JSON now and then for programs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from merging_core.errors import legible

if TYPE_CHECKING:
    from merging_core.engines.progress import Standing

__all__ = ["JsonLines", "ProgressLine"]

_TOLD_EVERY, _WRITTEN_EVERY = 0.2, 0.5


class ProgressLine:
    """Called with the share that is done and what is being done; wiped at the end, so that only the answer stays.

    >>> import io
    >>> with ProgressLine(io.StringIO()) as progress:
    ...     progress(0.5, "merging")
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._visible = self._stream.isatty()
        self._last = ""
        self._clock = clock
        self._told = -_TOLD_EVERY

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Take the line away, so that something else can be printed."""
        if self._visible and self._last:
            self._stream.write("\r" + " " * len(self._last) + "\r")
            self._stream.flush()
            self._last = ""

    def stands(self, standing: Standing) -> None:
        """Say how a merge stands, a few times a second."""
        now = self._clock()
        if self._visible and (now - self._told >= _TOLD_EVERY or standing.share >= 1.0):
            self._told = now
            self(standing.share, f"{standing.in_words()}  {standing.what}")

    def __call__(self, share: float, what: str) -> None:
        line = legible(f"{int(100 * share)} % {what}")[: max(20, shutil.get_terminal_size().columns - 1)]
        if self._visible and line != self._last:
            self._stream.write("\r" + line.ljust(len(self._last)))
            self._stream.flush()
            self._last = line


class JsonLines:
    """Writes a JSON object on a line of its own twice a second at most, and at the end.

    >>> lines = JsonLines(sys.stdout, clock=lambda: 0.0)
    >>> lines(0.5, "merging"), lines(0.6, "merging")
    {"what": "merging", "share": 0.5}
    (None, None)
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._told = -_WRITTEN_EVERY
        self._stage = ""

    def __call__(self, share: float, what: str) -> None:
        self._write({"what": what, "share": share}, share)

    def stands(self, standing: Standing) -> None:
        """Say how a merge stands; each stage has a line at its beginning."""
        if standing.stage != self._stage:
            self._stage, self._told = standing.stage, -_WRITTEN_EVERY
        self._write(standing.as_json(), standing.share)

    def _write(self, told: dict[str, object], share: float) -> None:
        now = self._clock()
        if now - self._told >= _WRITTEN_EVERY or share >= 1.0:
            self._told = now
            self._stream.write(json.dumps(told) + "\n")
            self._stream.flush()
