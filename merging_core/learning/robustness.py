"""How many answers survive an attack: the pictures are changed against the very weights that are measured.

A picture counts where it is answered right as it is and after the attack, so robust accuracy is never above the clean
one. Batches are fixed and worked on side by side, one core each, so any number of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from merging_core.cores import MAX_WORKERS, cores, single_threaded_pool
from merging_core.errors import CancelledError, EvaluationError, Problem
from merging_core.evaluation.architectures import Weights, architecture, fitting
from merging_core.evaluation.evaluator import Part, need_of
from merging_core.evaluation.heads import Head, OwnHead
from merging_core.evaluation.metrics import correct
from merging_core.evaluation.report import Report, TaskScore, make_report, make_score
from merging_core.evaluation.tasks import AnyTask, Task
from merging_core.learning.attacks import Attack, attacked

__all__ = ["Robust", "attack_problems", "pixels_of", "robust_report", "robust_scores", "taken"]

_ROWS = 50
_SHADES = 255.0
"""What one is, of pixels in [0, 1], as a task takes its pictures."""
Cancelled = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Robust:
    """A report under an attack: `accuracy` is that of pictures answered right before and after it."""

    attack: Attack
    report: Report

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {"attack": self.attack.as_json(), "words": self.attack.words, **self.report.as_json()}


def robust_report(
    config: Mapping[str, Any],
    weights: Weights,
    parts: Sequence[Part],
    attack: Attack,
    cancelled: Cancelled | None = None,
) -> Robust:
    """Return how weights do on parts under an attack; raises EvaluationError and CancelledError."""
    return Robust(attack, make_report(robust_scores(config, weights, parts, attack, cancelled), "full"))


def robust_scores(
    config: Mapping[str, Any],
    weights: Weights,
    parts: Sequence[Part],
    attack: Attack,
    cancelled: Cancelled | None = None,
) -> tuple[TaskScore, ...]:
    """Return the score of each part under an attack; losses are those of the changed pictures.

    Raises EvaluationError with every task that is not of pictures or does not fit, and CancelledError.
    """
    problems = attack_problems([part.task for part in parts])
    if problems:
        raise EvaluationError(*problems)
    device = next(iter(weights.values())).device
    workers = min(MAX_WORKERS, cores()) if device.type == "cpu" else 1
    pool = single_threaded_pool(workers, "basin-attack")
    try:
        return tuple(_scored(config, weights, part, attack, pool.map, cancelled) for part in parts)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def attack_problems(tasks: Sequence[AnyTask]) -> list[Problem]:
    """Say which tasks have no pixels that could be changed."""
    must, fix = "a task under attack is one of pictures", "choose tasks of pictures, or no attack"
    return [Problem(must, "another kind", task.name, fix) for task in tasks if not isinstance(task, Task)]


def taken(task: Task, pixels: torch.Tensor) -> torch.Tensor:
    """Return pixels in [0, 1] as the task's model takes them, differentiable."""
    return task.pixels(pixels * _SHADES)


def pixels_of(task: Task, ready: torch.Tensor) -> torch.Tensor:
    """Return pictures that a model takes as pixels in [0, 1]: what `taken` undoes, within their range."""
    mean, std = (torch.as_tensor(value, device=ready.device).reshape(-1, 1, 1) for value in (task.mean, task.std))
    return ((ready * std + mean) / (_SHADES * task.rescale)).clamp(0.0, 1.0)


def _scored(
    config: Mapping[str, Any],
    weights: Weights,
    part: Part,
    attack: Attack,
    side_by_side: Callable[..., Any],
    cancelled: Cancelled | None,
) -> TaskScore:
    task = part.task
    if not isinstance(task, Task):
        raise TypeError("a task of pictures")
    device = next(iter(weights.values())).device
    found = architecture(config, *need_of(task))
    misfits = task.misfits(found)
    if misfits:
        raise EvaluationError(*misfits)
    own = task.head.leaves if isinstance(task.head, OwnHead) else {}
    bound = fitting(found, {**weights, **own}, device)
    head: Head = task.head.to(device).meeting(found.projected)
    split = task.splits[part.split]
    places = torch.tensor(split.order[part.start : part.stop], dtype=torch.int64)
    images, labels = split.images[places].to(device), task.labels(part.split)[places].to(device)

    def answered(start: int) -> tuple[torch.Tensor, torch.Tensor]:
        if cancelled is not None and cancelled():
            raise CancelledError(Problem("a measurement runs to its end", "a wish to stop"))
        rows, wanted = images[start : start + _ROWS], labels[start : start + _ROWS]

        def logits(pixels: torch.Tensor) -> torch.Tensor:
            return head.logits(found.forward(bound, taken(task, pixels)))

        changed = attacked(
            lambda pixels: cross_entropy(logits(pixels), wanted, reduction="none"), rows.float() / _SHADES, attack
        )
        with torch.no_grad():
            clean = head.logits(found.forward(bound, task.pixels(rows)))
            after = logits(changed)
            right = correct(clean, wanted) & correct(after, wanted)
            return right, cross_entropy(after, wanted, reduction="none")

    done = list(side_by_side(answered, range(0, len(images), _ROWS)))
    right = torch.cat([one for one, _ in done]).cpu().numpy()
    nats = torch.cat([one for _, one in done]).cpu().numpy()
    return make_score(task.name, task.title, part.split, len(split), places.numpy(), right, nats)
