"""A checkpoint while it is written: any part of any leaf, in any order, at the place that the plan gives it.

What was written is noted in a journal once it is on the disk, so that a later process can go on where one was killed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import torch

from merging_core.checkpoints.dtypes import dtype_name, item_size
from merging_core.checkpoints.growing import Growing
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.layout import layout
from merging_core.checkpoints.shards import Shard
from merging_core.errors import CheckpointError, Problem

__all__ = ["Draft"]

Range = tuple[int, int]

_NOTED_EVERY = 256 << 20
_NOTED_SECONDS = 5.0
"""Bytes, and seconds, after which what was written is brought to the disk and noted: what a killed process loses."""
_WRITTEN_AT_ONCE = 1 << 30


@dataclass(frozen=True)
class _Place:
    number: int
    spec: LeafSpec
    file: str
    offset: int


class Draft:
    """The weights of a checkpoint in a folder that grows; threads may write at the same time.

    `starts` are the headers of the files. In a folder that an earlier process began, what it noted is there already.
    """

    def __init__(self, place: Growing, parts: Sequence[Shard], starts: Sequence[bytes]) -> None:
        self._growing = place
        self._places = {found.spec.name: found for found in _placed(parts, starts)}
        self._lock = threading.Lock()
        self._ranges: dict[str, tuple[Range, ...]] = {}
        self._fresh: list[tuple[_Place, Range]] = []
        self._unsynced, self._noted = 0, time.monotonic()
        sizes = {part.file: len(start) + part.nbytes for part, start in zip(parts, starts, strict=True)}
        if place.noted and _are_there(place.path, sizes):
            self._recall(place.noted)
        else:
            place.forget()
            for part, start in zip(parts, starts, strict=True):
                _made(place.path / part.file, start, sizes[part.file])
        self._files = tuple(sizes)

    @property
    def folder(self) -> Path:
        """Where the checkpoint will be."""
        return self._growing.folder

    @property
    def begun(self) -> bool:
        """Whether anything of it is there."""
        return bool(self._ranges)

    def missing(self, name: str) -> tuple[Range, ...]:
        """Return which elements of a leaf, start ≤ i < stop, are still to be written."""
        found, at = [], 0
        for start, stop in self._ranges.get(name, ()):
            if start > at:
                found.append((at, start))
            at = stop
        elements = self._places[name].spec.elements
        return tuple([*found, (at, elements)] if at < elements else found)

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        """Write elements start, start + 1, … of a leaf.

        Shapes: values [n], in the leaf's dtype. Raises CheckpointError where they are not of this leaf, OSError.
        """
        place = self._places[name]
        spec, stop = place.spec, start + values.numel()
        if dtype_name(values.dtype) != spec.dtype or not 0 <= start <= stop <= spec.elements:
            must = f"{name} holds {spec.elements} elements of {spec.dtype}"
            raise CheckpointError(Problem(must, f"{start} to {stop} of {dtype_name(values.dtype)}", place.file))
        if stop == start:
            return
        data = values.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data
        with (self._growing.path / place.file).open("r+b", buffering=0) as file:
            _write_at(file, data, place.offset + start * item_size(spec.dtype))
        with self._lock:
            self._ranges[name] = _joined((*self._ranges.get(name, ()), (start, stop)))
            self._fresh.append((place, (start, stop)))
            self._unsynced += len(data)
            full = self._unsynced >= _NOTED_EVERY or time.monotonic() - self._noted >= _NOTED_SECONDS
            self._noted = time.monotonic() if full else self._noted
        if full:
            self.note()

    def note(self) -> None:
        """Bring what was written to the disk and note it, so that a later process need not write it again."""
        with self._lock:
            fresh, self._fresh, self._unsynced = self._fresh, [], 0
        for file in dict.fromkeys(place.file for place, _ in fresh):
            _flush(self._growing.path / file)
        self._growing.note(f"{place.number} {start} {stop}" for place, (start, stop) in fresh)

    def finish(self) -> None:
        """Bring everything to the disk. Raises CheckpointError where something is missing."""
        for name in self._places:
            if missing := self.missing(name):
                must = f"every element of {name} is written"
                raise CheckpointError(Problem(must, f"nothing from {missing[0][0]} on", self._places[name].file))
        for file in self._files:
            _flush(self._growing.path / file)

    def _recall(self, lines: Iterable[str]) -> None:
        places = list(self._places.values())
        for line in lines:
            words = line.split(" ")
            if len(words) == 3 and all(word.isascii() and word.isdigit() for word in words):
                number, start, stop = map(int, words)
                if number < len(places) and start < stop <= places[number].spec.elements:
                    name = places[number].spec.name
                    self._ranges[name] = _joined((*self._ranges.get(name, ()), (start, stop)))


def _placed(parts: Sequence[Shard], starts: Sequence[bytes]) -> Iterator[_Place]:
    number = 0
    for part, start in zip(parts, starts, strict=True):
        end = len(start)
        for leaf in layout(part.leaves):
            yield _Place(number, leaf, part.file, end)
            end += leaf.nbytes
            number += 1


def _are_there(folder: Path, sizes: Mapping[str, int]) -> bool:
    try:
        return all((folder / file).lstat().st_size == size for file, size in sizes.items())
    except OSError:
        return False


def _made(path: Path, start: bytes, size: int) -> None:
    with path.open("wb", buffering=0) as file:
        _write_at(file, memoryview(start), 0)
        file.truncate(size)


def _write_at(file: FileIO, data: memoryview, offset: int) -> None:
    """Write everything; the file was opened for this write alone, since a checkpoint may have more than can be open."""
    file.seek(offset)
    while len(data):
        data = data[file.write(data[:_WRITTEN_AT_ONCE]) :]


def _flush(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        os.fsync(file.fileno())


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort ranges and join those that touch.

    >>> _joined([(4, 6), (0, 2), (2, 4), (8, 9)])
    ((0, 6), (8, 9))
    """
    found: list[Range] = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return tuple(found)
