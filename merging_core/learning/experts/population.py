"""A population of members that are trained side by side and drawn towards their mean: PAPA."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from merging_core.learning.contract import Optimiser, Values
from merging_core.learning.experts.averages import WEIGHTS, Average, counted, number
from merging_core.methods.info import Parameters

__all__ = ["PAPA_PARAMETERS", "Population"]

PAPA_PARAMETERS = (
    counted("papa", "members", "Members", 3, "How many are trained side by side; each step trains all.", 2, 16),
    counted("papa", "every", "Every", 10, "Steps between two pulls towards the mean."),
    number(
        "papa", "keep", "Kept", 0.99, "How much of a member is kept at a pull; 0 puts their mean in all (PAPA-all).",
        0.0, 1.0, slider=(0.9, 1.0),
    ),
)  # fmt: skip


class Population(Average):
    """Members from one base, each on batches of its own; the expert is their mean.

    Every so many steps w ← a·w + (1 − a)·w̄; 1 − a falls with the learning rate, but for a = 0.
    """

    def __init__(self, params: Parameters, seed: int) -> None:
        super().__init__(params, seed)
        self.members = tuple(f"{WEIGHTS}/{number}" for number in range(self.whole("members")))

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Draw the members towards their mean where it is time."""
        if step % self.whole("every"):
            return
        mean, keep = self.now(values), self.params.number("papa_keep")
        falling = Optimiser(rate=1.0, cosine=self.params["schedule"] == "cosine").rate_at(step / steps)
        pull = 1.0 if keep == 0.0 else (1.0 - keep) * falling
        for name in self.members:
            values[name].lerp_(mean, pull)

    def now(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean of the members."""
        total = values[self.members[0]].clone()
        for name in self.members[1:]:
            total += values[name]
        return total / len(self.members)
