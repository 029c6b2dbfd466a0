"""What a change of pictures does to a model's answers, and how alike what it does to two models is.

The effect on an example is loss(changed) − loss(as it was). Two models that decide by the same properties are hurt on
the same examples: the rank correlation of their effects is high (Spearman's ρ: losses have long tails), and their
answers change on the same examples (Cohen's κ of which answers change, which is 0 by chance and 1 where they agree).

Source: Lubana et al. 2023, arXiv:2211.08422, definition 3 (mechanistic similarity: models that share invariances to
interventions). Deviation: a degree for each intervention and example, not a yes or no for the whole model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from merging_core.analysis.mechanisms.outcomes import Outcome
from merging_core.evaluation.intervals import (
    PairCounts,
    average_interval,
    correlation_interval,
    difference,
    pair_counts,
)

__all__ = ["Effect", "agreement", "effect_of", "rank_correlation", "said_effect"]

_Z = 1.959963984540054
_RANKS = 1.06
"""By how much the variance of Fisher's z is larger for ranks (Fieller, Hartley and Pearson 1957)."""


@dataclass(frozen=True, eq=False)
class Effect:
    """What a change does to one model on n examples of one task.

    `losses`: nats added to each; `flipped`: whose answer is another; `right`: how many are right, changed and before.
    """

    losses: NDArray[numpy.float64]
    flipped: NDArray[numpy.bool_]
    right: PairCounts

    @property
    def n(self) -> int:
        """How many examples."""
        return len(self.losses)


def effect_of(before: Outcome, after: Outcome) -> Effect:
    """Return the effect on the examples that both know."""
    n = min(before.n, after.n)
    one, other = before.first(n), after.first(n)
    right = pair_counts(other.answers == other.labels, one.answers == one.labels)
    return Effect(other.losses - one.losses, other.answers != one.answers, right)


def said_effect(tasks: Sequence[Effect]) -> dict[str, object]:
    """Return the mean over tasks of what is added to loss and accuracy, and of the share of answers that change."""
    loss = float(numpy.mean([one.losses.mean() for one in tasks]))
    errors = [one.losses.std(ddof=1) / math.sqrt(one.n) if one.n > 1 else math.inf for one in tasks]
    half = _Z * math.sqrt(float(numpy.sum(numpy.square(errors)))) / len(tasks)
    flips = [int(one.flipped.sum()) for one in tasks]
    sizes = [one.n for one in tasks]
    return {
        "loss": {"value": _finite(loss), "interval": [_finite(loss - half), _finite(loss + half)]},
        "accuracy": difference([one.right for one in tasks]).as_json(),
        "flips": {
            "value": float(numpy.mean([count / n for count, n in zip(flips, sizes, strict=True)])),
            "interval": list(average_interval(flips, sizes)),
        },
        "n": sum(sizes),
    }


def agreement(one: Sequence[Effect], other: Sequence[Effect]) -> dict[str, object]:
    """Return how alike the effects on two models are on the same examples of some tasks.

    `correlation`: mean over tasks of Spearman's ρ, null where an effect is the same on all examples; `same`: the share
    of examples whose answer changes in both models or in neither; `kappa`: that agreement beyond chance.
    """
    rhos = [rank_correlation(left.losses, right.losses) for left, right in zip(one, other, strict=True)]
    sizes = [effect.n for effect in one]
    value = float(numpy.mean(rhos))
    spreads = [
        (1 - rho * rho) * math.sqrt(_RANKS / (n - 3)) if n > 3 else math.inf for rho, n in zip(rhos, sizes, strict=True)
    ]
    ends = correlation_interval(value, math.sqrt(float(numpy.sum(numpy.square(spreads)))) / len(rhos))
    same = [int((left.flipped == right.flipped).sum()) for left, right in zip(one, other, strict=True)]
    return {
        "correlation": {"value": _finite(value), "interval": [_finite(end) for end in ends]},
        "same": {
            "value": float(numpy.mean([count / n for count, n in zip(same, sizes, strict=True)])),
            "interval": list(average_interval(same, sizes)),
        },
        "kappa": _finite(_kappa(one, other)),
        "n": sum(sizes),
    }


def rank_correlation(one: NDArray[numpy.float64], other: NDArray[numpy.float64]) -> float:
    """Return Spearman's ρ, ties sharing their mean rank; NaN where one never varies.

    >>> rank_correlation(numpy.array([1.0, 2.0, 30.0]), numpy.array([0.1, 0.2, 0.3]))
    1.0
    """
    left, right = (_ranks(values) for values in (one, other))
    scale = math.sqrt(float(left @ left) * float(right @ right))
    return float(left @ right) / scale if scale > 0.0 else math.nan


def _ranks(values: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """Return ranks about their mean; equal values share the mean of theirs."""
    _, which, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    return (numpy.cumsum(counts) - (counts - 1) / 2)[which] - (len(values) + 1) / 2


def _kappa(one: Sequence[Effect], other: Sequence[Effect]) -> float:
    """Cohen's κ over the examples of all tasks."""
    left = numpy.concatenate([effect.flipped for effect in one])
    right = numpy.concatenate([effect.flipped for effect in other])
    seen, first, second = float((left == right).mean()), float(left.mean()), float(right.mean())
    chance = first * second + (1 - first) * (1 - second)
    return (seen - chance) / (1 - chance) if chance < 1.0 else math.nan


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
