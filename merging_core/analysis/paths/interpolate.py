"""Interpolation through models: loss and accuracy along the line, every barrier on it, the examples that make it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from merging_core.analysis.paths.examples import makers_in
from merging_core.analysis.paths.line import flat_at, line_order
from merging_core.analysis.paths.measured import Measured, measured_on
from merging_core.analysis.paths.saying import ask, unasked
from merging_core.analysis.paths.tables import line_tables
from merging_core.analysis.paths.telling import line_numbers, point_name
from merging_core.analysis.studies.contract import Finding, Study, StudyBench
from merging_core.analysis.studies.measuring import parts_in, scores_at, stands
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.engines.points import Points
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.intervals import RESAMPLES
from merging_core.evaluation.paths import POINTS
from merging_core.evaluation.report import TaskScore
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["INTERPOLATE"]

_DRAWS = 200
"""Resamples of an interval as long as something is left to measure."""
_BITE = 384
"""Examples measured between two findings, about."""
_FIRST = 3
"""Points of the first finding, on the first split only: both ends and what lies between."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure the line on previews, then on whole splits; a finding after each point, and within those that take long.

    What was measured already yields nothing, so that whoever asks again and again comes to what is new at once.
    """
    points, params = bench.points(spec), spec.params
    models, fine = len(spec.models), int(params.number("points"))
    order = line_order(models, fine, params.number("before"), params.number("beyond"))
    frame = models + (models - 1 if fine > 2 else 0)
    levels = _levels(spec, bench)
    last: dict[str, Any] | None = None
    for number, level in enumerate(levels):
        for place, t in enumerate(order[:_FIRST] if number == 0 else order):
            name, weights = point_name(t), cache(partial(_weights, points, t))
            if stands(memory, name, level):
                continue
            for bite in _bites(level):
                measured_before = stands(memory, name, bite)
                scores_at(bench, memory, points.config, name, weights, bite)
                if last is not None and not measured_before and not stands(memory, name, level):
                    yield Finding(last, _share(memory, order, levels))
            if number > 0 or place == min(_FIRST, len(order)) - 1:
                measured = _measured(bench, memory, points, order, frame, levels)
                last = line_numbers(spec, bench.tasks, memory, measured, _DRAWS)
                yield Finding(last, _share(memory, order, levels))
        if number > 0:
            bench.heed()
            _ask(spec, bench, memory, points, _measured(bench, memory, points, order, frame, (level,)))
    measured = _measured(bench, memory, points, order, frame, levels)
    yield Finding(line_numbers(spec, bench.tasks, memory, measured, RESAMPLES), 1.0)


def _levels(spec: StudySpec, bench: StudyBench) -> tuple[tuple[Part, ...], ...]:
    """Return the parts of each pass: previews of the first split, all previews, all that is asked for."""
    previews = parts_in(bench, spec.splits, "preview")
    first = tuple(part for part in previews if part.split == spec.splits[0])
    return (first, previews) if spec.subset == "preview" else (first, previews, parts_in(bench, spec.splits, "full"))


def _weights(points: Points, t: float) -> Weights:
    return points.weights(flat_at(points, t))


def _bites(parts: Sequence[Part]) -> Iterator[tuple[Part, ...]]:
    """Yield parts in groups that do not take long each."""
    bite: list[Part] = []
    room = _BITE
    for part in parts:
        stop = 0
        while stop < part.stop:
            taken = min(part.stop - stop, room)
            stop, room = stop + taken, room - taken
            bite.append(replace(part, stop=stop))
            if room == 0:
                yield tuple(bite)
                bite, room = [], _BITE
    if bite:
        yield tuple(bite)


def _measured(
    bench: StudyBench,
    memory: Memory,
    points: Points,
    order: Sequence[float],
    frame: int,
    levels: Sequence[Sequence[Part]],
) -> Measured:
    def known(t: float, parts: Sequence[Part]) -> tuple[TaskScore, ...] | None:
        name = point_name(t)
        if not stands(memory, name, parts):
            return None
        return scores_at(bench, memory, points.config, name, partial(_weights, points, t), parts)

    return measured_on(order, frame, levels, known)


def _share(memory: Memory, order: Sequence[float], levels: Sequence[Sequence[Part]]) -> float:
    """Return how much of all examples at all points is measured; 1 is left to the answer that is complete."""
    done = 0
    for t in order:
        name = point_name(t)
        stops = {(part.task, part.split): 0 for part in levels[-1]}
        for part in (part for level in levels for part in level if stands(memory, name, (part,))):
            stops[part.task, part.split] = part.stop
        done += sum(stops.values())
    return min(done / (len(order) * sum(part.stop for part in levels[-1])), 0.999)


def _ask(spec: StudySpec, bench: StudyBench, memory: Memory, points: Points, measured: Measured) -> None:
    """Ask the models at the barrier and at its ends about the examples that make it."""
    for makers in makers_in(measured.alike, spec.splits, len(spec.models)):
        examples = [
            (task, makers.split, place) for which, task in enumerate(bench.tasks) for place in makers.named(which)
        ]
        for t in makers.ts:
            if missing := unasked(memory, point_name(t), examples):
                ask(bench, memory, points.config, point_name(t), _weights(points, t), missing)


INTERPOLATE = Study(
    name="interpolate",
    title="Interpolation",
    formula="θ(t) = (1 − t)·θ_A + t·θ_B;  B = max over t in [0, 1] of L(t) − [(1 − t)·L(0) + t·L(1)]",
    summary="Loss and accuracy on the straight line from model to model, how high they rise above the chord between "
    "its ends, and which examples make that barrier.",
    source=Source(
        "Ainsworth, Hayase and Srinivasa",
        2023,
        "Git Re-Basin: Merging Models modulo Permutation Symmetries",
        "https://arxiv.org/abs/2209.04836",
        deviation="Points come coarse to fine, so that the shape is seen at once; the barrier is that of Entezari et "
        "al. 2022, above the chord and not above the mean of the ends.",
    ),
    parameters=(
        ParameterInfo(
            "points", "Points", "integer", POINTS, "Points on the way from model to model, both included.", 2, 201
        ),
        ParameterInfo(
            "before",
            "Before the first",
            "number",
            0.0,
            "How far the line goes on before the first model, in steps from model to model.",
            0.0,
            2.0,
            step=0.1,
        ),
        ParameterInfo(
            "beyond",
            "Beyond the last",
            "number",
            0.0,
            "How far the line goes on beyond the last model, in steps from model to model.",
            0.0,
            2.0,
            step=0.1,
        ),
    ),
    group="paths",
    models=(2, 16),
    splits=("validation", "train"),
    answer=_answer,
    tables=line_tables,
)
