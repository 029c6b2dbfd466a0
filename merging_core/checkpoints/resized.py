"""A model with the rows that another one has: its own as far as they are taken, then the other's.

Models that were given tokens of their own have embeddings and heads with other numbers of rows. With the rows of the
base in place of what is not shared, they have one shape, and nothing is added to those rows.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from merging_core.checkpoints.header import LeafHeader
from merging_core.checkpoints.reader import Checkpoint, Reading, Room

__all__ = ["ResizedCheckpoint", "resized"]


@dataclass(frozen=True, eq=False)
class ResizedCheckpoint(Checkpoint):
    """The leaves of `own`, some of them with rows of `other` from a row on, in its shape."""

    own: Checkpoint = field(kw_only=True, repr=False)
    other: Checkpoint = field(kw_only=True, repr=False)
    rows: Mapping[str, int] = field(kw_only=True, repr=False)
    """By leaf, how many rows are the model's own."""

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Keep the files of both open between reads."""
        with self.own.reading() as own, self.other.reading() as other:
            yield _ResizedReading(self, own, other)

    @property
    def pin_content(self) -> str:
        """The digest of the model itself, as it lies there."""
        return self.own.pin_content

    def compute_content(self) -> str:
        """Return the digest of both and of which rows are whose."""
        return _together(self.own.content(), self.other.content(), self.rows)

    def tied_by(self, config: Mapping[str, Any]) -> Checkpoint:
        """Return itself: what is tied was found before."""
        return self

    def check_twins(self) -> None:
        """Raise CheckpointError where leaves that the configuration ties hold different numbers."""
        self.own.check_twins()


def resized(own: Checkpoint, other: Checkpoint, rows: Mapping[str, int], config: Mapping[str, Any]) -> Checkpoint:
    """Return a model with the first `rows` of some leaves its own and the rest of `other`, which has their shape.

    `config` is what its configuration says then.
    """

    def leaf_of(leaf: LeafHeader) -> LeafHeader:
        wanted = other.leaves[leaf.name]
        dtype = leaf.dtype if leaf.dtype == wanted.dtype else "F32"
        return LeafHeader(leaf.name, dtype, wanted.shape, leaf.file, leaf.offset)

    leaves = {name: leaf_of(leaf) if name in rows else leaf for name, leaf in own.leaves.items()}
    known = own.known_content is not None and other.known_content is not None
    content = _together(own.content(), other.content(), rows) if known else None
    fields = {name: getattr(own, name) for name in ("ref", "label", "folder", "files", "root", "twins")}
    return ResizedCheckpoint(
        **fields, config=dict(config), leaves=leaves, known_content=content, own=own, other=other, rows=rows
    )


class _ResizedReading(Reading):
    def __init__(self, checkpoint: ResizedCheckpoint, own: Reading, other: Reading) -> None:
        super().__init__(checkpoint)
        self._resized = checkpoint
        self._own = own
        self._other = other

    def read_range(
        self, name: str, start: int, stop: int, *, check: bool = True, room: Room | None = None
    ) -> torch.Tensor:
        if name not in self._resized.rows:
            return self._own.read_range(name, start, stop, check=check, room=room)
        leaf = self._leaf(name)
        end = self._resized.rows[name] * math.prod(leaf.shape[1:])
        if stop <= end or start >= end:
            parts = [(self._own if stop <= end else self._other).read_range(name, start, stop, check=check, room=room)]
        else:
            parts = [self._own.read_range(name, start, end, check=check)]
            parts.append(self._other.read_range(name, end, stop, check=check))
        if leaf.dtype == "F32":
            parts = [part.float() for part in parts]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def read(self, name: str) -> torch.Tensor:
        leaf = self._leaf(name)
        return self.read_range(name, 0, leaf.elements).view(leaf.shape)

    def data_digest(self, name: str, hear: Callable[[int], None] | None = None) -> bytes:
        """Return the sha256 of a leaf's numbers as they are read."""
        data = self.read(name).view(-1).view(torch.uint8).numpy().data
        if hear is not None:
            hear(len(data))
        return hashlib.sha256(data).digest()

    def close(self) -> None:
        """Close both files."""
        self._own.close()
        self._other.close()


def _together(own: str, other: str, rows: Mapping[str, int]) -> str:
    text = f"rows\n{own}\n{other}\n{json.dumps(dict(rows), sort_keys=True)}\n"
    return hashlib.sha256(text.encode()).hexdigest()
