"""Tables as text that a spreadsheet reads as text and numbers, never as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

__all__ = ["Cell", "csv_of"]

Cell = str | int | float | None
_RISKY = ("=", "+", "-", "@", "\t", "\r")


def csv_of(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table as CSV (RFC 4180).

    Text that begins with = + - @ or a tab gets an apostrophe in front; numbers are written so that they read back as
    the same numbers; what is unknown is empty.

    >>> csv_of(["name", "x (nats)"], [("=1+1", -0.5), ("a", None)])
    "name,x (nats)\\r\\n'=1+1,-0.5\\r\\na,\\r\\n"
    """
    page = io.StringIO()
    writer = csv.writer(page)
    for row in (header, *rows):
        writer.writerow([_inert(cell) for cell in row])
    return page.getvalue()


def _inert(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_RISKY) else cell
