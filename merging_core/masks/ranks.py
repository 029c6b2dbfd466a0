"""Ranks among magnitudes, found exactly by counting: no sorted copy, and the same answer however a vector is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

__all__ = ["joined", "magnitudes_at", "magnitudes_of_ranks", "magnitudes_of_rows", "standings"]

_HALF = 16
_BINS = 1 << _HALF
_PIECE = 1 << 22
_BATCH = 1 << 20
_SMALL = _BINS


def magnitudes_at(pieces: Iterable[torch.Tensor], ranks: Callable[[int], Sequence[int]]) -> torch.Tensor:
    """Return the magnitudes at the ranks that `ranks(n)` names for n elements: rank 1 is the largest |x|.

    Shapes: each piece [n] float32 → [R] float32. `pieces` is walked up to three times.

    Raises ValueError if there is no element of such a rank.

    >>> magnitudes_at([torch.tensor([0.5, -3.0, 2.0, 1.0])], lambda size: (1, size // 2)).tolist()
    [3.0, 2.0]
    """
    size, held = 0, list[torch.Tensor]()
    for piece in pieces:
        size += piece.numel()
        if size <= _SMALL:
            held.append(piece.reshape(-1))
    if 0 < size <= _SMALL:
        # Selecting directly costs less here than counting into 65 536 bins; the answer is the same.
        magnitudes = torch.cat(held).detach().abs()
        return torch.stack([torch.kthvalue(magnitudes, size + 1 - rank).values for rank in ranks(size)])
    return magnitudes_of_ranks(pieces, ranks(size))


def magnitudes_of_ranks(pieces: Iterable[torch.Tensor], ranks: Sequence[int]) -> torch.Tensor:
    """Return the k-th largest |x| over all pieces for each rank k, exactly.

    The bits of a non-negative float32, read as an integer, are ordered as the numbers are. So the answer is found by
    counting: once by the upper 16 bits, once by the lower 16 among those that share the upper ones. Counts are
    integers: the result does not depend on pieces, threads or device, and no sorted copy is needed.

    Shapes: each piece [n] float32, finite; returns [R] float32 on the pieces' device. `pieces` is walked twice.

    Raises ValueError if there is no element of a rank.

    >>> magnitudes_of_ranks([torch.tensor([0.5, -3.0]), torch.tensor([2.0])], (2, 3)).tolist()
    [2.0, 0.5]
    """
    return magnitudes_of_rows(_OneRow(pieces), ranks)[0]


def magnitudes_of_rows(pieces: Iterable[torch.Tensor], ranks: Sequence[int]) -> torch.Tensor:
    """Return what `magnitudes_of_ranks` does for each row of pieces [S, n]: [S, R]. `pieces` is walked twice.

    Raises ValueError if there is no element of a rank, or no piece.

    >>> magnitudes_of_rows([torch.tensor([[1.0, -3.0], [0.5, 0.0]]), torch.tensor([[2.0], [7.0]])], (1, 2)).tolist()
    [[3.0, 2.0], [7.0, 0.5]]
    """
    uppers = _histograms(pieces, None)
    for rank in ranks:
        if rank < 1 or not uppers or int(uppers[0][0].sum()) < rank:
            raise ValueError(f"there is no element of rank {rank}")
    found = [[_bin_of_rank(counts[0], rank) for rank in ranks] for counts in uppers]
    bins = [tuple(dict.fromkeys(bin_of for bin_of, _ in row)) for row in found]
    lowers = _histograms(pieces, bins)
    if not lowers:
        raise ValueError("pieces must give the same elements when they are walked again")
    rows = []
    for row, within, counts in zip(found, bins, lowers, strict=True):
        lower = dict(zip(within, counts, strict=True))
        ranked = zip(ranks, row, strict=True)
        rows.append(
            [(bin_of << _HALF) | _bin_of_rank(lower[bin_of], rank - above)[0] for rank, (bin_of, above) in ranked]
        )
    return torch.tensor(rows, dtype=torch.int32, device=uppers[0][0].device).view(torch.float32)


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


def _histograms(pieces: Iterable[torch.Tensor], bins: Sequence[Sequence[int]] | None) -> list[list[torch.Tensor]]:
    """Count each row by upper 16 bits, or, for each of its bins, by the lower 16 bits of the elements in that bin."""
    counts: list[list[torch.Tensor]] = []
    # There should be more elements than bins in each count.
    for batch in joined(pieces, _BATCH):
        for part in torch.split(batch, _PIECE, dim=1):
            found = []
            for index, row in enumerate(part):
                bits = row.detach().abs().view(torch.int32)
                high = bits >> _HALF
                words = [high] if bins is None else [bits[high == upper] & (_BINS - 1) for upper in bins[index]]
                found.append([torch.bincount(word, minlength=_BINS) for word in words])
            if counts:
                found = [
                    [one + more for one, more in zip(known, new, strict=True)]
                    for known, new in zip(counts, found, strict=True)
                ]
            counts = found
    return counts


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
