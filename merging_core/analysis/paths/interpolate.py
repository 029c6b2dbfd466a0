"""Linear interpolation through models: loss and accuracy of each task at points of the line, coarse to fine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
from merging_core.analysis.studies.measuring import parts_in, scores_at, stands
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.engines.points import Points
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.paths import POINTS, coarse_to_fine
from merging_core.evaluation.report import Subset, TaskScore
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["INTERPOLATE"]


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure the grid on previews, then on whole splits; a finding after each point once the ends are known."""
    points = bench.points(spec)
    count, last = int(spec.params.number("points")), len(spec.models) - 1
    grid = [last * index / (count - 1) for index in coarse_to_fine(count)]
    passes: tuple[Subset, ...] = ("preview",) if spec.subset == "preview" else ("preview", "full")
    found: dict[float, tuple[TaskScore, ...]] = {}
    whole, done = parts_in(bench, spec.splits, spec.subset), 0
    for subset in passes:
        parts = parts_in(bench, spec.splits, subset)
        for t in grid:
            done += 1
            known = stands(memory, _name(t), whole)
            weights = partial(_weights, points, t)
            found[t] = scores_at(bench, memory, points.config, _name(t), weights, whole if known else parts)
            if len(found) >= min(3, count):
                yield Finding(_numbers(found, spec), done / (count * len(passes)))


def _weights(points: Points, t: float) -> Weights:
    """Return the weights at t: at each whole number stands a model."""
    last = len(points.flats) - 1
    start = min(int(t), last - 1)
    shares = [0.0] * (last + 1)
    shares[start], shares[start + 1] = 1.0 - (t - start), t - start
    return points.weights(points.mixed(shares))


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    rows = tuple(
        (point["t"], score["task"], score["split"], score["loss"], score["accuracy"], *score["interval"], score["n"])
        for point in cast("list[dict[str, Any]]", numbers["points"])
        for score in point["scores"]
    )
    header = ("t", "task", "split", "loss (nats)", "accuracy", "95 % low", "95 % high", "n")
    return {"path": Table("Loss and accuracy along the path", header, rows)}


def _name(t: float) -> str:
    return f"t {t!r}"


def _numbers(found: dict[float, tuple[TaskScore, ...]], spec: StudySpec) -> dict[str, object]:
    rows = [{"t": t, "scores": [score.as_json() for score in scores]} for t, scores in sorted(found.items())]
    sizes = {split: sum(score.n for score in found[0.0] if score.split == split) for split in spec.splits}
    where = ", ".join(f"{split} n {n}" for split, n in sizes.items())
    return {
        "sentence": f"Loss and accuracy along the line through {len(spec.models)} models; {where}.",
        "models": spec.labels,
        "n": sizes,
        "partial": any(score.partial for scores in found.values() for score in scores),
        "points": rows,
    }


INTERPOLATE = Study(
    name="interpolate",
    title="Interpolation",
    formula="θ(t) = (1 − t)·θ_A + t·θ_B",
    summary="Loss and accuracy on the straight line from model to model, and how high they rise above the chord.",
    source=Source(
        "Ainsworth, Hayase and Srinivasa",
        2023,
        "Git Re-Basin: Merging Models modulo Permutation Symmetries",
        "https://arxiv.org/abs/2209.04836",
        deviation="Points come coarse to fine, so that the shape is seen at once.",
    ),
    parameters=(ParameterInfo("points", "Points", "integer", POINTS, "Points on the line, ends included.", 2, 201),),
    group="paths",
    models=(2, 16),
    splits=("validation", "train"),
    answer=_answer,
    tables=_tables,
)
