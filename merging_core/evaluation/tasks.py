"""Tasks as values: examples in disjoint splits, a head and a metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch

from merging_core.errors import EvaluationError, Problem, closest
from merging_core.evaluation.heads import Head
from merging_core.evaluation.subsets import stratified_order

__all__ = ["SPLITS", "Split", "SplitName", "Task"]

SplitName = Literal["train", "calibration", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


@dataclass(frozen=True, eq=False)
class Split:
    """Examples of one split.

    `images`: uint8 `[n, channels, side, side]`, n ≥ 1. `labels`: int64 `[n]`, or None for calibration, which has
    inputs only. `seed`: the text that fixes the preview subset.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    seed: str

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The stratified order in which examples are evaluated; the preview subset is its beginning."""
        if self.labels is None:
            return tuple(range(len(self)))
        return stratified_order([int(label) for label in self.labels], self.seed)


@dataclass(frozen=True, eq=False)
class Task:
    """Everything needed to score a model on one task. Compared by identity; its tensors are never written to."""

    name: str
    title: str
    description: str
    classes: tuple[str, ...]
    image_size: int
    channels: int
    mean: float
    std: float
    head: Head
    splits: Mapping[str, Split]
    licence: str
    source: str
    metric: Literal["accuracy"] = "accuracy"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, side, side) of one image."""
        return self.channels, self.image_size, self.image_size

    def labels(self, split: str) -> torch.Tensor:
        """Return the labels of a split, or raise EvaluationError saying why there are none."""
        if split not in self.splits:
            problem = Problem("the split is one of the task's", str(split), self.name, closest(split, self.splits))
            raise EvaluationError(problem)
        found = self.splits[split]
        if found.labels is None:
            must = "only a labelled split can be scored"
            fix = "choose train, validation or test"
            raise EvaluationError(Problem(must, f"{split}, which holds inputs only,", self.name, fix))
        return found.labels

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """Turn 8-bit images into model input: (pixel / 255 − mean) / std, float32."""
        return (images.float() / 255 - self.mean) / self.std
