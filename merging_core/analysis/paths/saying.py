"""What models on a line say of single examples, a class and its probability, remembered so that it is asked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.predictions import UNANSWERED, predicted, probabilities
from merging_core.evaluation.tasks import AnyTask

__all__ = ["ask", "said", "unasked"]

Asked = Sequence[tuple[AnyTask, str, int]]
"""Task, split and place in the order of evaluation of each example."""


def unasked(memory: Memory, name: str, examples: Asked) -> list[Part]:
    """Return those examples that a model, by its name in the memory, was not asked about; texts have no classes."""
    return [
        Part(task, split, place, place + 1)
        for task, split, place in examples
        if task.metric == "accuracy" and place not in _known(memory, name, task, split)
    ]


def ask(
    bench: StudyBench, memory: Memory, config: Mapping[str, Any], name: str, weights: Weights, parts: Sequence[Part]
) -> None:
    """Ask a model about examples, one a part, and remember what it says. Raises as `Evaluator.answers` does."""
    fresh: dict[tuple[AnyTask, str], dict[int, tuple[int, float]]] = {}
    for answer in bench.evaluator.answers(config, weights, parts, bench.cancelled):
        found = int(predicted(answer.logits)[0])
        chance = 0.0 if found == UNANSWERED else float(probabilities(answer.logits)[0][found])
        fresh.setdefault((answer.part.task, answer.part.split), {})[answer.part.start] = found, chance
    for (task, split), rows in fresh.items():
        every = {**_known(memory, name, task, split), **rows}
        memory.put(
            _key(name, task, split),
            places=numpy.array(list(every), dtype=numpy.int64),
            said=numpy.array([found for found, _ in every.values()], dtype=numpy.int64),
            chance=numpy.array([chance for _, chance in every.values()], dtype=numpy.float32),
        )


def said(memory: Memory, name: str, task: AnyTask, split: str, place: int) -> dict[str, Any] | None:
    """Return the class that a model gives an example, None for no answer, and its probability; None if unasked."""
    found = _known(memory, name, task, split).get(place)
    if found is None:
        return None
    return {"class": None if found[0] == UNANSWERED else task.classes[found[0]], "probability": found[1]}


def _known(memory: Memory, name: str, task: AnyTask, split: str) -> dict[int, tuple[int, float]]:
    found = memory.get(_key(name, task, split))
    if found is None:
        return {}
    rows = zip(found["places"].tolist(), found["said"].tolist(), found["chance"].tolist(), strict=True)
    return {place: (one, chance) for place, one, chance in rows}


def _key(name: str, task: AnyTask, split: str) -> str:
    return f"{name}|{task.name}|{split}|said"
