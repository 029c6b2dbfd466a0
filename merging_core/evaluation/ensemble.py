"""The output ensemble: what the experts answer together, at the price of running them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Answers, Evaluator, Part, parts_of, scores
from merging_core.evaluation.report import Report, Subset, TaskScore, make_report
from merging_core.evaluation.tasks import AnyTask

__all__ = ["ensemble", "ensemble_scores"]


def ensemble(
    evaluator: Evaluator,
    config: Mapping[str, Any],
    members: Sequence[Weights],
    tasks: Sequence[AnyTask],
    split: str = "validation",
    subset: Subset = "full",
    cancelled: Callable[[], bool] | None = None,
    *,
    experts: Mapping[str, TaskScore] | None = None,
) -> Report:
    """Return the report of the mean of the members' class probabilities: p = (1/M) Σₘ softmax(logitsₘ).

    A reference line for merges: the same models, not merged but all run. Its loss is −log p[label].
    `members`: weights of one architecture, at least one. Raises as `Evaluator.evaluate` does.

    Source: Lakshminarayanan et al. 2017, arXiv:1612.01474, section 2.4 (uniformly weighted mixture).
    """
    found = ensemble_scores(evaluator, config, members, parts_of(tasks, split, subset), cancelled)
    return make_report(found, subset, experts)


def ensemble_scores(
    evaluator: Evaluator,
    config: Mapping[str, Any],
    members: Sequence[Weights],
    parts: Sequence[Part],
    cancelled: Callable[[], bool] | None = None,
) -> tuple[TaskScore, ...]:
    """Return the ensemble's score of each part; raises as `ensemble` does."""
    if not members:
        raise EvaluationError(Problem("an ensemble has at least one member", "none", "members"))
    answered = [evaluator.answers(config, member, parts, cancelled) for member in members]
    return scores([_mean(same) for same in zip(*answered, strict=True)])


def _mean(answers: tuple[Answers, ...]) -> Answers:
    """Return the logarithm of the mean probability as logits; softmax of them is that mean again."""
    with torch.inference_mode():
        logs = torch.stack([answer.logits.log_softmax(dim=-1) for answer in answers])
        mean = logs.logsumexp(dim=0) - torch.log(torch.tensor(float(len(answers)), device=logs.device))
    return replace(answers[0], logits=mean)
