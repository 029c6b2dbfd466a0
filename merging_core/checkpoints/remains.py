"""What a killed process left of a checkpoint that it wrote: how much of it is there to go on with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from merging_core.checkpoints.dtypes import item_size
from merging_core.checkpoints.growing import JOURNAL, neighbours
from merging_core.checkpoints.header import read_header
from merging_core.checkpoints.layout import layout
from merging_core.errors import BasinError

__all__ = ["Remains", "remains"]

_BLOCK = 512


@dataclass(frozen=True)
class Remains:
    """A checkpoint that nobody writes any more."""

    share: float
    """Of its weights that are there for certain, in [0, 1]."""
    nbytes: int
    """Bytes that it takes on the disk."""


def remains(folder: str | Path) -> Remains | None:
    """Return what is left of a checkpoint that was to be `folder`; None where nothing can be gone on with.

    Of several the one that is furthest, with the bytes of all. Reads headers and journals alone.

    >>> remains("no-such-folder/merged") is None
    True
    """
    found = neighbours(Path(folder).absolute())
    share = max((_share(path) for path in found), default=0.0)
    return Remains(share, sum(_bytes(path) for path in found)) if share else None


def _share(path: Path) -> float:
    """Return which share of the weights the journal says to be on the disk."""
    try:
        lines = (path / JOURNAL).read_text("utf-8", errors="replace").split("\n")[1:-1]
        headers = [read_header(file) for file in sorted(path.glob("*.safetensors"))]
    except (OSError, BasinError):
        return 0.0
    sizes = [item_size(leaf.dtype) for header in headers for leaf in layout(header.leaves)]
    total, noted = sum(leaf.nbytes for header in headers for leaf in header.leaves), 0
    for line in lines:
        words = line.split(" ")
        if len(words) == 3 and all(word.isascii() and word.isdigit() for word in words):
            number, start, stop = map(int, words)
            noted += sizes[number] * (stop - start) if number < len(sizes) and start < stop else 0
    return min(1.0, noted / total) if total else 0.0


def _bytes(path: Path) -> int:
    """Return what the files take: of one that has holes, what was written."""
    kept = [file.lstat() for file in path.rglob("*") if file.is_file()]
    return sum(found.st_blocks * _BLOCK if hasattr(found, "st_blocks") else found.st_size for found in kept)
