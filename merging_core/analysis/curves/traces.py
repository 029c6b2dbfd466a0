"""What is measured along lines and curves: points by t, whole statistics of them, and how sure an excess is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from merging_core.analysis.curves.curve import Curve
from merging_core.analysis.curves.statistics import statistics
from merging_core.evaluation.intervals import Interval, difference, mean_interval, pair_counts
from merging_core.evaluation.paths import Point, point_of
from merging_core.evaluation.report import TaskScore, make_report, make_score

__all__ = ["Trace", "excess_interval"]

_ENOUGH = 9
"""Points from which on a path is shown at those alone that are measured on more examples."""


class Trace:
    """The scores of one path under one attack or none, by t. `what`: line or curve; `under`: clean, linf or l2."""

    def __init__(self, what: str, under: str, path: Curve) -> None:
        self.what, self.under, self.path = what, under, path
        self._found: dict[float, tuple[TaskScore, ...]] = {}
        self._scores: dict[float, tuple[TaskScore, ...]] = {}
        self._points: dict[tuple[float, str], Point] = {}

    def put(self, t: float, scores: tuple[TaskScore, ...]) -> None:
        """Take the scores at t, in place of earlier ones; what is told is of the same examples at every point."""
        self._found[t] = scores
        alike = _alike(self._found)
        fresh = [t for t, scores in alike.items() if self._scores.get(t) is not scores]
        self._scores = alike
        for t in fresh:
            for split in dict.fromkeys(score.split for score in alike[t]):
                own = [score for score in alike[t] if score.split == split]
                self._points[t, split] = point_of(make_report(own, "full"), t)

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def partial(self) -> bool:
        """Whether some point was measured on less than a whole split."""
        return any(score.partial for scores in self._found.values() for score in scores)

    def n(self, split: str) -> int:
        """Return on how many examples of a split every point was measured, of all tasks together; 0 without any."""
        sizes = [sum(one.n for one in scores if one.split == split) for scores in self._scores.values()]
        return min(sizes, default=0)

    def as_json(self, splits: Sequence[str]) -> dict[str, object]:
        """Return plain values: of each split its points in the order of t, each with the mean and every task."""
        return {
            "what": self.what,
            "under": self.under,
            "splits": {
                split: {"n": self.n(split), "points": [self._point(t, split) for t in sorted(self._scores)]}
                for split in splits
            },
        }

    def _point(self, t: float, split: str) -> dict[str, object]:
        return {**self._points[t, split].as_json(), "tasks": [score.as_json() for score in self._of(t, split)]}

    def largest(self, split: str, *, inner: bool = False) -> float:
        """Return the largest loss on a split, of the mean over tasks; `inner`: of what is between the ends."""
        between = [t for t in self._scores if 0.0 < t < 1.0]
        return max(self._points[t, split].loss for t in (between if inner and between else self._scores))

    def statistics(self, splits: Sequence[str]) -> list[dict[str, object]]:
        """Return the statistics of loss and error on each split; nothing until both ends are known."""
        grid = sorted(self._scores)
        if len(grid) < 2 or (grid[0], grid[-1]) != (0.0, 1.0):
            return []
        steps = self.path.steps(grid)
        rows: list[dict[str, object]] = []
        for split in splits:
            points = [self._points[t, split] for t in grid]
            for metric, values in (
                ("loss", [point.loss for point in points]),
                ("error", [1.0 - point.accuracy for point in points]),
            ):
                found = statistics(grid, values, steps)
                worse = 0.0 if found.start >= found.end else 1.0
                interval = excess_interval(self._of(worse, split), self._of(found.at, split), metric)
                own = {"what": self.what, "under": self.under, "split": split, "metric": metric, "n": self.n(split)}
                rows.append({**own, **found.as_json(), "interval": None if interval is None else list(interval)})
        return rows

    def _of(self, t: float, split: str) -> list[TaskScore]:
        return [score for score in self._scores[t] if score.split == split]


def _alike(found: dict[float, tuple[TaskScore, ...]]) -> dict[float, tuple[TaskScore, ...]]:
    """Return the points with the most examples where they show the path already, else all of them with the fewest."""
    sizes = {t: tuple(score.n for score in scores) for t, scores in found.items()}
    most, least = max(sizes.values()), min(sizes.values())
    if most == least:
        return dict(found)
    finest = {t: scores for t, scores in found.items() if sizes[t] == most}
    if {0.0, 1.0} <= finest.keys() and len(finest) >= min(_ENOUGH, len(found)):
        return finest
    return {t: tuple(map(_cut, scores, least)) for t, scores in found.items()}


def _cut(score: TaskScore, n: int) -> TaskScore:
    """The score on the first n examples."""
    if score.n == n:
        return score
    arrays = (score.examples[:n], score.correct[:n], score.losses[:n])
    return make_score(score.task, score.title, score.split, score.of, *arrays, metric=score.metric)


def excess_interval(worse: Sequence[TaskScore], top: Sequence[TaskScore], metric: str) -> Interval | None:
    """Return the 95 % interval of how far a model is above another, in mean loss or error over tasks, by pairs.

    Of error by paired bootstrap; of loss by batch means of the examples' differences, task by task, whose half-widths
    add in squares. None where a loss is not finite, or one example is all there is.
    """
    size = [min(one.n, other.n) for one, other in zip(worse, top, strict=True)]
    if metric == "error":
        pairs = [
            pair_counts(one.correct[:n], other.correct[:n]) for one, other, n in zip(worse, top, size, strict=True)
        ]
        return difference(pairs).interval
    found = [mean_interval(other.losses[:n] - one.losses[:n]) for one, other, n in zip(worse, top, size, strict=True)]
    known = [pair for pair in found if pair is not None]
    if len(known) < len(found):
        return None
    middle = math.fsum(0.5 * (low + high) for low, high in known) / len(known)
    half = math.sqrt(math.fsum((0.5 * (high - low)) ** 2 for low, high in known)) / len(known)
    return middle - half, middle + half
