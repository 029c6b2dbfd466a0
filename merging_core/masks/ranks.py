"""Ranks among magnitudes, found exactly by counting: no sorted copy, and the same answer however a vector is cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from merging_core.native import loops

__all__ = ["MOST_HELD", "Rewalked", "joined", "magnitudes_at", "magnitudes_of_ranks", "magnitudes_of_rows", "standings"]

_HALF = 16
_BINS = 1 << _HALF
_MAGNITUDE = (1 << 31) - 1
"""The bits of a number without its sign."""
_PIECE = 1 << 18
_BATCH = 1 << 17
_SMALL = _BINS
_SPREAD = 8.0
"""Standard deviations by which a sample may miss a rank: pieces of neighbours tell less than single elements."""
_MOST_GUESSED = 0.125
"""The share of the elements that may be held by a guess; more of them cost more than a walk."""
MOST_HELD = 1 << 24
"""Elements that are held at the most."""

Words = tuple[int, int]
"""A range of magnitudes, read as integers, both ends included."""


@dataclass(frozen=True)
class Rewalked:
    """Pieces that can be walked more than once: each walk calls `read` again.

    `size`: the number of elements, where it is known. `sample`: some of the elements, spread over all of them, where a
    walk costs much; from them the ranks are guessed, so that most often one quick walk is enough.

    >>> pieces = Rewalked(lambda: iter([1, 2]))
    >>> list(pieces), list(pieces)
    ([1, 2], [1, 2])
    """

    read: Callable[[], Iterator[torch.Tensor]]
    size: int | None = None
    sample: Callable[[], Iterator[torch.Tensor]] | None = None

    def __iter__(self) -> Iterator[torch.Tensor]:
        return self.read()


def magnitudes_at(pieces: Iterable[torch.Tensor], ranks: Callable[[int], Sequence[int]]) -> torch.Tensor:
    """Return the magnitudes at the ranks that `ranks(n)` names for n elements: rank 1 is the largest |x|.

    Shapes: each piece [n] float32 → [R] float32. `pieces` is walked up to three times; twice where its size is known,
    and most often once where there is a sample too (`Rewalked`), thrice where that misled.

    Raises ValueError if there is no element of such a rank.

    >>> magnitudes_at([torch.tensor([0.5, -3.0, 2.0, 1.0])], lambda size: (1, size // 2)).tolist()
    [3.0, 2.0]
    """
    size = pieces.size if isinstance(pieces, Rewalked) else None
    held = list[torch.Tensor]()
    if size is None or 0 < size <= _SMALL:
        size = 0
        for piece in pieces:
            size += piece.numel()
            if size <= _SMALL:
                held.append(piece.reshape(-1))
    if 0 < size <= _SMALL:
        # Selecting directly costs less here than counting into 65 536 bins; the answer is the same.
        return _selected(torch.cat(held).detach().abs(), ranks(size))
    return magnitudes_of_ranks(pieces, ranks(size))


def magnitudes_of_ranks(pieces: Iterable[torch.Tensor], ranks: Sequence[int]) -> torch.Tensor:
    """Return the k-th largest |x| over all pieces for each rank k, exactly.

    The bits of a non-negative float32, read as an integer, are ordered as the numbers are. So the answer is found by
    counting: once by the upper 16 bits, once by the lower 16 among those that share the upper ones. Counts are
    integers: the result does not depend on pieces, threads or device, and no sorted copy is needed. Where a sample
    tells about which upper bits it will be, the elements that have them are held and those above are counted, and
    there is nothing else to be done unless the guess was wrong.

    Shapes: each piece [n] float32, finite; returns [R] float32 on the pieces' device. `pieces` is walked twice at most,
    and thrice where a sample misled.

    Raises ValueError if there is no element of a rank.

    >>> magnitudes_of_ranks([torch.tensor([0.5, -3.0]), torch.tensor([2.0])], (2, 3)).tolist()
    [2.0, 0.5]
    """
    if isinstance(pieces, Rewalked) and (guesses := _guesses(pieces, ranks)):
        found = _guessed(pieces, ranks, guesses)
        if found is not None:
            return found
    return magnitudes_of_rows(_OneRow(pieces), ranks)[0]


def magnitudes_of_rows(pieces: Iterable[torch.Tensor], ranks: Sequence[int]) -> torch.Tensor:
    """Return what `magnitudes_of_ranks` does for each row of pieces [S, n]: [S, R]. `pieces` is walked twice at most.

    Raises ValueError if there is no element of a rank, or no piece.

    >>> magnitudes_of_rows([torch.tensor([[1.0, -3.0], [0.5, 0.0]]), torch.tensor([[2.0], [7.0]])], (1, 2)).tolist()
    [[3.0, 2.0], [7.0, 0.5]]
    """
    uppers = _upper_counts(pieces)
    for rank in ranks:
        if rank < 1 or not uppers or int(uppers[0].sum()) < rank:
            raise ValueError(f"there is no element of rank {rank}")
    found = [[_bin_of_rank(counts, rank) for rank in ranks] for counts in uppers]
    bins = [tuple(dict.fromkeys(bin_of for bin_of, _ in row)) for row in found]
    lowers = _lower_counts(pieces, bins)
    if not lowers:
        raise ValueError("pieces must give the same elements when they are walked again")
    rows = []
    for row, within, counts in zip(found, bins, lowers, strict=True):
        lower = dict(zip(within, counts, strict=True))
        ranked = zip(ranks, row, strict=True)
        rows.append(
            [(bin_of << _HALF) | _bin_of_rank(lower[bin_of], rank - above)[0] for rank, (bin_of, above) in ranked]
        )
    return torch.tensor(rows, dtype=torch.int32, device=uppers[0].device).view(torch.float32)


def _selected(magnitudes: torch.Tensor, ranks: Sequence[int]) -> torch.Tensor:
    """Return the magnitudes at some ranks of a few; raises ValueError if there is no element of a rank."""
    size = magnitudes.numel()
    if not all(1 <= rank <= size for rank in ranks):
        raise ValueError(f"there is no element of one of the ranks {tuple(ranks)} among {size}")
    places = [size - rank for rank in ranks]
    if magnitudes.device.type != "cpu":
        return torch.stack([torch.kthvalue(magnitudes, place + 1).values for place in places])
    # On a CPU numpy takes a twentieth of torch's time for this.
    return torch.from_numpy(np.partition(magnitudes.numpy(), places)[places])


class _OneRow:
    """Pieces of any shape as one row, walked again as often as they can be."""

    def __init__(self, pieces: Iterable[torch.Tensor]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (piece.reshape(1, -1) for piece in self.pieces)


def standings(rows: torch.Tensor) -> torch.Tensor:
    """Return where each element stands among the magnitudes of its row: (rank + ½)/n, counted from the smallest.

    Equal magnitudes share the mean of their ranks, so the answer depends on no order of elements; the mean of a row is
    ½, and a row of one element stands at ½.

    Shapes: rows [r, n] float32 → [r, n] float32 in (0, 1).

    >>> standings(torch.tensor([[0.5, -3.0, 2.0, 2.0]])).tolist()
    [[0.125, 0.875, 0.5, 0.5]]
    """
    size = rows.shape[1]
    sorted_rows, order = rows.abs().sort(dim=1)
    places = torch.arange(size, device=rows.device).expand_as(order)
    starts = torch.ones_like(sorted_rows, dtype=torch.bool)
    starts[:, 1:] = sorted_rows[:, 1:] != sorted_rows[:, :-1]
    first = torch.where(starts, places, 0).cummax(dim=1).values
    ends = torch.ones_like(starts)
    ends[:, :-1] = starts[:, 1:]
    last = torch.where(ends, places, size).flip(1).cummin(dim=1).values.flip(1)
    middle = (first + last + 1).to(torch.float32) / (2 * size)
    return torch.empty_like(rows).scatter_(1, order, middle)


def _guesses(pieces: Rewalked, ranks: Sequence[int]) -> tuple[Words, ...]:
    """Guess from a sample among which words each rank lies; nothing where there is none, or it tells little."""
    if pieces.sample is None or not pieces.size:
        return ()
    some = [piece.reshape(-1) for piece in pieces.sample()]
    if not sum(piece.numel() for piece in some):
        return ()
    words = torch.cat(some).detach().abs().view(torch.int32)
    # On a CPU numpy sorts a few integers in a fraction of torch's time.
    rising = words.sort().values if words.device.type != "cpu" else torch.from_numpy(np.sort(words.numpy()))
    found, count = list[Words](), rising.numel()
    for rank in ranks:
        share = min(1.0, rank / pieces.size)
        miss = _SPREAD * math.sqrt(share * (1.0 - share) / count) + 1.0 / count
        top = _MAGNITUDE if share <= miss else int(rising[count - 1 - math.floor((share - miss) * (count - 1))])
        low = 0 if share + miss >= 1.0 else int(rising[count - 1 - math.ceil((share + miss) * (count - 1))])
        found.append((low & ~(_BINS - 1), top | (_BINS - 1)))
    held = sum(int(((rising >= low) & (rising <= top)).sum()) for low, top in dict.fromkeys(found))
    return tuple(found) if held <= _MOST_GUESSED * count else ()


def _guessed(pieces: Iterable[torch.Tensor], ranks: Sequence[int], guesses: Sequence[Words]) -> torch.Tensor | None:
    """Return the magnitudes at the ranks if each lies where it was guessed; `pieces` is walked once."""
    ranges = tuple(dict.fromkeys(guesses))
    held: _Held | None = None
    above = [0] * len(ranges)
    for piece in pieces:
        for part in torch.split(piece.detach().reshape(-1), _PIECE):
            words, more = _in_ranges(part, ranges)
            held = held or _Held(part.device)
            above = [known + new for known, new in zip(above, more, strict=True)]
            if not held.add(words):
                return None
    if held is None:
        return None
    known, found = held.words(), []
    for rank, guess in zip(ranks, guesses, strict=True):
        inside = known if len(ranges) == 1 else known[(known >= guess[0]) & (known <= guess[1])]
        within = rank - above[ranges.index(guess)]
        if not 1 <= within <= inside.numel():
            return None
        found.append(_selected(inside.view(torch.float32), (within,)))
    return torch.cat(found)


def _upper_counts(pieces: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Count each row by upper 16 bits."""
    counts: torch.Tensor | None = None
    for part in _parts(pieces):
        if counts is None:
            counts = torch.zeros(part.shape[0], 2, _BINS, dtype=torch.int64, device=part.device)
        for row, tables in zip(part.detach(), counts, strict=True):
            if not loops.count_upper(row, tables):
                tables[0] += torch.bincount(row.abs().view(torch.int32) >> _HALF, minlength=_BINS)
    return [] if counts is None else list(counts.sum(1))


class _Held:
    """The words that were guessed, in one place: many small ones between large pieces would leave holes in memory."""

    def __init__(self, device: torch.device) -> None:
        self._room = torch.empty(_BINS, dtype=torch.int32, device=device)
        self._count = 0

    def add(self, more: torch.Tensor) -> bool:
        """Hold some words more; say whether they are few altogether."""
        count = self._count + more.numel()
        if count > MOST_HELD:
            return False
        if count > self._room.numel():
            room = torch.empty(2 * count, dtype=torch.int32, device=more.device)
            room[: self._count] = self._room[: self._count]
            self._room = room
        self._room[self._count : count] = more
        self._count = count
        return True

    def words(self) -> torch.Tensor:
        """Return what is held."""
        return self._room[: self._count]


def _lower_counts(pieces: Iterable[torch.Tensor], bins: Sequence[Sequence[int]]) -> list[list[torch.Tensor]]:
    """Count, for each bin of each row, the lower 16 bits of the elements in that bin."""
    counts: list[list[torch.Tensor]] = []
    for part in _parts(pieces):
        found = []
        for row, uppers in zip(part, bins, strict=True):
            ranges = [(upper << _HALF, (upper << _HALF) | (_BINS - 1)) for upper in uppers]
            words = [_in_ranges(row.detach(), [one])[0] & (_BINS - 1) for one in ranges]
            found.append([torch.bincount(word, minlength=_BINS) for word in words])
        if counts:
            found = [
                [one + more for one, more in zip(known, new, strict=True)]
                for known, new in zip(counts, found, strict=True)
            ]
        counts = found
    return counts


def _in_ranges(row: torch.Tensor, ranges: Sequence[Words]) -> tuple[torch.Tensor, Sequence[int]]:
    """Return the magnitudes, as words, that lie in one of some ranges, in order, and how many lie above each."""
    if (quick := loops.within(row, ranges)) is not None:
        return quick
    bits = row.abs().view(torch.int32)
    if bits.device.type != "cpu":
        inside = torch.stack([(bits >= low) & (bits <= top) for low, top in ranges]).any(0)
        return bits[inside], torch.stack([(bits > top).sum() for _, top in ranges]).tolist()
    # On a CPU numpy takes a quarter of torch's time for this.
    words = bits.numpy()
    taken = np.zeros(words.shape, dtype=bool)
    for low, top in ranges:
        taken |= (words >= low) & (words <= top)
    return torch.from_numpy(words[taken]), [int(np.count_nonzero(words > top)) for _, top in ranges]


def _parts(pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Give pieces a size for counting: more elements than bins, and few enough for the cache."""
    for batch in joined(pieces, _BATCH):
        yield from torch.split(batch, _PIECE, dim=1)


def joined(pieces: Iterable[torch.Tensor], least: int) -> Iterator[torch.Tensor]:
    """Join small neighbours [S, n] until each has at least so many columns; the last may have fewer.

    >>> [piece.shape[1] for piece in joined([torch.zeros(1, 2), torch.zeros(1, 3), torch.zeros(1, 1)], 4)]
    [5, 1]
    """
    held, size = list[torch.Tensor](), 0
    for piece in pieces:
        held.append(piece)
        size += piece.shape[1]
        if size >= least:
            yield held[0] if len(held) == 1 else torch.cat(held, dim=1)
            held, size = [], 0
    if held:
        yield torch.cat(held, dim=1)


def _bin_of_rank(counts: torch.Tensor, rank: int) -> tuple[int, int]:
    """Return the bin, counted from the largest, that holds the element of this rank, and how many lie above the bin."""
    reached = counts.flip(0).cumsum(0)
    index = int(torch.searchsorted(reached, rank))
    above = int(reached[index - 1]) if index > 0 else 0
    return _BINS - 1 - index, above
