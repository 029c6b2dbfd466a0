"""Where two models differ on the same examples: what one gets wrong and the other right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from merging_core.errors import EvaluationError, Problem

__all__ = ["Disagreements", "disagreements"]


@dataclass(frozen=True, eq=False)
class Disagreements:
    """Places in the list of examples, ascending, int64: which only one of two models gets right, and the counts."""

    second_only: NDArray[numpy.int64]
    """Lost by the first: it is wrong, the second is right."""
    first_only: NDArray[numpy.int64]
    """Gained by the first: it is right, the second is wrong."""
    both: int
    neither: int


def disagreements(labels: Sequence[int], first: Sequence[int], second: Sequence[int]) -> Disagreements:
    """Compare two models' predicted classes with the labels; int `[n]` each, −1 is no answer and wrong.

    The counts are those of `intervals.pair_counts`. Raises EvaluationError unless all three have one length.

    >>> found = disagreements([0, 1, 2, 2], [0, 0, 2, 1], [1, 1, 2, 0])
    >>> found.second_only.tolist(), found.first_only.tolist(), found.both, found.neither
    ([1], [0], 1, 1)
    """
    truth, one, other = (numpy.asarray(values, dtype=numpy.int64) for values in (labels, first, second))
    if not truth.shape == one.shape == other.shape:
        got = f"{truth.size}, {one.size} and {other.size}"
        raise EvaluationError(Problem("labels and both predictions are of the same examples", got))
    right, also = one == truth, other == truth
    return Disagreements(
        second_only=numpy.flatnonzero(~right & also),
        first_only=numpy.flatnonzero(right & ~also),
        both=int(numpy.count_nonzero(right & also)),
        neither=int(numpy.count_nonzero(~right & ~also)),
    )
