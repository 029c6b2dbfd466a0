"""What a model says about single images: classes and probabilities, without labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Weights, architecture, fitting
from merging_core.evaluation.tasks import Task

__all__ = ["UNANSWERED", "logits_of", "predicted", "probabilities"]

UNANSWERED = -1
"""The predicted class of a model whose logits are not finite: it answers nothing."""


def logits_of(config: Mapping[str, Any], weights: Weights, task: Task, images: torch.Tensor) -> torch.Tensor:
    """Return a model's logits `[n, classes]` under the task's head for images that belong to no split.

    `images`: uint8 `[n, channels, side, side]` of the task's shape, on any device; the answer is where the weights are.
    Computed in the caller's thread in one piece: for a handful of images. Raises EvaluationError if task, images and
    model do not fit.
    """
    found = architecture(config, task.asks, len(task.classes))
    problems = []
    if tuple(images.shape[1:]) != task.input_shape or images.dtype != torch.uint8:
        got = f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
        problems.append(
            Problem(f"images are uint8 of shape [n, {', '.join(map(str, task.input_shape))}]", got, "images")
        )
    problems += task.misfits(found)
    if problems:
        raise EvaluationError(*problems)
    device = next(iter(weights.values())).device
    with torch.inference_mode():
        output = found.forward(fitting(found, weights, device), task.pixels(images.to(device)))
        return task.head.meeting(found.projected).to(device).logits(output)


def predicted(logits: torch.Tensor) -> NDArray[numpy.int64]:
    """Return the class with the largest logit of each example, int64 `[n]`; the first of equal ones.

    −1 (`UNANSWERED`) where a logit is not finite, so that `predicted == labels` is what `metrics.correct` says.

    >>> predicted(torch.tensor([[2.0, 1.0], [1.0, 1.0], [0.0, float("nan")]])).tolist()
    [0, 0, -1]
    """
    finite = torch.isfinite(logits).all(dim=-1)
    classes = torch.where(finite, logits.argmax(dim=-1), UNANSWERED)
    return classes.to("cpu", torch.int64).numpy()


def probabilities(logits: torch.Tensor) -> NDArray[numpy.float64]:
    """Return softmax(logits), float64 `[n, classes]`, rows summing to 1; NaN where a logit is not finite.

    >>> probabilities(torch.tensor([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    finite = torch.isfinite(logits).all(dim=-1, keepdim=True)
    shares = logits.to("cpu", torch.float64).softmax(dim=-1)
    return torch.where(finite.to("cpu"), shares, float("nan")).numpy()
