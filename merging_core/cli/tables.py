"""Plain text for people: aligned columns, and accuracies as percentages."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from merging_core.evaluation.percent import percent

__all__ = ["aligned", "interval", "percent"]


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> str:
    """Return a table whose columns are as wide as their widest cell; those named in `right` are flush right.

    >>> print(aligned(("task", "n"), [("digits", "200"), ("all", "1000")], right=("n",)))
    task       n
    digits   200
    all     1000
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(row, widths, header, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def interval(bounds: tuple[float, float], *, scale: float = 100.0, digits: int = 1) -> str:
    """Return both ends of an interval, as percentages unless told otherwise.

    >>> interval((0.66, 0.791))
    '66.0 to 79.1'
    >>> interval((0.82, 0.9), scale=1.0, digits=3)
    '0.820 to 0.900'
    """
    low, high = bounds
    return f"{scale * low:.{digits}f} to {scale * high:.{digits}f}"
