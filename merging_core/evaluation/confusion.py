"""Which classes are told apart, and which are taken for one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.intervals import Interval, wilson

__all__ = ["ClassAccuracy", "Confusion", "confusion"]


@dataclass(frozen=True)
class ClassAccuracy:
    """How often the examples of one class are recognised: `right` of `n`, with the 95 % Wilson interval.

    `accuracy` and `interval` are None for a class without examples.
    """

    right: int
    n: int
    accuracy: float | None
    interval: Interval | None


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of true against predicted classes.

    `counts`: int64 `[classes, classes]`, rows true, columns predicted. `unanswered`: int64 `[classes]`, the examples of
    each true class for which the model's numbers were not finite; they are wrong and stand in no column.
    """

    counts: NDArray[numpy.int64]
    unanswered: NDArray[numpy.int64]

    @property
    def n(self) -> int:
        """All examples."""
        return int(self.counts.sum() + self.unanswered.sum())

    @property
    def right(self) -> int:
        """Examples on the diagonal."""
        return int(numpy.trace(self.counts))

    def classes(self) -> tuple[ClassAccuracy, ...]:
        """Return the accuracy of each class: diagonal ÷ row."""
        rows = self.counts.sum(axis=1) + self.unanswered
        return tuple(_accuracy(int(self.counts[index, index]), int(n)) for index, n in enumerate(rows))

    def shares(self) -> NDArray[numpy.float64]:
        """Return each row divided by the examples of its class, in [0, 1]; NaN in the row of a class without examples.

        >>> confusion([0, 0, 1], [0, 1, 1], 2).shares().tolist()
        [[0.5, 0.5], [0.0, 1.0]]
        """
        rows = (self.counts.sum(axis=1) + self.unanswered).astype(numpy.float64)
        return self.counts / numpy.where(rows > 0, rows, numpy.nan)[:, None]


def confusion(labels: Sequence[int], predictions: Sequence[int], classes: int) -> Confusion:
    """Count predicted classes by true class; int `[n]` each, a prediction of −1 is no answer.

    Raises EvaluationError unless there are as many predictions as labels, all of them among the classes.

    >>> confusion([0, 0, 1], [0, 1, -1], 2).counts.tolist()
    [[1, 1], [0, 0]]
    """
    truth, said = numpy.asarray(labels, dtype=numpy.int64), numpy.asarray(predictions, dtype=numpy.int64)
    problems = []
    if truth.shape != said.shape or truth.ndim != 1:
        problems.append(Problem("there is one prediction a label", f"{said.size} for {truth.size}", "predictions"))
    if truth.size and not 0 <= truth.min() <= truth.max() < classes:
        problems.append(Problem(f"labels lie from 0 to {classes - 1}", f"{truth.min()} to {truth.max()}", "labels"))
    if said.size and not -1 <= said.min() <= said.max() < classes:
        got = f"{said.min()} to {said.max()}"
        problems.append(Problem(f"predictions lie from −1 to {classes - 1}", got, "predictions"))
    if problems:
        raise EvaluationError(*problems)
    answered = said >= 0
    cells = numpy.bincount(truth[answered] * classes + said[answered], minlength=classes * classes)
    silent = numpy.bincount(truth[~answered], minlength=classes)
    return Confusion(cells.reshape(classes, classes).astype(numpy.int64), silent.astype(numpy.int64))


def _accuracy(right: int, n: int) -> ClassAccuracy:
    return ClassAccuracy(right, n, right / n, wilson(right, n)) if n else ClassAccuracy(0, 0, None, None)
