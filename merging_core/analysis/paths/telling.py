"""What a line through models says in numbers: its points, means, barriers, the examples behind them, one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from merging_core.analysis.paths.examples import SHOWN, Makers, makers_in
from merging_core.analysis.paths.heights import Curve, barriers_on, curves_of, mean_curve
from merging_core.analysis.paths.measured import Measured
from merging_core.analysis.paths.saying import said
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.evaluation.intervals import average_interval
from merging_core.evaluation.report import TaskScore
from merging_core.evaluation.resampling import percentiles
from merging_core.evaluation.tasks import AnyTask
from merging_core.recipes.recipe import Recipe

__all__ = ["line_numbers", "point_name"]


def point_name(t: float) -> str:
    """Return what a memory calls the point at t."""
    return f"t {t!r}"


def line_numbers(
    spec: StudySpec, tasks: Sequence[AnyTask], memory: Memory, measured: Measured, draws: int
) -> dict[str, Any]:
    """Return everything that is known of a line as plain values; `draws`: resamples of each interval."""
    alike, models = measured.alike, len(spec.models)
    splits = [split for split in spec.splits if any(score.split == split for score in alike[0.0])]
    curves = curves_of(alike, spec.seed, draws)
    means = {split: mean_curve([curve for curve in curves if curve.split == split]) for split in splits}
    told = (*means.values(), *(curves if len(tasks) > 1 else ()))
    barriers = [row for curve in told for row in barriers_on(curve, models)]
    whole = measured.whole and not any(score.partial for scores in alike.values() for score in scores)
    return {
        "sentence": _sentence(barriers, splits, models, partial=not whole),
        "models": ["merge" if isinstance(model, Recipe) else model for model in spec.models],
        "n": {split: means[split].n for split in splits},
        "of": {split: sum(score.of for score in alike[0.0] if score.split == split) for split in splits},
        "partial": not whole,
        "range": [min(measured.found), max(measured.found)],
        "resamples": draws,
        "points": [
            {"t": t, "scores": [score.as_json() for score in scores]} for t, scores in sorted(measured.found.items())
        ],
        "means": [row for split in splits for row in _means(means[split], alike)],
        "barriers": barriers,
        "examples": [
            {**makers.as_json(), "rows": _examples(makers, tasks, memory)}
            for makers in makers_in(alike, splits, models)
        ],
    }


def _means(curve: Curve, alike: Mapping[float, Sequence[TaskScore]]) -> list[dict[str, Any]]:
    """Return the mean over tasks at each point of one split, with the intervals of its loss and accuracy."""
    rows = []
    for place, t in enumerate(curve.ts):
        scores = [score for score in alike[t] if score.split == curve.split]
        texts = curve.error is None
        right = [int(numpy.count_nonzero(score.correct)) for score in scores]
        loss, interval = float(curve.loss.means[place]), percentiles(curve.loss.draws[:, place])
        rows.append(
            {
                "t": t,
                "split": curve.split,
                "n": curve.n,
                "loss": loss if math.isfinite(loss) else None,
                "loss_interval": None if interval is None else list(interval),
                "accuracy": None if texts else math.fsum(score.accuracy for score in scores) / len(scores),
                "accuracy_interval": None if texts else list(average_interval(right, [score.n for score in scores])),
            }
        )
    return rows


def _examples(makers: Makers, tasks: Sequence[AnyTask], memory: Memory) -> list[dict[str, Any]]:
    """Return those with the largest parts; `losses` and `said` are of the first end, the barrier and the last end."""
    rows, names = [], [point_name(t) for t in makers.ts]
    for rank in range(min(SHOWN, len(makers.parts))):
        task, example = tasks[int(makers.which[rank])], int(makers.examples[rank])
        label, place = int(task.labels(makers.split)[example]), int(makers.places[rank])
        answers = [said(memory, name, task, makers.split, place) for name in names]
        rows.append(
            {
                "task": task.name,
                "example": example,
                "label": task.classes[label] if task.classes else label,
                "gap": float(makers.gaps[rank]),
                "share": float(makers.parts[rank]) / makers.height,
                "losses": makers.losses[:, rank].tolist(),
                "said": None if None in answers else answers,
            }
        )
    return rows


def _sentence(barriers: Sequence[Mapping[str, Any]], splits: Sequence[str], models: int, *, partial: bool) -> str:
    """Say the highest loss barrier between neighbours on each split, of those that are more than noise if any is."""
    said_ = []
    for split in splits:
        rows = [
            row
            for row in barriers
            if (row["split"], row["task"], row["metric"]) == (split, None, "loss") and row["to"] == row["from"] + 1
        ]
        if not rows:  # no two neighbours among the models are measured yet
            said_.append(f"no barrier is known yet on {split}")
            continue
        row = max(rows, key=_rank)
        said_.append(f"{_height(row, models)} on {split} (n {row['n']:,})")
    words = f"{'; '.join(said_)}{'; not everything is measured yet' if partial else ''}."
    return words[0].upper() + words[1:]


def _height(row: Mapping[str, Any], models: int) -> str:
    value, interval = row["barrier"]["value"], row["barrier"]["interval"]
    where = "" if models == 2 else f" from model {row['from'] + 1} to {row['to'] + 1}"
    between = f"{where[1:]}, " if where else ""
    if value is None:
        return f"{between}loss that is not finite at t {row['at']:.2f}"
    if row["points"] < 3:
        return f"{between}loss at both ends"
    bounds = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
    if _is_noise(row):
        if where:
            return f"no step has a loss barrier beyond noise, the highest {value:.3f} nats{bounds}{where},"
        return f"no loss barrier beyond noise, {value:.3f} nats{bounds}{_below(row)},"
    return f"{between}loss barrier {value:.3f} nats{bounds} at t {row['at']:.2f}"


def _rank(row: Mapping[str, Any]) -> tuple[bool, float]:
    value = row["barrier"]["value"]
    return not _is_noise(row), math.inf if value is None else value


def _is_noise(row: Mapping[str, Any]) -> bool:
    """Say whether nothing of a barrier is left for certain where it is held out."""
    held_out = row["held_out"]
    return held_out is not None and held_out["interval"] is not None and held_out["interval"][0] <= 0.0


def _below(row: Mapping[str, Any]) -> str:
    """Say where the middle is better than the chord."""
    gap = row["midpoint_gap"]
    if gap is None or gap["interval"] is None or gap["interval"][1] >= 0.0:
        return ""
    low, high = gap["interval"]
    return f", the middle {-gap['value']:.3f} nats ({-high:.3f} to {-low:.3f}) below the chord"
