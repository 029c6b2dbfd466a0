"""Many weights on the same examples: together where that was measured to be faster, else one after the other.

A small perceptron is so little work that asking takes longer than answering: a stack of weight matrices is one product
a layer. A transformer fills a core with one weight vector, and stacked products are slower there
(`python -m benchmarks.many_weights`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from merging_core.evaluation.architectures import Architecture, Weights, fitting
from merging_core.evaluation.batches import Cancelled
from merging_core.evaluation.metrics import correct, losses
from merging_core.evaluation.report import TaskScore, make_score

if TYPE_CHECKING:
    from merging_core.evaluation.evaluator import Evaluator, Part

__all__ = ["TOGETHER", "AnyWeights", "Stacked", "scores_of_many"]

TOGETHER = 8
"""Weight vectors that are evaluated at once."""


@dataclass(frozen=True, eq=False)
class Stacked:
    """Several weights that are evaluated together."""

    each: tuple[Weights, ...]

    def fitting(self, found: Architecture, device: torch.device) -> dict[str, torch.Tensor]:
        """Return the leaves that `found` needs, [k, …] each; raises as `architectures.fitting` does."""
        bound = [fitting(found, weights, device) for weights in self.each]
        return {name: torch.stack([one[name] for one in bound]) for name in bound[0]}


AnyWeights = Weights | Stacked


def scores_of_many(
    evaluator: Evaluator,
    config: Mapping[str, Any],
    weights: Sequence[Weights],
    parts: Sequence[Part],
    cancelled: Cancelled | None = None,
) -> tuple[tuple[TaskScore, ...], ...]:
    """Return the scores of each of several weights on all parts: those of `Evaluator.scores`, to rounding.

    Raises as `Evaluator.scores` does.
    """
    if len(weights) < 2 or not evaluator.stacks(config, parts):
        return tuple(evaluator.scores(config, one, parts, cancelled) for one in weights)
    rows: list[list[TaskScore]] = [[] for _ in weights]
    for answer in evaluator.answers(config, Stacked(tuple(weights)), parts, cancelled):
        task, split = answer.part.task, answer.part.split
        with torch.inference_mode():
            logits = answer.logits.transpose(0, 1)
            right = correct(logits, answer.labels).cpu().numpy()
            nats = losses(logits.flatten(0, 1), answer.labels.repeat(len(weights))).view(right.shape).cpu().numpy()
        of = len(task.splits[split])
        for row, hits, loss in zip(rows, right, nats, strict=True):
            row.append(make_score(task.name, task.title, split, of, answer.examples, hits, loss))
    return tuple(tuple(row) for row in rows)
