"""How models at places of a subspace do: one half of each part chooses a place, the other half says how it does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from merging_core.evaluation.evaluator import Part, halves
from merging_core.evaluation.intervals import average_interval, difference, pair_counts
from merging_core.evaluation.report import TaskScore, make_score

__all__ = ["against", "chosen_by", "held_out", "told"]

_Z = 1.959963984540054

Scores = Sequence[TaskScore]


def chosen_by(scores: Scores, parts: Sequence[Part], split: str) -> float:
    """Return the mean over tasks of the loss on the first half of one split: what a place is chosen by."""
    chosen, _ = halves(parts)
    own = [
        float(score.losses[: part.stop].mean(dtype=numpy.float64))
        for score, part in zip(scores, chosen, strict=True)
        if part.split == split
    ]
    return sum(own) / len(own)


def held_out(scores: Scores, parts: Sequence[Part], split: str) -> tuple[TaskScore, ...]:
    """Return the scores on the other half of one split."""
    _, rest = halves(parts)
    return tuple(_from(score, part.start) for score, part in zip(scores, rest, strict=True) if part.split == split)


def told(scores: Scores) -> dict[str, Any]:
    """Return the mean over tasks of loss and accuracy, each with its 95 % interval, as plain values."""
    loss, half = _mean([score.losses for score in scores])
    right, sizes = [int(score.correct.sum()) for score in scores], [score.n for score in scores]
    accuracy = math.fsum(score.accuracy for score in scores) / len(scores)
    return {
        "loss": _finite(loss),
        "loss_interval": [_finite(max(0.0, loss - half)), _finite(loss + half)],
        "accuracy": accuracy,
        "interval": list(average_interval(right, sizes)),
        "n": sum(sizes),
    }


def against(scores: Scores, others: Scores) -> dict[str, Any]:
    """Return how much the first are above the others on the same examples, in loss and accuracy, with intervals."""
    pairs = list(zip(scores, others, strict=True))
    loss, half = _mean([one.losses.astype(numpy.float64) - other.losses for one, other in pairs])
    return {
        "loss": {"value": _finite(loss), "interval": [_finite(loss - half), _finite(loss + half)]},
        "accuracy": difference([pair_counts(one.correct, other.correct) for one, other in pairs]).as_json(),
    }


def _mean(tasks: Sequence[Any]) -> tuple[float, float]:
    """Return the mean over tasks of the means of their examples, and half the width of its interval."""
    values = [numpy.asarray(one, dtype=numpy.float64) for one in tasks]
    value = sum(float(one.mean()) for one in values) / len(values)
    errors = [float(one.var(ddof=1)) / len(one) if len(one) > 1 else math.inf for one in values]
    return value, _Z * math.sqrt(sum(errors)) / len(values)


def _from(score: TaskScore, start: int) -> TaskScore:
    rest = slice(start, None)
    return make_score(
        score.task, score.title, score.split, score.of, score.examples[rest], score.correct[rest], score.losses[rest],
        metric=score.metric,
    )  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
