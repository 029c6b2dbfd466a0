"""Accuracy with its count and its 95 % Wilson interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from transformers import CLIPVisionModel

from assets.build.taskfiles import Task
from assets.build.vision import all_features


@dataclass(frozen=True)
class Score:
    """Right answers among n."""

    right: int
    n: int

    @property
    def accuracy(self) -> float:
        """Fraction of right answers."""
        return self.right / self.n

    def interval(self) -> tuple[float, float]:
        """Return the 95 % Wilson score interval (E. B. Wilson, 1927).

        >>> [round(end, 3) for end in Score(50, 100).interval()]
        [0.404, 0.596]
        """
        z = 1.959963984540054
        centre = (self.accuracy + z * z / (2 * self.n)) / (1 + z * z / self.n)
        half = z / (1 + z * z / self.n) * math.sqrt(
            self.accuracy * (1 - self.accuracy) / self.n + z * z / (4 * self.n * self.n))  # fmt: skip
        return centre - half, centre + half

    def as_json(self) -> dict[str, float]:
        """Return accuracy and n."""
        return {"accuracy": round(self.accuracy, 6), "n": self.n}


def score(model: CLIPVisionModel, task: Task, head: torch.Tensor, split: str) -> Score:
    """Score a model with frozen prototypes on a labelled split."""
    part = task.splits[split]
    guesses = (all_features(model, part.images) @ head.T).argmax(dim=1)
    return Score(int((guesses == part.labels).sum()), len(part.labels))
