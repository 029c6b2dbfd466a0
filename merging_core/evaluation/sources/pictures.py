"""Labelled pictures that are not read yet, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merging_core.checkpoints.files import open_regular
from merging_core.errors import CheckpointError, EvaluationError, Problem

__all__ = ["ALL", "MAX_CLASSES", "MAX_LISTED", "PictureSet", "Pictures", "canonical_split", "checked", "picture_bytes"]

ALL = "all"
"""The split of a source that has none."""
MAX_LISTED = 2_000_000
"""Most examples that a source may list."""
MAX_CLASSES = 30_000
_SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one split: `labels` of all, and `read(indices)`, which yields the files' bytes in ascending order."""

    labels: tuple[int, ...]
    read: Callable[[Sequence[int]], Iterator[bytes]]


@dataclass(frozen=True, eq=False)
class PictureSet:
    """What a source holds: class names by label, and the splits that it has (`ALL` alone if it has none)."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Pictures]
    source: str
    """Where the pictures come from, in words."""


def canonical_split(name: str) -> str | None:
    """Return the split that a name means, or None.

    >>> canonical_split("valid"), canonical_split("extra")
    ('validation', None)
    """
    return _SPLITS.get(name.lower())


def checked(found: PictureSet) -> PictureSet:
    """Return `found`, or raise EvaluationError with everything about its classes, labels and sizes that cannot be."""
    problems = []
    count, total = len(found.classes), sum(len(pictures.labels) for pictures in found.splits.values())
    if not 2 <= count <= MAX_CLASSES:
        problems.append(Problem(f"there are 2 to {MAX_CLASSES:,} classes", str(count), "classes"))
    if len(set(found.classes)) < count or not all(name.strip() for name in found.classes):
        problems.append(Problem("class names differ and are not empty", "some that do not or are", "classes"))
    if not 1 <= total <= MAX_LISTED:
        fix = "an accuracy over no example is not a number" if total == 0 else "give fewer shards"
        problems.append(Problem(f"there are 1 to {MAX_LISTED:,} pictures", f"{total:,}", "pictures", fix))
    for split, pictures in found.splits.items():
        outside = [label for label in pictures.labels if not 0 <= label < count]
        if outside:
            fix = "leave this split out" if set(outside) == {-1} else ""
            got = f"{outside[0]} and {len(outside) - 1} more" if len(outside) > 1 else str(outside[0])
            problems.append(Problem(f"labels of {split} are from 0 to {count - 1}", got, split, fix))
    if problems:
        raise EvaluationError(*problems).located(found.name)
    return found


def picture_bytes(path: Path, root: Path, most: int) -> bytes:
    """Return at most `most` + 1 bytes of a regular file inside `root`; raises EvaluationError as opening does."""
    try:
        with open_regular(path, root=root) as file:
            pieces, left = [], most + 1
            while left and (piece := file.read(left)):
                pieces.append(piece)
                left -= len(piece)
            return b"".join(pieces)
    except CheckpointError as error:
        raise EvaluationError(*error.problems) from None
