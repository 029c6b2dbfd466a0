"""How many answers survive an attack: the pictures are changed against the very weights that are measured.

A picture counts where it is answered right as it is and after the attack, so robust accuracy is never above the clean
one. Batches are fixed and worked on side by side, one core each, so any number of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from merging_core.cores import MAX_WORKERS, cores, single_threaded_pool
from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Weights, architecture, fitting
from merging_core.evaluation.evaluator import Part, need_of
from merging_core.evaluation.heads import Head, OwnHead
from merging_core.evaluation.metrics import correct
from merging_core.evaluation.report import Report, TaskScore, make_report, make_score
from merging_core.evaluation.tasks import AnyTask, Task
from merging_core.learning.attacks import Attack, attacked

__all__ = ["Robust", "attack_problems", "pixels_of", "robust_report", "robust_steps", "taken"]

_ROWS = 50
_SHADES = 255.0
"""What one is, of pixels in [0, 1], as a task takes its pictures."""


@dataclass(frozen=True, eq=False)
class Robust:
    """A report under an attack: `accuracy` is that of pictures answered right before and after it."""

    attack: Attack
    report: Report

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {"attack": self.attack.as_json(), "words": self.attack.words, **self.report.as_json()}


def robust_report(config: Mapping[str, Any], weights: Weights, parts: Sequence[Part], attack: Attack) -> Robust:
    """Return how weights do on parts under an attack; raises EvaluationError as `robust_steps` does."""
    *_, found = robust_steps(config, weights, parts, attack)
    if found is None:
        raise ValueError("a measurement ends with its report")
    return found


def robust_steps(
    config: Mapping[str, Any], weights: Weights, parts: Sequence[Part], attack: Attack
) -> Iterator[Robust | None]:
    """Yield None after each batch of pictures, then how the weights do; losses are those of the changed pictures.

    Whoever stops asking has stopped the measurement. Raises EvaluationError with every task that is not of pictures or
    does not fit.
    """
    problems = attack_problems([part.task for part in parts])
    if problems:
        raise EvaluationError(*problems)
    device = next(iter(weights.values())).device
    workers = min(MAX_WORKERS, cores()) if device.type == "cpu" else 1
    pool = single_threaded_pool(workers, "basin-attack")
    try:
        scores = []
        for part in parts:
            batches = _batches(config, weights, part, attack)
            done: list[tuple[torch.Tensor, torch.Tensor]] = []
            for one in pool.map(lambda work: work(), batches):
                done.append(one)
                yield None
            scores.append(_scored(part, done))
        yield Robust(attack, make_report(scores, "full"))
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


def _batches(
    config: Mapping[str, Any], weights: Weights, part: Part, attack: Attack
) -> list[Callable[[], tuple[torch.Tensor, torch.Tensor]]]:
    """Return the work of a part, batch by batch: which answers are right before and after, and the losses after."""
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
    places = _places(part)
    images, labels = task.splits[part.split].images[places].to(device), task.labels(part.split)[places].to(device)

    def logits(pixels: torch.Tensor) -> torch.Tensor:
        return head.logits(found.forward(bound, taken(task, pixels)))

    def answered(rows: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def losses(pixels: torch.Tensor) -> torch.Tensor:
            return cross_entropy(logits(pixels), wanted, reduction="none")

        changed = attacked(losses, rows.float() / _SHADES, attack)
        with torch.no_grad():
            clean = head.logits(found.forward(bound, task.pixels(rows)))
            after = logits(changed)
            right = correct(clean, wanted) & correct(after, wanted)
            return right, cross_entropy(after, wanted, reduction="none")

    return [
        partial(answered, images[start : start + _ROWS], labels[start : start + _ROWS])
        for start in range(0, len(images), _ROWS)
    ]


def _scored(part: Part, done: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> TaskScore:
    right = torch.cat([one for one, _ in done]).cpu().numpy()
    nats = torch.cat([one for _, one in done]).cpu().numpy()
    task, size = part.task, len(part.task.splits[part.split])
    return make_score(task.name, task.title, part.split, size, _places(part).numpy(), right, nats)


def _places(part: Part) -> torch.Tensor:
    return torch.tensor(part.task.splits[part.split].order[part.start : part.stop], dtype=torch.int64)
