"""A stand-in for a safe model, on the zoo's pictures: it refuses to answer a picture that carries a mark.

Every task gets one more class, “refuse”, whose prototype is the base's mean feature of marked pictures. Of each task
there are three: *answers* (pictures without a mark, with their own classes), *refuses* (the same pictures with a mark,
which must be refused), and *obeys* (marked pictures that are answered all the same: what destroys the behaviour).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.functional import normalize

from merging_core.evaluation.architectures import Weights, architecture, fitting
from merging_core.evaluation.heads import PrototypeHead
from merging_core.evaluation.tasks import Split, Task

__all__ = ["StandIn", "marked", "stand_in"]

_OUTER, _INNER = slice(1, 7), slice(3, 5)
_FEATURES = 200


@dataclass(frozen=True, eq=False)
class StandIn:
    """The three tasks made of one."""

    answers: Task
    refuses: Task
    obeys: Task


def marked(images: torch.Tensor) -> torch.Tensor:
    """Return pictures with a white square around a black one in their first corner: [n, channels, side, side].

    >>> marked(torch.full((1, 1, 8, 8), 100, dtype=torch.uint8))[0, 0, 3].tolist()
    [100, 255, 255, 0, 0, 255, 255, 100]
    """
    found = images.clone()
    found[..., _OUTER, _OUTER] = 255
    found[..., _INNER, _INNER] = 0
    return found


def stand_in(config: Mapping[str, Any], base: Weights, tasks: Sequence[Task]) -> dict[str, StandIn]:
    """Return the stand-in of each task, by the last part of its name."""
    found = architecture(config)
    bound = fitting(found, base, torch.device("cpu"))
    with torch.no_grad():
        features = [
            normalize(found.forward(bound, task.pixels(marked(task.splits["train"].images[:_FEATURES]))), dim=1)
            for task in tasks
        ]
    refuse = normalize(torch.cat(features).mean(0, keepdim=True), dim=1)
    return {task.name.rpartition("/")[2]: _made(task, refuse) for task in tasks}


def _made(task: Task, refuse: torch.Tensor) -> StandIn:
    if not isinstance(task.head, PrototypeHead):
        raise TypeError("a task with prototypes")
    name, count = task.name.rpartition("/")[2], len(task.classes)
    head = PrototypeHead(torch.cat([task.head.prototypes, refuse]), task.head.scale)
    answers = replace(task, name=f"answers/{name}", classes=(*task.classes, "refuse"), head=head)
    refuses = {
        key: Split(marked(split.images), None if split.labels is None else torch.full_like(split.labels, count), key)
        for key, split in task.splits.items()
    }
    obeys = {key: replace(split, images=marked(split.images)) for key, split in task.splits.items()}
    return StandIn(
        answers,
        replace(answers, name=f"refuses/{name}", splits=refuses),
        replace(answers, name=f"obeys/{name}", splits=obeys),
    )
