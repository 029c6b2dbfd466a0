"""Pictures that come from a person: gray values in the size of a task, checked, and light on dark as the task's own."""

from __future__ import annotations

import numpy
import torch
from numpy.typing import NDArray

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.tasks import Task

__all__ = ["LEAST_CONTRAST", "blank", "gray", "picture_for", "resized"]

LEAST_CONTRAST = 16
"""Between the lightest and the darkest of 256 gray values; a picture with less shows nothing."""

_LUMA = (0.299, 0.587, 0.114)


def gray(pixels: NDArray[numpy.uint8]) -> NDArray[numpy.uint8]:
    """Return the luma of colours, uint8 `[height, width]`: 0.299 R + 0.587 G + 0.114 B, rounded.

    `pixels`: uint8 `[height, width]` (gray already), `[…, 3]` or `[…, 4]`; what is transparent is seen over black.
    Raises EvaluationError for another shape. Source: ITU-R BT.601-7, section 2.5.1.

    >>> gray(numpy.array([[[255, 255, 255], [255, 0, 0]]], dtype=numpy.uint8)).tolist()
    [[255, 76]]
    """
    if pixels.dtype != numpy.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        must = "pixels are 8-bit, gray, with three colours, or with three colours and opacity"
        raise EvaluationError(Problem(must, f"{pixels.dtype} {list(pixels.shape)}", "picture"))
    if pixels.ndim == 2:
        return pixels
    light: NDArray[numpy.float64] = pixels[..., :3].astype(numpy.float64) @ numpy.array(_LUMA)
    if pixels.shape[2] == 4:
        light = light * pixels[..., 3] / 255
    return numpy.rint(light).astype(numpy.uint8)


def resized(light: NDArray[numpy.uint8], side: int) -> NDArray[numpy.uint8]:
    """Fit a gray picture into `side` × `side`, whole and centred on black: each value the mean of the area it covers.

    Raises EvaluationError for a picture without pixels.

    >>> resized(numpy.array([[0, 255], [255, 0]], dtype=numpy.uint8), 1).tolist()
    [[128]]
    >>> resized(numpy.full((1, 2), 200, dtype=numpy.uint8), 2).tolist()
    [[100, 100], [100, 100]]
    """
    if light.ndim != 2 or min(light.shape) < 1 or side < 1:
        raise EvaluationError(Problem("a picture has pixels", f"{list(light.shape)} for {side}", "picture"))
    scale = side / max(light.shape)
    down, across = (_areas(length, side, scale) for length in light.shape)
    return numpy.floor(down @ light.astype(numpy.float64) @ across.T + 0.5).astype(numpy.uint8)


def picture_for(task: Task, values: bytes) -> torch.Tensor:
    """Return gray values as an image of the task, uint8 `[1, 1, side, side]`; row by row, one byte a value.

    Raises EvaluationError unless there are side × side of them.
    """
    side = task.image_size
    if task.channels != 1 or len(values) != side * side:
        must = f"a picture for this task has {side} × {side} gray values"
        raise EvaluationError(Problem(must, str(len(values)), task.name))
    return torch.frombuffer(bytearray(values), dtype=torch.uint8).reshape(1, 1, side, side)


def blank(images: torch.Tensor) -> torch.Tensor:
    """Return which images show nothing: lightest − darkest < `LEAST_CONTRAST`; bool `[n]`.

    >>> blank(torch.tensor([[[[7, 7], [7, 9]]], [[[0, 0], [0, 255]]]], dtype=torch.uint8)).tolist()
    [True, False]
    """
    flat = images.flatten(1).to(torch.int16)
    return flat.amax(dim=1) - flat.amin(dim=1) < LEAST_CONTRAST


def _areas(length: int, side: int, scale: float) -> NDArray[numpy.float64]:
    """Return `[side, length]`: how much of each new pixel each old one covers along one axis, centred."""
    edges = numpy.arange(length + 1) * scale + (side - length * scale) / 2
    new = numpy.arange(side)
    covered = numpy.minimum(edges[1:], new[:, None] + 1) - numpy.maximum(edges[:-1], new[:, None])
    shares: NDArray[numpy.float64] = numpy.clip(covered, 0.0, None)
    return shares
