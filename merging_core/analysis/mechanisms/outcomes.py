"""What models answer to pictures as they are and changed, example by example; measured once and kept in a memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.metrics import losses
from merging_core.evaluation.predictions import predicted

__all__ = ["Outcome", "measure", "outcome"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Losses in nats, answers (−1 for none) and labels of the first n examples of a part, in their order."""

    losses: NDArray[numpy.float64]
    answers: NDArray[numpy.int64]
    labels: NDArray[numpy.int64]

    @property
    def n(self) -> int:
        """How many examples."""
        return len(self.losses)

    def first(self, n: int) -> Outcome:
        """Return the first n of them."""
        return Outcome(self.losses[:n], self.answers[:n], self.labels[:n])


def outcome(memory: Memory, name: str, part: Part) -> Outcome | None:
    """Return what the memory has under a name of a part's task and split."""
    found = memory.get(_key(name, part))
    if found is None:
        return None
    whole = Outcome(
        found["losses"].astype(numpy.float64), found["answers"].astype(numpy.int64), found["labels"].astype(numpy.int64)
    )
    return whole.first(part.stop)


def measure(
    bench: StudyBench,
    memory: Memory,
    config: Mapping[str, Any],
    name: str,
    weights: Callable[[], Weights],
    parts: Sequence[Part],
) -> None:
    """See to it that the memory has the outcomes of parts under a name; only what is missing is measured.

    Raises as `Evaluator.answers` does.
    """
    missing = [
        Part(part.task, part.split, known, part.stop)
        for part in parts
        if (known := _known(memory, name, part)) < part.stop
    ]
    if not missing:
        return
    for part, answer in zip(missing, bench.evaluator.answers(config, weights(), missing, bench.cancelled), strict=True):
        with torch.inference_mode():
            nats = losses(answer.logits, answer.labels).cpu().numpy()
        found = {"losses": nats, "answers": predicted(answer.logits), "labels": answer.labels.cpu().numpy()}
        before = memory.get(_key(name, part)) if part.start else None
        if before is not None:
            found = {field: numpy.concatenate((before[field], array)) for field, array in found.items()}
        memory.put(_key(name, part), **found)


def _known(memory: Memory, name: str, part: Part) -> int:
    found = memory.get(_key(name, part))
    return 0 if found is None else len(found["losses"])


def _key(name: str, part: Part) -> str:
    return f"{name}|{part.task.name}|{part.split}"
