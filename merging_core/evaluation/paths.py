"""Loss and accuracy along a path through weight space, coarse to fine, and the barrier on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.barriers import Barrier, barrier_of
from merging_core.evaluation.evaluator import Evaluator, Part, parts_of
from merging_core.evaluation.intervals import Interval, average_interval
from merging_core.evaluation.report import Report, Subset, TaskScore
from merging_core.evaluation.tasks import AnyTask

__all__ = ["POINTS", "Path", "Point", "TaskPoint", "barrier", "coarse_to_fine", "point_of", "trace"]

POINTS = 25
"""Points of a finished path, as in Ainsworth et al. 2023 (`linspace(0, 1, 25)`)."""


@dataclass(frozen=True)
class TaskPoint:
    """Mean loss (nats) and accuracy of one task at one point."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Point:
    """The path at `t`, in units of its range: means over tasks, and each task, in the order of `Path.tasks`.

    `interval`: 95 % of the mean accuracy, as in a report.
    """

    t: float
    loss: float
    accuracy: float
    interval: Interval
    tasks: tuple[TaskPoint, ...]

    def as_json(self) -> dict[str, object]:
        """Return plain values; a loss that is not finite is null."""
        rows = [{"loss": _finite(row.loss), "accuracy": row.accuracy} for row in self.tasks]
        means = {"loss": _finite(self.loss), "accuracy": self.accuracy, "interval": list(self.interval)}
        return {"t": self.t, **means, "tasks": rows}


@dataclass(frozen=True)
class Path:
    """What is known of a path so far.

    `splits`: points by split, ordered by t. `n`: examples by split, of all tasks together; `of`:
    the size of those splits. `range`: t at the ends. `complete`: whether all points of the grid are there.
    """

    tasks: tuple[str, ...]
    range: tuple[float, float]
    splits: Mapping[str, tuple[Point, ...]]
    n: Mapping[str, int]
    of: Mapping[str, int]
    current: float | None
    complete: bool

    @property
    def partial(self) -> bool:
        """Whether points are missing or were measured on less than the whole split."""
        return not self.complete or any(self.n[split] < self.of[split] for split in self.n)

    def as_json(self) -> dict[str, object]:
        """Return plain values, barriers included."""
        return {
            "range": list(self.range),
            "current": self.current,
            "complete": self.complete,
            "partial": self.partial,
            "tasks": list(self.tasks),
            "splits": {
                split: {"n": self.n[split], "of": self.of[split], "points": [point.as_json() for point in points]}
                for split, points in self.splits.items()
            },
            "barrier": {
                split: {metric: barrier(self, split, metric).as_json() for metric in ("loss", "error")}
                for split in self.splits
            },
        }


def coarse_to_fine(points: int = POINTS) -> tuple[int, ...]:
    """Return the indices 0 … points − 1 in the order of evaluation: ends, middle, then ever finer halves.

    Raises EvaluationError for fewer than two points.

    >>> coarse_to_fine(9)
    (0, 8, 4, 2, 6, 1, 3, 5, 7)
    >>> coarse_to_fine(4)
    (0, 3, 1, 2)
    """
    if points < 2:
        raise EvaluationError(Problem("a path has at least two points", str(points), "points"))
    order, gaps = [0, points - 1], [(0, points - 1)]
    while gaps:
        finer = []
        for low, high in gaps:
            middle = (low + high) // 2
            if low < middle < high:
                order.append(middle)
                finer += [(low, middle), (middle, high)]
        gaps = finer
    return tuple(order)


def trace(
    evaluator: Evaluator,
    config: Mapping[str, Any],
    weights_at: Callable[[float], Weights],
    tasks: Sequence[AnyTask],
    *,
    ends: tuple[float, float] = (0.0, 1.0),
    current: float | None = None,
    points: int = POINTS,
    splits: Sequence[str] = ("validation", "train"),
    later_splits: Sequence[str] = (),
    subset: Subset = "preview",
    cancelled: Callable[[], bool] | None = None,
    memory: MutableMapping[tuple[str, float], Point] | None = None,
) -> Iterator[Path]:
    """Yield a path as it becomes known: ends, middle and current together, then one more point at a time.

    `weights_at(t)`: the weights at t; `ends`: the range of t, low before high; `current`: one more t, evaluated with
    the first ones (refused outside the range) and left out once the whole grid is known. `splits` are evaluated
    together at each point; `later_splits` too, but not for the first answer, and they are left out of a path until both
    of its ends are known. `memory`: points by split and t that were measured before, on the same weights, tasks and
    subset; they are not measured again, and the new ones are added to it.
    Raises EvaluationError and CancelledError.

    Source: Ainsworth et al. 2023, arXiv:2209.04836 (even grid of 25). Deviation: not from left to right but coarse to
    fine, so that the shape is seen at once.
    """
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise EvaluationError(Problem("a path runs from a lower to a higher t", f"{low} to {high}", "ends"))
    if current is not None and not low <= current <= high:
        raise EvaluationError(Problem(f"the current t lies in [{low:g}, {high:g}]", f"{current:g}", "current"))
    if not splits:
        raise EvaluationError(Problem("a path is measured on a split", "none", "splits"))
    grid = [low + (high - low) * (index / (points - 1)) for index in coarse_to_fine(points)]
    grid[1] = high
    found = {} if memory is None else memory
    everything = (*splits, *later_splits)
    finished = all((split, t) in found for split in everything for t in grid)
    extra = [] if finished or current is None or current in grid[:3] else [current]
    first = grid[:3] + extra
    later = [t for t in grid[3:] if t not in first]
    parts = [part for split in everything for part in parts_of(tasks, split, subset)]
    names = tuple(task.name for task in tasks)
    steps = [
        (first, tuple(splits)),
        *([(first, everything)] if later_splits else []),
        *(([t], everything) for t in later),
    ]
    for number, (step, wanted) in enumerate(steps):
        fresh = {t: [part for part in parts if part.split in wanted and (part.split, t) not in found] for t in step}
        for t, missing in fresh.items():
            if missing:
                for split, point in _points(evaluator, config, weights_at(t), t, missing, cancelled).items():
                    found[split, t] = point
        if number > 0 and not any(fresh.values()):
            continue
        whole = all((split, t) in found for split in everything for t in grid)
        shown = sorted(grid if whole else {*grid, *first})
        rows = {
            split: tuple(found[split, t] for t in shown if (split, t) in found)
            for split in everything
            if (split, low) in found and (split, high) in found
        }
        n = {split: sum(part.stop for part in parts if part.split == split) for split in rows}
        of = {split: sum(len(task.splits[split]) for task in tasks) for split in rows}
        yield Path(names, (low, high), rows, n, of, current, whole)


def point_of(report: Report, t: float) -> Point:
    """Return a report as the point of a path at `t`, for the `memory` of `trace`."""
    return _mean(t, report.tasks)


def barrier(path: Path, split: str = "validation", metric: str = "loss") -> Barrier:
    """Return the barrier of the mean over tasks, on the points measured so far (see `barriers`).

    For a path over another range than [0, 1], as along λ, t is first scaled to [0, 1]: (t − low) / (high − low).
    `metric` `error` takes 1 − accuracy for L. Raises EvaluationError if an end is missing or the name of split or
    metric is not known.
    """
    if split not in path.splits or metric not in ("loss", "error"):
        must = f"a barrier is of loss or error on {' or '.join(path.splits)}"
        raise EvaluationError(Problem(must, f"{metric} on {split}", "barrier"))
    points, (low, high) = path.splits[split], path.range
    if len(points) < 2 or points[0].t != low or points[-1].t != high:
        raise EvaluationError(Problem("a barrier needs both ends of the path", f"{len(points)} points", "barrier"))
    values = [point.loss if metric == "loss" else 1.0 - point.accuracy for point in points]
    return barrier_of(values, [point.t for point in points])


def _points(
    evaluator: Evaluator,
    config: Mapping[str, Any],
    weights: Weights,
    t: float,
    parts: Sequence[Part],
    cancelled: Callable[[], bool] | None,
) -> dict[str, Point]:
    rows: dict[str, list[TaskScore]] = {}
    for score in evaluator.scores(config, weights, parts, cancelled):
        rows.setdefault(score.split, []).append(score)
    return {split: _mean(t, found) for split, found in rows.items()}


def _mean(t: float, found: Sequence[TaskScore]) -> Point:
    loss = sum(score.loss for score in found) / len(found)
    accuracy = math.fsum(score.accuracy for score in found) / len(found)
    interval = average_interval([int(score.correct.sum()) for score in found], [score.n for score in found])
    return Point(t, loss, accuracy, interval, tuple(TaskPoint(score.loss, score.accuracy) for score in found))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
