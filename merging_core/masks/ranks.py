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
_TOP = (1 << (_HALF - 1)) - 1
"""The last bin of numbers without a sign."""
_PIECE = 1 << 18
_BATCH = 1 << 17
_SMALL = _BINS
_SPREAD = 8.0
"""Standard deviations by which a sample may miss a rank: pieces of neighbours tell less than single elements."""
_MOST_GUESSED = 0.125
"""The share of the elements whose bin may be guessed; more of them cost more than a walk."""
MOST_HELD = 1 << 24
"""Elements of all rows that are held because their bin was guessed."""

Bins = tuple[int, int]
"""A range of upper halves, both ends included."""


@dataclass(frozen=True)
class Rewalked:
    """Pieces that can be walked more than once: each walk calls `read` again.

    `size`: the number of elements, where it is known. `sample`: some of the elements, spread over all of them, where a
    walk costs much; from them the ranks are guessed, so that most often one walk is enough.

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
    and most often once where there is a sample too (`Rewalked`).

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
    tells about which upper bits it will be, the elements that have them are held at the first walk, and there is no
    second one unless the guess was wrong.

    Shapes: each piece [n] float32, finite; returns [R] float32 on the pieces' device. `pieces` is walked twice at most.

    Raises ValueError if there is no element of a rank.

    >>> magnitudes_of_ranks([torch.tensor([0.5, -3.0]), torch.tensor([2.0])], (2, 3)).tolist()
    [2.0, 0.5]
    """
    return magnitudes_of_rows(_OneRow(pieces), ranks)[0]


def magnitudes_of_rows(pieces: Iterable[torch.Tensor], ranks: Sequence[int]) -> torch.Tensor:
    """Return what `magnitudes_of_ranks` does for each row of pieces [S, n]: [S, R]. `pieces` is walked twice at most.

    Raises ValueError if there is no element of a rank, or no piece.

    >>> magnitudes_of_rows([torch.tensor([[1.0, -3.0], [0.5, 0.0]]), torch.tensor([[2.0], [7.0]])], (1, 2)).tolist()
    [[3.0, 2.0], [7.0, 0.5]]
    """
    guesses = _guesses(pieces, ranks)
    uppers, held = _upper_counts(pieces, guesses)
    for rank in ranks:
        if rank < 1 or not uppers or int(uppers[0].sum()) < rank:
            raise ValueError(f"there is no element of rank {rank}")
    found = [[_bin_of_rank(counts, rank) for rank in ranks] for counts in uppers]
    bins = [tuple(dict.fromkeys(bin_of for bin_of, _ in row)) for row in found]
    right = held is not None and all(any(low <= one <= high for low, high in guesses) for row in bins for one in row)
    lowers = _lower_counts([torch.stack([*held])] if right and held is not None else pieces, bins)
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

    @property
    def sample(self) -> Callable[[], Iterator[torch.Tensor]] | None:
        return self.pieces.sample if isinstance(self.pieces, Rewalked) else None

    @property
    def size(self) -> int | None:
        return self.pieces.size if isinstance(self.pieces, Rewalked) else None

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


def _guesses(pieces: Iterable[torch.Tensor], ranks: Sequence[int]) -> tuple[Bins, ...]:
    """Guess from a sample in which bins the ranks of one row lie; nothing where there is none, or it tells little."""
    if not isinstance(pieces, _OneRow) or pieces.sample is None or not pieces.size:
        return ()
    some = [piece.reshape(-1) for piece in pieces.sample()]
    if not sum(piece.numel() for piece in some):
        return ()
    sample = torch.cat(some).detach().abs()
    highs = sample.view(torch.int32).sort(descending=True).values >> _HALF
    found, last = list[Bins](), highs.numel() - 1
    for rank in ranks:
        share = min(1.0, rank / pieces.size)
        miss = _SPREAD * math.sqrt(share * (1.0 - share) / highs.numel()) + 1.0 / highs.numel()
        top = _TOP if share <= miss else int(highs[math.floor((share - miss) * last)])
        low = 0 if share + miss >= 1.0 else int(highs[math.ceil((share + miss) * last)])
        found.append((low, top))
    held = sum(int(((highs >= low) & (highs <= top)).sum()) for low, top in found)
    return tuple(dict.fromkeys(found)) if held <= _MOST_GUESSED * highs.numel() else ()


def _upper_counts(
    pieces: Iterable[torch.Tensor], guesses: Sequence[Bins]
) -> tuple[list[torch.Tensor], list[torch.Tensor] | None]:
    """Count each row by upper 16 bits; return also the elements of one row whose bins are guessed, if that is few."""
    counts: torch.Tensor | None = None
    held: _Held | None = None
    for part in _parts(pieces):
        if counts is None:
            counts = torch.zeros(part.shape[0], 2, _BINS, dtype=torch.int64, device=part.device)
        for row, tables in zip(part.detach(), counts, strict=True):
            if not loops.count_upper(row, tables):
                tables[0] += torch.bincount(row.abs().view(torch.int32) >> _HALF, minlength=_BINS)
        if guesses:
            held = held or _Held(part.device)
            held.add(part[0].detach(), guesses)
    known = held.words() if held is not None else None
    found = [] if counts is None else list(counts.sum(1))
    return found, None if known is None else [known.view(torch.float32)]


class _Held:
    """The words that were guessed, in one place: many small ones between large pieces would leave holes in memory."""

    def __init__(self, device: torch.device) -> None:
        self._room = torch.empty(_BINS, dtype=torch.int32, device=device)
        self._count = 0

    def add(self, row: torch.Tensor, guesses: Sequence[Bins]) -> None:
        """Hold the words in guessed bins, as long as that is few altogether."""
        if self._count > MOST_HELD:
            return
        more = _in_bins(row, guesses)
        count = self._count + more.numel()
        if count > self._room.numel():
            room = torch.empty(2 * count, dtype=torch.int32, device=row.device)
            room[: self._count] = self._room[: self._count]
            self._room = room
        self._room[self._count : count] = more
        self._count = count

    def words(self) -> torch.Tensor | None:
        """Return what is held; None where it was too much."""
        return self._room[: self._count] if self._count <= MOST_HELD else None


def _lower_counts(pieces: Iterable[torch.Tensor], bins: Sequence[Sequence[int]]) -> list[list[torch.Tensor]]:
    """Count, for each bin of each row, the lower 16 bits of the elements in that bin."""
    counts: list[list[torch.Tensor]] = []
    for part in _parts(pieces):
        found = []
        for row, uppers in zip(part, bins, strict=True):
            words = [_in_bins(row.detach(), [(upper, upper)]) & (_BINS - 1) for upper in uppers]
            found.append([torch.bincount(word, minlength=_BINS) for word in words])
        if counts:
            found = [
                [one + more for one, more in zip(known, new, strict=True)]
                for known, new in zip(counts, found, strict=True)
            ]
        counts = found
    return counts


def _in_bins(row: torch.Tensor, bins: Sequence[Bins]) -> torch.Tensor:
    """Return the magnitudes, as words, whose upper halves lie in one of some ranges, in order."""
    ranges = [(low << _HALF, (top << _HALF) | (_BINS - 1)) for low, top in bins]
    if (quick := loops.within(row, ranges)) is not None:
        return quick
    bits = row.abs().view(torch.int32)
    if bits.device.type != "cpu":
        return bits[torch.stack([(bits >= low) & (bits <= top) for low, top in ranges]).any(0)]
    # On a CPU numpy takes a quarter of torch's time for this.
    words = bits.numpy()
    taken = np.zeros(words.shape, dtype=bool)
    for low, top in ranges:
        taken |= (words >= low) & (words <= top)
    return torch.from_numpy(words[taken])


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
