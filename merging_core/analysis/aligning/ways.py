"""What is measured on the ways between two models, each compared on the same examples along its whole length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from merging_core.errors import EvaluationError
from merging_core.evaluation.paths import Path, Point, barrier, point_of
from merging_core.evaluation.report import Subset, TaskScore, make_report

__all__ = ["Way"]

_STEADY = 5
"""Points that whole splits must have before they take the place of previews."""


@dataclass(eq=False)
class Way:
    """Scores at points of one way, by subset. `what`: naive, matched or repaired.

    `measured_as`: what the memory calls its points: those of another way where both are the same weights.
    """

    what: str
    measured_as: str = ""
    _scores: dict[Subset, dict[float, tuple[TaskScore, ...]]] = field(
        default_factory=lambda: {"preview": {}, "full": {}}
    )

    def __post_init__(self) -> None:
        self.measured_as = self.measured_as or self.what

    def put(self, subset: Subset, t: float, scores: tuple[TaskScore, ...]) -> None:
        """Take the scores at t."""
        self._scores[subset][t] = scores

    def shown(self, of: int) -> dict[float, tuple[TaskScore, ...]]:
        """Return what is drawn of a grid of so many points: whole splits, once enough points have them."""
        whole = self._scores["full"]
        return whole if len(whole) >= min(_STEADY, of) else self._scores["preview"]

    def as_json(self, splits: Sequence[str], of: int) -> dict[str, object]:
        """Return plain values, with the barriers of loss and error of each split."""
        shown = self.shown(of)
        parts = {}
        for split in splits:
            points = _points(shown, split)
            if points:
                n = sum(score.n for score in shown[points[0].t] if score.split == split)
                told = [point.as_json() for point in points]
                parts[split] = {"n": n, "points": told, "barrier": _barriers(points, split, n)}
        return {"what": self.what, "splits": parts}


def _points(shown: dict[float, tuple[TaskScore, ...]], split: str) -> tuple[Point, ...]:
    own = {t: [score for score in scores if score.split == split] for t, scores in sorted(shown.items())}
    return tuple(point_of(make_report(scores, "full"), t) for t, scores in own.items() if scores)


def _barriers(points: tuple[Point, ...], split: str, n: int) -> dict[str, object] | None:
    path = Path((), (0.0, 1.0), {split: points}, {split: n}, {split: n}, None, complete=True)
    try:
        return {metric: barrier(path, split, metric).as_json() for metric in ("loss", "error")}
    except EvaluationError:
        return None
