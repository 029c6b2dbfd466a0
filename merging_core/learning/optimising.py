"""torch's optimisers, one for each update of each phase, with moments that can be put down and taken up again."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from merging_core.learning.contract import Optimiser, Update, Values
from merging_core.space.reductions import block_sum_of_squares

__all__ = ["Optimisers", "clipped"]


class Optimisers:
    """The optimisers of a run, made when they are first used. `moments` are those of an earlier part of the run."""

    def __init__(self, moments: Mapping[str, torch.Tensor]) -> None:
        self._earlier = dict(moments)
        self._made: dict[str, tuple[torch.optim.Optimizer, torch.Tensor]] = {}

    def step_(  # noqa: PLR0913
        self, key: str, update: Update, value: torch.Tensor, gradient: torch.Tensor, share: float, step: int
    ) -> None:
        """Move a value against its gradient, in place; `step` of the phase, of which a share is over.

        `key` names the optimiser: phase and update.
        """
        if key not in self._made or self._made[key][1] is not value:
            self._made[key] = (_made(update.optimiser, value), value)
            self._recall(key, value)
        optimiser = self._made[key][0]
        optimiser.param_groups[0]["lr"] = update.optimiser.rate_at(share, step)
        value.grad = clipped(gradient, update.optimiser.clip)
        optimiser.step()
        value.grad = None
        if update.clamp is not None:
            with torch.no_grad():
                value.clamp_(*update.clamp)

    def moments(self) -> Values:
        """Return the moments of all optimisers, by phase, update and name."""
        found = dict(self._earlier)
        for key, (optimiser, value) in self._made.items():
            for name, tensor in optimiser.state[value].items():
                if isinstance(tensor, torch.Tensor):
                    found[f"{key}/{name}"] = tensor
        return found

    def _recall(self, key: str, value: torch.Tensor) -> None:
        own = {name.rpartition("/")[2]: name for name in self._earlier if name.rpartition("/")[0] == key}
        for short, name in own.items():
            tensor = self._earlier.pop(name).clone()
            self._made[key][0].state[value][short] = tensor if short == "step" else tensor.to(value.device)


def clipped(gradient: torch.Tensor, longest: float | None) -> torch.Tensor:
    """Return a gradient, shortened to a length where it is longer.

    >>> clipped(torch.tensor([3.0, 4.0]), 1.0).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    if longest is None:
        return gradient
    length = block_sum_of_squares(gradient.reshape(-1)) ** 0.5
    return gradient if length <= longest else gradient * (longest / length)


def _made(how: Optimiser, value: torch.Tensor) -> torch.optim.Optimizer:
    if how.kind == "sgd":
        return torch.optim.SGD([value], lr=how.rate, momentum=how.momentum, weight_decay=how.decay, foreach=False)
    kind = torch.optim.Adam if how.kind == "adam" else torch.optim.AdamW
    return kind([value], lr=how.rate, betas=how.betas, weight_decay=how.decay, foreach=False)
