"""What is added up over the elements of two models, and the numbers that follow from it.

Sums of squares and products run over blocks of 65 536 elements, counted from the start of each leaf, in float64, as
`space.reductions` does it; block sums are added in order. So no number depends on how a leaf is read or on threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from merging_core.space.reductions import (
    BLOCK,
    block_dot_partials,
    block_sum_of_squares_partials,
    combine_in_order,
)

__all__ = ["Sums", "TaskSums", "added", "pieces_of", "sums_of_leaf", "sums_of_piece"]

_BLOCKS_READ = 16
"""Blocks of a leaf that are read at once."""
_WORKED_ON = 4 * BLOCK


@dataclass(frozen=True)
class TaskSums:
    """Sums over the two task vectors, A − base and B − base."""

    a: float
    """‖A − base‖²."""
    b: float
    product: float
    """⟨A − base, B − base⟩."""
    shared: int
    """Elements where both task vectors are not zero."""
    conflicting: int
    """Those of them whose signs disagree."""

    @property
    def norms(self) -> tuple[float, float]:
        """‖A − base‖ and ‖B − base‖."""
        return math.sqrt(self.a), math.sqrt(self.b)

    @property
    def cosine(self) -> float | None:
        """The cosine of the task vectors; None where one of them is zero, which has no direction."""
        return _cosine(self.product, self.a, self.b)

    @property
    def sign_conflict(self) -> float:
        """Of the elements where both are not zero, the share whose signs disagree; 0 where there is none."""
        return self.conflicting / self.shared if self.shared else 0.0


@dataclass(frozen=True)
class Sums:
    """Sums over the elements that two models A and B share."""

    elements: int
    a: float
    """‖A‖²."""
    b: float
    product: float
    """⟨A, B⟩."""
    difference: float
    """‖A − B‖²."""
    largest: float
    """max |A − B|."""
    equal: int
    """Elements that are the same number in both."""
    task: TaskSums | None = None
    """Of what is in the base too; None where nothing is, or where there is no base."""

    @property
    def norms(self) -> tuple[float, float]:
        """‖A‖ and ‖B‖."""
        return math.sqrt(self.a), math.sqrt(self.b)

    @property
    def norm(self) -> float:
        """‖A − B‖."""
        return math.sqrt(self.difference)

    @property
    def relative(self) -> float | None:
        """‖A − B‖/‖A‖: 0 where A and B are equal; None where A is zero and B is not.

        >>> Sums(1, a=4.0, b=0.0, product=0.0, difference=4.0, largest=2.0, equal=0).relative
        1.0
        """
        if self.difference == 0.0:
            return 0.0
        return math.sqrt(self.difference) / math.sqrt(self.a) if self.a else None

    @property
    def cosine(self) -> float | None:
        """The cosine of A and B; None where one of them is zero, which has no direction."""
        return _cosine(self.product, self.a, self.b)

    @property
    def equal_share(self) -> float:
        """The share of elements that are equal; 1 where there is no element."""
        return self.equal / self.elements if self.elements else 1.0


@dataclass(frozen=True)
class PieceSums:
    """The sums of one piece of a leaf: `squares` [blocks, 4 or 7] float64, one row for each block."""

    squares: torch.Tensor
    elements: int
    largest: float
    equal: int
    shared: int
    conflicting: int


def pieces_of(elements: int) -> tuple[tuple[int, int], ...]:
    """Cut a leaf into pieces of whole blocks, each of which is read at once.

    >>> pieces_of(16 * 65_536 + 1)
    ((0, 1048576), (1048576, 1048577))
    """
    step = _BLOCKS_READ * BLOCK
    return tuple((start, min(start + step, elements)) for start in range(0, elements, step))


def sums_of_piece(a: torch.Tensor, b: torch.Tensor, base: torch.Tensor | None = None) -> PieceSums:
    """Add up what a piece of a leaf adds to the sums; it begins where a block does.

    Shapes: a, b, base [n], floating, of any dtype.
    """
    rows, counts, largest = list[torch.Tensor](), [0, 0, 0], 0.0
    for start in range(0, a.numel(), _WORKED_ON):
        parts = [None if x is None else x[start : start + _WORKED_ON].to(torch.float64) for x in (a, b, base)]
        row, most, found = _sums_of_part(*parts)  # type: ignore[arg-type]
        rows.append(row)
        largest = max(largest, most)
        counts = [count + more for count, more in zip(counts, found, strict=True)]
    squares = torch.cat(rows) if rows else torch.zeros(0, 4 if base is None else 7, dtype=torch.float64)
    return PieceSums(squares, a.numel(), largest, *counts)


def sums_of_leaf(pieces: Sequence[PieceSums], *, with_base: bool) -> Sums:
    """Put the pieces of a leaf together, in their order.

    >>> piece = sums_of_piece(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.0]))
    >>> found = sums_of_leaf([piece], with_base=False)
    >>> found.norms, found.norm, found.largest, found.equal_share, found.cosine
    ((3.0, 0.0), 3.0, 3.0, 0.5, None)
    """
    width = 7 if with_base else 4
    rows = torch.cat([piece.squares for piece in pieces]) if pieces else torch.zeros(0, width, dtype=torch.float64)
    a, b, product, difference, *of_task = (combine_in_order(rows[:, column]) for column in range(width))
    task = None
    if with_base:
        shared, conflicting = sum(piece.shared for piece in pieces), sum(piece.conflicting for piece in pieces)
        task = TaskSums(of_task[0], of_task[1], of_task[2], shared, conflicting)
    largest = max((piece.largest for piece in pieces), default=0.0)
    elements, equal = sum(piece.elements for piece in pieces), sum(piece.equal for piece in pieces)
    return Sums(elements, a, b, product, difference, largest, equal, task)


def added(parts: Iterable[Sums]) -> Sums:
    """Return the sums of several leaves, added in order.

    >>> one = Sums(2, a=9.0, b=16.0, product=0.0, difference=25.0, largest=4.0, equal=0)
    >>> added([one, one]).elements, added([one, one]).difference
    (4, 50.0)
    """
    every = list(parts)
    tasks = [part.task for part in every if part.task is not None]
    task = None
    if tasks:
        task = TaskSums(
            combine_in_order([part.a for part in tasks]),
            combine_in_order([part.b for part in tasks]),
            combine_in_order([part.product for part in tasks]),
            sum(part.shared for part in tasks),
            sum(part.conflicting for part in tasks),
        )
    return Sums(
        sum(part.elements for part in every),
        combine_in_order([part.a for part in every]),
        combine_in_order([part.b for part in every]),
        combine_in_order([part.product for part in every]),
        combine_in_order([part.difference for part in every]),
        max((part.largest for part in every), default=0.0),
        sum(part.equal for part in every),
        task,
    )


def _sums_of_part(
    a: torch.Tensor, b: torch.Tensor, base: torch.Tensor | None
) -> tuple[torch.Tensor, float, tuple[int, int, int]]:
    """Return one row of sums for each block, the largest difference, and how many are equal, shared, conflicting."""
    difference = a - b
    columns = [
        block_sum_of_squares_partials(a),
        block_sum_of_squares_partials(b),
        block_dot_partials(a, b),
        block_sum_of_squares_partials(difference),
    ]
    shared = conflicting = 0
    if base is not None:
        first, second = a - base, b - base
        columns += [
            block_sum_of_squares_partials(first),
            block_sum_of_squares_partials(second),
            block_dot_partials(first, second),
        ]
        both = (first != 0) & (second != 0)
        shared = int(both.count_nonzero())
        conflicting = int((both & ((first > 0) != (second > 0))).count_nonzero())
    equal = int((a == b).count_nonzero())
    return torch.stack(columns, dim=1), float(difference.abs_().max()), (equal, shared, conflicting)


def _cosine(product: float, a: float, b: float) -> float | None:
    lengths = math.sqrt(a) * math.sqrt(b)
    return max(-1.0, min(1.0, product / lengths)) if lengths else None
