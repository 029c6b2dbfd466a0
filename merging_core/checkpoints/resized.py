"""A model with the rows that another one has, in its order: some are its own, the others are those of the other.

Models that were given tokens of their own have embeddings and heads with other numbers of rows, or with rows in another
order. With the rows of the base in place of what is not shared they have one shape, and nothing is added to those rows.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from merging_core.checkpoints.finite import check_finite
from merging_core.checkpoints.header import LeafHeader
from merging_core.checkpoints.reader import Checkpoint, Reading, Room

__all__ = ["ResizedCheckpoint", "Rows", "first_rows", "resized"]

_NEAR = 1 << 15
"""Bytes between two rows that are read rather than skipped."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Which rows of a leaf are a model's own."""

    places: torch.Tensor
    """For each row of the other model, the number of the own row that stands there, or −1 where it is the other's."""
    unnamed: int = 0
    """How many of the other's rows have no token of their own, where rows are matched by tokens."""
    left_out: int = 0
    """How many tokens only this model has."""
    by_token: bool = False

    @cached_property
    def own(self) -> int:
        """How many rows are the model's own."""
        return int((self.places >= 0).sum())

    @cached_property
    def said(self) -> int | str:
        """What tells these rows from others: a number where they are the first so many, else a digest."""
        own = self.own
        if torch.equal(self.places, first_rows(own, self.places.numel()).places):
            return own
        return hashlib.sha256(self.places.numpy().astype("<i8").data).hexdigest()


def first_rows(own: int, rows: int) -> Rows:
    """Return that the first `own` of so many rows are a model's own.

    >>> first_rows(2, 3).places.tolist()
    [0, 1, -1]
    """
    places = torch.arange(rows)
    return Rows(places.masked_fill_(places >= own, -1))


@dataclass(frozen=True, eq=False)
class ResizedCheckpoint(Checkpoint):
    """The leaves of `own`, some of them with rows of `other`, in its shape."""

    own: Checkpoint = field(kw_only=True, repr=False)
    other: Checkpoint = field(kw_only=True, repr=False)
    rows: Mapping[str, Rows] = field(kw_only=True, repr=False)
    """By leaf, which rows are the model's own."""

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


def resized(
    own: Checkpoint, other: Checkpoint, rows: Mapping[str, Rows], config: Mapping[str, Any]
) -> ResizedCheckpoint:
    """Return a model with some rows of some leaves its own and the rest those of `other`, which has their shape.

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
        found = self._rows_of(leaf, start, stop, check, room)
        return found.float() if leaf.dtype == "F32" else found

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

    def _rows_of(self, leaf: LeafHeader, start: int, stop: int, check: bool, room: Room | None) -> torch.Tensor:
        """Read a part of a leaf of rows: in one go where they lie behind one another in one of the files."""
        name, width = leaf.name, math.prod(leaf.shape[1:])
        if start == stop:
            return self._other.read_range(name, start, stop)
        first, end = start // width, -(-stop // width)
        places = self._resized.rows[name].places[first:end]
        if bool((places < 0).all()):
            return self._other.read_range(name, start, stop, check=check, room=room)
        at = int(places[0])
        if at >= 0 and torch.equal(places, torch.arange(at, at + len(places))):
            back = (first - at) * width
            return self._own.read_range(name, start - back, stop - back, check=check, room=room)
        found = self._chosen(name, places, first, width, leaf.dtype)[start - first * width :][: stop - start]
        if check:
            check_finite(found, f"{self.label}: {name}")
        return found

    def _chosen(self, name: str, places: torch.Tensor, first: int, width: int, dtype: str) -> torch.Tensor:
        """Return whole rows, those of both models beside one another, brought into order by one selection."""
        own, other = places >= 0, places < 0
        rows = torch.arange(first, first + len(places))
        mine, at = _rows(self._own, name, places[own], width)
        theirs, there = _rows(self._other, name, rows[other], width)
        if dtype == "F32":
            mine, theirs = mine.float(), theirs.float()
        order = torch.empty_like(places)
        order[own], order[other] = at, there + len(mine)
        both = torch.cat([mine.view(torch.uint8), theirs.view(torch.uint8)])
        return both.index_select(0, order).view(-1).view(mine.dtype)


def _rows(reading: Reading, name: str, wanted: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of a leaf that hold the wanted ones, `[rows, width]`, and where among them each is.

    Rows that lie near one another are read in one go; never more than the leaf has, nor much more than is wanted.
    """
    rows = torch.unique(wanted)
    near = 1 + _NEAR // (width * reading.read_range(name, 0, 0).element_size())
    parts, at, done, seen = [], torch.empty_like(rows), 0, 0
    for run in rows.tensor_split(torch.nonzero(rows.diff() > near).view(-1) + 1):
        low, high = (int(run[0]), int(run[-1]) + 1) if len(run) else (0, 0)
        parts.append(reading.read_range(name, low * width, high * width, check=False))
        at[seen : seen + len(run)] = run - low + done
        done, seen = done + high - low, seen + len(run)
    return torch.cat(parts).view(-1, width), at[torch.searchsorted(rows, wanted)]


def _together(own: str, other: str, rows: Mapping[str, Rows]) -> str:
    said = {name: one.said for name, one in rows.items()}
    text = f"rows\n{own}\n{other}\n{json.dumps(said, sort_keys=True)}\n"
    return hashlib.sha256(text.encode()).hexdigest()
