"""Tasks as values: examples in disjoint splits, a head and a metric.

`Task` is image classification; `text_tasks` and `language_model` have the kinds that read text. What all have in
common, and all that the evaluator asks of one, is `AnyTask`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, get_args

import torch

from merging_core.errors import EvaluationError, Problem, closest
from merging_core.evaluation.architectures import Architecture, Asked
from merging_core.evaluation.heads import Head, OwnHead
from merging_core.evaluation.subsets import PREVIEW, stratified_order

__all__ = [
    "SPLITS",
    "AnyTask",
    "Examples",
    "Metric",
    "Split",
    "SplitName",
    "Stratified",
    "Task",
    "head_misfits",
    "known_split",
]

Metric = Literal["accuracy", "perplexity"]
SplitName = Literal["train", "calibration", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


class Examples(Protocol):
    """A split, as far as the evaluator cares: `len` counts what a score is over (images, texts, tokens)."""

    @property
    def labels(self) -> torch.Tensor | None: ...

    @property
    def order(self) -> Sequence[int]:
        """The order in which examples are evaluated."""

    @property
    def preview(self) -> int:
        """How many of them are looked at first."""

    def __len__(self) -> int: ...

    def rows(self, start: int, stop: int) -> slice:
        """The rows of input that answer for the examples `start` to `stop` of the order."""

    def first_of(self, start: int) -> int:
        """The first example that the row of example `start` answers for."""


class AnyTask(Protocol):
    """A task of any kind."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def head(self) -> Head: ...

    @property
    def splits(self) -> Mapping[str, Examples]: ...

    @property
    def metric(self) -> Metric: ...

    @property
    def asks(self) -> Asked:
        """What a model must be able to do."""

    def labels(self, split: str) -> torch.Tensor:
        """The labels of a split in the order of its examples, or EvaluationError saying why there are none."""

    def inputs(self, split: str) -> torch.Tensor:
        """The rows of input of a split, in the order of evaluation."""

    def prepared(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows of input as a model takes them."""

    def misfits(self, found: Architecture) -> list[Problem]:
        """Why a model cannot be asked."""


class Stratified(ABC):
    """The order of a split whose examples are one row of input each: by classes, as evenly as they allow."""

    labels: torch.Tensor | None
    seed: str

    @abstractmethod
    def __len__(self) -> int: ...

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The stratified order in which examples are evaluated; the preview subset is its beginning."""
        if self.labels is None:
            return tuple(range(len(self)))
        return stratified_order(self.labels.tolist(), self.seed)

    @property
    def preview(self) -> int:
        """The size of the preview subset."""
        return min(PREVIEW, len(self))

    def rows(self, start: int, stop: int) -> slice:
        """Return the same: an example is a row."""
        return slice(start, stop)

    def first_of(self, start: int) -> int:
        """Return the same."""
        return start


@dataclass(frozen=True, eq=False)
class Split(Stratified):
    """Images of one split.

    `images`: uint8 `[n, channels, side, side]`, n ≥ 1. `labels`: int64 `[n]`, or None for calibration, which has
    inputs only. `seed`: the text that fixes the preview subset.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    seed: str

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Task:
    """Image classification: everything needed to score a model. Compared by identity; its tensors are never written to.

    `mean`, `std`: one number, or one a channel.
    """

    name: str
    title: str
    description: str
    classes: tuple[str, ...]
    image_size: int
    channels: int
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    head: Head
    splits: Mapping[str, Split]
    licence: str
    source: str
    metric: Metric = "accuracy"
    rescale: float = 1 / 255

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, side, side) of one image."""
        return self.channels, self.image_size, self.image_size

    @property
    def asks(self) -> Asked:
        """Features for a head of its own, or the model's own classes."""
        return "picture classes" if isinstance(self.head, OwnHead) else "pictures"

    def labels(self, split: str) -> torch.Tensor:
        """Return the labels of a split, or raise EvaluationError saying why there are none."""
        found = self.splits[known_split(self, split)]
        if found.labels is None:
            must = "only a labelled split can be scored"
            fix = "choose train, validation or test"
            raise EvaluationError(Problem(must, f"{split}, which holds inputs only,", self.name, fix))
        return found.labels

    def inputs(self, split: str) -> torch.Tensor:
        """Return the 8-bit images of a split in its order."""
        found = self.splits[split]
        return found.images[torch.tensor(found.order, dtype=torch.int64)]

    def prepared(self, rows: torch.Tensor) -> torch.Tensor:
        """Return `pixels` of the rows."""
        return self.pixels(rows)

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """Turn 8-bit images into model input: (pixel · rescale − mean) / std, float32; rescale is 1/255 as a rule."""
        scaled = images.float() / 255 if self.rescale == 1 / 255 else images.float() * self.rescale
        if isinstance(self.mean, float | int) and isinstance(self.std, float | int):
            return (scaled - self.mean) / self.std
        mean, std = (torch.tensor(value, device=images.device).reshape(-1, 1, 1) for value in (self.mean, self.std))
        return (scaled - mean) / std

    def misfits(self, found: Architecture) -> list[Problem]:
        """Say why a model cannot be asked: it reads other images, or its output is not what the head takes."""
        problems = []
        if found.reads != "images" or self.input_shape != found.input_shape:
            reads = f"images of shape {list(found.input_shape)}" if found.reads == "images" else "text"
            problems.append(Problem(f"{found.name} reads {reads}", str(list(self.input_shape)), self.name))
        return problems + head_misfits(self, found)


def head_misfits(task: AnyTask, found: Architecture) -> list[Problem]:
    """Say why the output of a model is not what the head of a task takes."""
    head_width = task.head.width_for(found.projected)
    wanted = "logits" if head_width is None else "features"
    width = len(task.classes) if head_width is None else head_width
    if wanted != found.gives:
        return [Problem(f"{found.name} gives {found.gives}", f"a task whose head takes {wanted}", task.name)]
    if width != found.width:
        return [Problem(f"{found.name} gives {found.width} {wanted}", f"a head for {width}", task.name)]
    return []


def known_split(task: AnyTask, split: str) -> str:
    """Return the name of a split that the task has, or raise EvaluationError with the closest."""
    if split not in task.splits:
        must = "the split is one of the task's"
        raise EvaluationError(Problem(must, str(split), task.name, closest(split, task.splits)))
    return split
