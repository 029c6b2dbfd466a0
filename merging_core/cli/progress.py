"""One line on a terminal that says how far a merge is; nothing where stderr is a file or a pipe."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TextIO

__all__ = ["ProgressLine"]


class ProgressLine:
    """Called with the share that is done and what is being done; wiped at the end, so that only the answer stays.

    >>> import io
    >>> with ProgressLine(io.StringIO()) as progress:
    ...     progress(0.5, "merging")
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._visible = self._stream.isatty()
        self._last = ""

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

    def __call__(self, share: float, what: str) -> None:
        line = f"{int(100 * share)} % {what}"
        if self._visible and line != self._last:
            self._stream.write("\r" + line.ljust(len(self._last)))
            self._stream.flush()
            self._last = line
