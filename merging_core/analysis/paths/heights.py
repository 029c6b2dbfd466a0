"""Every barrier on a line, with its interval: each step and the whole, each split, each task and their mean.

The same examples are resampled at every point of the line, within each task, and the maximum is taken again in each
resample. A maximum over noisy values is too large on average: `bias` says by how much the bootstrap believes it is, and
`held_out` is free of it: the place of the barrier is chosen on one half of the examples and the height there measured
on the other, both ways, and averaged. It may be negative; a barrier is more than noise where its interval lies above 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from merging_core.evaluation.barriers import Rises, gaps, rises
from merging_core.evaluation.report import TaskScore
from merging_core.evaluation.resampling import Drawn, averaged, percentiles, resampled

__all__ = ["MEAN", "Curve", "barriers_on", "curves_of", "mean_curve"]

MEAN = None
"""What stands for a task where the mean over all is meant."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One task, or the mean over tasks, on one split: loss and error at `ts`, over all examples and over each half."""

    ts: tuple[float, ...]
    split: str
    task: str | None
    n: int
    loss: Drawn
    error: Drawn | None
    """None for a text: there a share of right tokens is no accuracy."""
    loss_halves: tuple[Drawn, ...]
    error_halves: tuple[Drawn, ...]

    def metric(self, name: str) -> tuple[Drawn, tuple[Drawn, ...]] | None:
        """Return the means of `loss` or `error` and those over each half."""
        if name == "loss":
            return self.loss, self.loss_halves
        return None if self.error is None else (self.error, self.error_halves)


def curves_of(found: Mapping[float, Sequence[TaskScore]], seed: int, draws: int) -> tuple[Curve, ...]:
    """Return each task on each split along a line; at every t stand scores of the same parts. `draws`: resamples."""
    ts = tuple(sorted(found))
    curves = []
    for place in range(len(found[ts[0]])):
        scores = [found[t][place] for t in ts]
        first, text = scores[0], scores[0].metric == "perplexity"
        rows = [score.losses.astype(numpy.float64) for score in scores]
        if not text:
            rows += [1.0 - score.correct.astype(numpy.float64) for score in scores]
        halves, whole = resampled(numpy.stack(rows), seed, f"{first.task} {first.split}", runs=text, draws=draws)
        loss, error = slice(0, len(ts)), slice(len(ts), None)
        curves.append(
            Curve(
                ts,
                first.split,
                first.task,
                first.n,
                whole.of(loss),
                None if text else whole.of(error),
                tuple(half.of(loss) for half in halves),
                () if text else tuple(half.of(error) for half in halves),
            )
        )
    return tuple(curves)


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean of tasks on one split, each counting alike; its error is known where every task has one."""
    first = curves[0]
    halves = min(len(curve.loss_halves) for curve in curves)
    errors = [curve.error for curve in curves if curve.error is not None]
    known = len(errors) == len(curves)
    return Curve(
        first.ts,
        first.split,
        MEAN,
        sum(curve.n for curve in curves),
        averaged([curve.loss for curve in curves]),
        averaged(errors) if known else None,
        tuple(averaged([curve.loss_halves[half] for curve in curves]) for half in range(halves)),
        tuple(averaged([curve.error_halves[half] for curve in curves]) for half in range(halves)) if known else (),
    )


def barriers_on(curve: Curve, models: int) -> list[dict[str, Any]]:
    """Return every barrier of a curve as plain values: on each step from model to model, and on the whole of more."""
    spans = [(start, start + 1) for start in range(models - 1)] + ([(0, models - 1)] if models > 2 else [])
    found = []
    for low, high in spans:
        if {float(low), float(high)} <= set(curve.ts):
            kept = slice(curve.ts.index(float(low)), curve.ts.index(float(high)) + 1)
            for metric in ("loss", "error"):
                given = curve.metric(metric)
                if given is not None:
                    whole, halves = given[0].of(kept), tuple(half.of(kept) for half in given[1])
                    found.append(_row(curve, (low, high), metric, whole, halves))
    return found


def _row(curve: Curve, span: tuple[int, int], metric: str, whole: Drawn, halves: tuple[Drawn, ...]) -> dict[str, Any]:
    low, high = span
    ts = [t for t in curve.ts if low <= t <= high]
    shares = [(t - low) / (high - low) for t in ts]
    value, drawn = rises(whole.means, shares), rises(whole.draws, shares)
    bias = float(drawn.barrier.mean() - value.barrier) if bool(numpy.isfinite(drawn.barrier).all()) else None
    return {
        "from": low,
        "to": high,
        "split": curve.split,
        "task": curve.task,
        "metric": metric,
        "n": curve.n,
        "points": len(ts),
        "at": ts[int(value.place)],
        "ends": [_finite(float(whole.means[0])), _finite(float(whole.means[-1]))],
        "barrier": _estimate(value, drawn, "barrier"),
        "bias": bias,
        "held_out": _held_out(halves, shares),
        "above_mean": _estimate(value, drawn, "above_mean"),
        "above_worse": _estimate(value, drawn, "above_worse"),
        "midpoint_gap": None if value.midpoint_gap is None else _estimate(value, drawn, "midpoint_gap"),
    }


def _held_out(halves: tuple[Drawn, ...], shares: Sequence[float]) -> dict[str, Any] | None:
    """Choose the place on one half, measure on the other; places stand still in the resamples."""
    if len(halves) < 2 or not all(bool(numpy.isfinite(half.means).all()) for half in halves):
        return None
    one, other = halves
    values, draws = [], []
    for chooser, judge in ((one, other), (other, one)):
        place = int(rises(chooser.means, shares).place)
        values.append(float(gaps(judge.means, shares)[place]))
        draws.append(gaps(judge.draws, shares)[:, place])
    return {"value": sum(values) / 2, "interval": _listed((draws[0] + draws[1]) / 2)}


def _estimate(value: Rises, drawn: Rises, name: str) -> dict[str, Any]:
    return {"value": _finite(float(getattr(value, name))), "interval": _listed(getattr(drawn, name))}


def _listed(draws: numpy.ndarray[Any, numpy.dtype[numpy.float64]]) -> list[float] | None:
    found = percentiles(draws)
    return None if found is None else list(found)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
