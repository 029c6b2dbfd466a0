"""How much of the disk a task of pictures takes, before any of them is decoded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

from merging_core.checkpoints import Checkpoint
from merging_core.engines.pricing import amount
from merging_core.errors import EvaluationError
from merging_core.evaluation.architectures import architecture
from merging_core.evaluation.splitting import SHARES

__all__ = ["Size", "examples_of", "side_of", "words_of"]


@dataclass(frozen=True)
class Size:
    """So many pictures of three colours, 8 bits each.

    >>> size = Size(1600, 224)
    >>> size.bytes, size.words
    (240844800, '240.8 MB for 1,600 pictures of 224 × 224')
    """

    pictures: int
    side: int

    @property
    def bytes(self) -> int:
        """Return what they take."""
        return self.pictures * 3 * self.side * self.side

    @property
    def words(self) -> str:
        """Return it for people."""
        return f"{amount(self.bytes)} for {self.pictures:,} pictures of {self.side} × {self.side}"


def words_of(sizes: Collection[Size]) -> str:
    """Return what several tasks take together, for people.

    >>> words_of([Size(10, 8), Size(20, 8)]), words_of([Size(10, 8), Size(10, 16)])
    ('5.8 kB for 30 pictures of 8 × 8', '9.6 kB for 20 pictures')
    """
    pictures, sides = sum(size.pictures for size in sizes), {size.side for size in sizes}
    if len(sides) == 1:
        return Size(pictures, sides.pop()).words
    return f"{amount(sum(size.bytes for size in sizes))} for {pictures:,} pictures"


def side_of(checkpoint: Checkpoint) -> int | None:
    """Return the side of the pictures that a checkpoint reads, by its headers; None where they do not say it."""
    try:
        return architecture(checkpoint.config).input_shape[1]
    except EvaluationError:
        return None


def examples_of(rows: Mapping[str, int], at_most: int) -> int:
    """Return how many examples a task keeps of data with so many rows, by role; a few more or less for each class.

    >>> examples_of({"train": 1000, "test": 300}, 200), examples_of({"all": 100}, 400)
    (725, 100)
    """
    origin = next((role for role in ("train", "all", "test", "validation") if role in rows), None)
    own = [role for role in ("validation", "test") if role in rows and role != origin]
    made = {split: share for split, share in SHARES.items() if split not in own}
    pool = rows.get(origin, 0) if origin is not None else 0
    whole, cuts = sum(made.values()), accumulate(made.values(), initial=0.0)
    parts = (round(pool * end / whole) - round(pool * start / whole) for start, end in pairwise(cuts))
    return sum(min(at_most, rows[role]) for role in own) + sum(min(at_most, part) for part in parts)
