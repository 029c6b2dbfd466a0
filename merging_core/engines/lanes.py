"""On what a streaming merge computes. A lane takes pieces that are read, and gives back pieces that are merged.

The cores of a CPU compute where the pieces lie. An accelerator has memory of its own: `ring` says how pieces go there
and come back. The stages are the same on every lane, and so are the bits of whatever is worked on element by element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol, TypeVar

import torch

__all__ = ["CORES", "LEAST_PART", "Cores", "Lane", "Reads", "Tile", "in_parts", "with_less"]

LEAST_PART = 1 << 12
"""Elements of each model that any device has memory for."""

Found = TypeVar("Found")


class Tile(NamedTuple):
    """Elements start … stop − 1 of the leaf at a place of the space."""

    leaf: int
    start: int
    stop: int


class Reads(Protocol):
    """Reads one piece of one model from its file, into memory that `room` gives for so many bytes, if it gives any."""

    def __call__(self, *, check: bool = True, room: Callable[[int], torch.Tensor | None] | None = None) -> torch.Tensor:
        """Return the piece in its stored dtype; raises NonFiniteError where it is checked and not finite."""


class Lane(Protocol):
    """What the streaming engine asks of the place where it computes; safe to use from several threads."""

    @property
    def device(self) -> torch.device:
        """Where the pieces are while they are worked on."""

    @property
    def piece(self) -> int | None:
        """Elements of each model that are best read at once; None where it is up to the caller."""

    @property
    def workers(self) -> int | None:
        """Threads that read, compute and write; None where it is up to the caller."""

    def working(self) -> AbstractContextManager[object]:
        """Return what a thread does its part of the work in: what is computed inside comes one after the other."""

    def take(self, read: Reads, *, check: bool) -> torch.Tensor:
        """Return a piece where it can be worked on; that it is not finite may be said later, by `give`."""

    def give(self, *made: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what was made, complete and in the memory of the CPU."""

    def exhausted(self, error: RuntimeError) -> bool:
        """Say whether an error means that the memory of the device did not suffice."""

    def relieve(self) -> None:
        """Let go of whatever is held for later."""


class Cores:
    """The cores of a CPU: pieces are worked on where they are read.

    >>> Cores().give(torch.ones(1))
    (tensor([1.]),)
    """

    device = torch.device("cpu")
    piece: int | None = None
    workers: int | None = None

    def working(self) -> AbstractContextManager[object]:
        """Return a context that does nothing."""
        return nullcontext()

    def take(self, read: Reads, *, check: bool) -> torch.Tensor:
        """Read a piece; raises as reading does."""
        return read(check=check)

    def give(self, *made: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the very same tensors."""
        return made

    def exhausted(self, error: RuntimeError) -> bool:
        """Say no: the plan keeps a merge within the memory of the machine."""
        return False

    def relieve(self) -> None:
        """Do nothing: nothing is held."""


CORES = Cores()


def with_less(lane: Lane, size: int, least: int, run: Callable[[Lane, int], Found]) -> Found:
    """Return run(lane, size), again with pieces of half the size while the lane's memory does not suffice.

    What cannot be done with `least` elements at once either is done by the cores of the CPU.

    >>> with_less(CORES, 8, 2, lambda lane, size: size)
    8
    """
    while True:
        try:
            return run(lane, size)
        except RuntimeError as error:
            if not lane.exhausted(error):
                raise
        lane.relieve()
        lane, size = (lane, max(least, size // 2)) if size > least else (CORES, least)


def in_parts(
    lane: Lane, tile: Tile, least: int, merge: Callable[[Tile], torch.Tensor]
) -> Iterator[tuple[Tile, torch.Tensor]]:
    """Yield what is made of a tile, in one part or, where the lane's memory does not suffice, in halves of halves.

    Parts of at most `least` elements are not halved: the error is raised then.

    >>> [part for part, _ in in_parts(CORES, Tile(0, 0, 4), 1, lambda part: torch.zeros(part.stop - part.start))]
    [Tile(leaf=0, start=0, stop=4)]
    """
    waiting = [tile]
    while waiting:
        part = waiting.pop()
        made = _made(lane, part, least, merge)
        if made is not None:
            yield part, made
            continue
        # Only here, after the error and all that it held on to are gone, is there something to let go of.
        lane.relieve()
        middle = part.start + (part.stop - part.start) // 2
        waiting += [Tile(part.leaf, middle, part.stop), Tile(part.leaf, part.start, middle)]


def _made(lane: Lane, part: Tile, least: int, merge: Callable[[Tile], torch.Tensor]) -> torch.Tensor | None:
    try:
        return merge(part)
    except RuntimeError as error:
        if part.stop - part.start <= max(1, least) or not lane.exhausted(error):
            raise
        return None
