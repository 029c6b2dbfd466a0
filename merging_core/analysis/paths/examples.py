"""Which examples make a barrier: each one's own loss above its own chord, where the mean rises highest.

The barrier of the mean over J tasks at t is Σ over tasks j and examples i of gapᵢ ÷ (nⱼ·J), with
gapᵢ = Lᵢ(t) − [(1 − t)·Lᵢ(0) + t·Lᵢ(1)]: each example has a share of it, and the shares add up to 1. Some are negative:
for those the point between two models is better than its chord.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from merging_core.evaluation.barriers import barrier_of
from merging_core.evaluation.report import TaskScore

__all__ = ["SHOWN", "Makers", "makers_in", "makers_of"]

SHOWN = 24
"""Examples that are named: those with the largest shares."""
_TOPS = (0.01, 0.05, 0.1, 0.25, 0.35, 0.5)
"""Fractions of the examples whose part of the barrier is told."""
_CURVE = 100

Scores = Mapping[float, Sequence[TaskScore]]


@dataclass(frozen=True, eq=False)
class Makers:
    """The barrier of the mean over tasks on one step and one split, by examples, the largest part first.

    `span`: t of the models at both ends; `at`: where the barrier is; `which`: the task of each example; `places`: where
    it stands in the order of evaluation; `examples`: its index in the split; `losses`: nats at the first end, at `at`
    and at the last end, `[3, n]`; `gaps`: nats above its chord; `parts`: what it adds to the barrier.
    """

    split: str
    span: tuple[int, int]
    at: float
    which: NDArray[numpy.int64]
    places: NDArray[numpy.int64]
    examples: NDArray[numpy.int64]
    losses: NDArray[numpy.float64]
    gaps: NDArray[numpy.float64]
    parts: NDArray[numpy.float64]

    @property
    def height(self) -> float:
        """The barrier, which all examples together make."""
        return math.fsum(self.parts.tolist())

    @property
    def ts(self) -> tuple[float, float, float]:
        """The t of the first end, of the barrier and of the last end."""
        return float(self.span[0]), self.at, float(self.span[1])

    def named(self, task: int) -> list[int]:
        """Return the places of those examples of one task that are named, in the order of evaluation."""
        return sorted(self.places[:SHOWN][self.which[:SHOWN] == task].tolist())

    def as_json(self) -> dict[str, Any]:
        """Return plain values, without the examples: how few of them make how much.

        `half`: the smallest fraction of the examples that makes half of the barrier; `curve`: [fraction of the
        examples, part of the barrier], from none to all.
        """
        n, height = len(self.parts), self.height
        sums = numpy.concatenate(([0.0], numpy.cumsum(self.parts) / height))
        counts = sorted({round(n * index / _CURVE) for index in range(_CURVE + 1)})
        return {
            "split": self.split,
            "from": self.span[0],
            "to": self.span[1],
            "at": self.at,
            "n": n,
            "barrier": height,
            "half": int(numpy.argmax(sums >= 0.5)) / n,
            "above": int(numpy.count_nonzero(self.gaps > 0.0)) / n,
            "tops": [{"examples": share, "share": float(sums[math.ceil(share * n)])} for share in _TOPS],
            "curve": [[count / n, float(sums[count])] for count in counts],
        }


def makers_in(scores: Scores, splits: Sequence[str], models: int) -> tuple[Makers, ...]:
    """Return for each split what makes the highest barrier between two neighbouring models, where there is one."""
    found = []
    for split in splits:
        if not any(score.split == split for score in scores[0.0]):
            continue
        steps = [made for low in range(models - 1) if (made := _highest(scores, split, low)) is not None]
        found += [max(steps, key=lambda made: made.height)] if steps else []
    return tuple(found)


def makers_of(scores: Scores, split: str, span: tuple[int, int], at: float) -> Makers | None:
    """Return what makes the rise at t = `at`; None where nothing rises above the chord, or a loss is not finite."""
    low, high = span
    share = (at - low) / (high - low)
    columns: list[tuple[NDArray[Any], ...]] = []
    kept = [place for place, score in enumerate(scores[at]) if score.split == split]
    for which, place in enumerate(kept):
        first, here, last = (scores[t][place].losses.astype(numpy.float64) for t in (float(low), at, float(high)))
        gaps = here - ((1.0 - share) * first + share * last)
        n = len(gaps)
        examples = scores[at][place].examples
        columns.append(
            (numpy.full(n, which), numpy.arange(n), examples, first, here, last, gaps, gaps / (n * len(kept)))
        )
    which_, places, examples, first, here, last, gaps, parts = (
        numpy.concatenate(column) for column in zip(*columns, strict=True)
    )
    if not bool(numpy.isfinite(gaps).all()) or math.fsum(parts.tolist()) <= 0.0:
        return None
    order = numpy.argsort(-parts, kind="stable")
    losses = numpy.stack((first, here, last))[:, order]
    return Makers(split, span, at, which_[order], places[order], examples[order], losses, gaps[order], parts[order])


def _highest(scores: Scores, split: str, low: int) -> Makers | None:
    ts = sorted(t for t in scores if low <= t <= low + 1)
    if not {float(low), float(low + 1)} <= set(ts):
        return None
    rows = [[score.loss for score in scores[t] if score.split == split] for t in ts]
    return makers_of(scores, split, (low, low + 1), barrier_of([sum(row) / len(row) for row in rows], ts).at)
