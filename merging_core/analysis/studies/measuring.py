"""Measuring models on examples for a study: what its memory has is not measured again, what is missing is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part, parts_of
from merging_core.evaluation.report import Subset, TaskScore, make_score

__all__ = ["Measured", "parts_in", "scores_at", "stands"]

Measured = Callable[[Weights, Sequence[Part]], tuple[TaskScore, ...]]


def parts_in(bench: StudyBench, splits: Sequence[str], subset: Subset) -> tuple[Part, ...]:
    """Return the part of every task in every split, split by split."""
    return tuple(part for split in splits for part in parts_of(bench.tasks, split, subset))


def stands(memory: Memory, name: str, parts: Sequence[Part]) -> bool:
    """Say whether all of these parts were measured at the point of a name."""
    return all(_known(memory, name, part) >= part.stop for part in parts)


def scores_at(
    bench: StudyBench,
    memory: Memory,
    config: Mapping[str, Any],
    name: str,
    weights: Callable[[], Weights],
    parts: Sequence[Part],
    measured: Measured | None = None,
) -> tuple[TaskScore, ...]:
    """Return the scores of a model on parts that begin at the first example; only what is missing is measured.

    `name`: what the memory calls this model; `weights()` is asked only where something is missing. `measured`: who
    scores weights on parts, if not the evaluator. Raises as that does, by default as `Evaluator.scores`.
    """
    missing = [
        Part(part.task, part.split, known, part.stop)
        for part in parts
        if (known := _known(memory, name, part)) < part.stop
    ]
    if missing:
        if measured is None:
            scores = bench.evaluator.scores(config, weights(), missing, bench.cancelled)
        else:
            scores = measured(weights(), missing)
        for part, score in zip(missing, scores, strict=True):
            found = {"correct": score.correct, "losses": score.losses, "examples": score.examples}
            before = memory.get(_key(name, part)) if part.start else None
            if before is not None:
                found = {field: numpy.concatenate((before[field], array)) for field, array in found.items()}
            memory.put(_key(name, part), **found)
    return tuple(_score(memory, name, part) for part in parts)


def _score(memory: Memory, name: str, part: Part) -> TaskScore:
    task, found = part.task, memory.get(_key(name, part))
    if found is None:
        raise KeyError(f"{_key(name, part)} was not measured")
    return make_score(
        task.name,
        task.title,
        part.split,
        len(task.splits[part.split]),
        found["examples"][: part.stop].astype(numpy.int64),
        found["correct"][: part.stop].astype(numpy.bool_),
        found["losses"][: part.stop].astype(numpy.float32),
        metric=task.metric,
    )


def _known(memory: Memory, name: str, part: Part) -> int:
    found = memory.get(_key(name, part))
    return 0 if found is None else len(found["correct"])


def _key(name: str, part: Part) -> str:
    return f"{name}|{part.task.name}|{part.split}"
