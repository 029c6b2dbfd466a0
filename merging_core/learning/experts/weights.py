"""What training moves, as values of a run: the weights of some leaves, and an average over their trajectory."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from merging_core.learning.contract import Draw, Ground, Shown, Values
from merging_core.learning.experts.averages import Average
from merging_core.learning.experts.moving import moving
from merging_core.learning.experts.trajectories import average_of

__all__ = ["MovedWeights"]


class MovedWeights:
    """θ: the base's leaves, of which some move. A method of its own overrides what it trains otherwise.

    Shapes: M is the number of scalars of the leaves that move; they lie in one flat vector, in the space's order.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.leaves = moving(ground.space, ground.params)
        self.sizes = [leaf.elements for leaf in self.leaves]
        self.start_weights = torch.cat([ground.base[leaf.start : leaf.stop] for leaf in self.leaves])
        self.average: Average = average_of(ground.params, ground.seed)

    def start(self) -> Values:
        """Return the base's weights of what moves, of each member of a population, and an average without any."""
        members = {name: self.start_weights.clone() for name in self.average.members}
        return {**members, **self.average.start(self.start_weights)}

    def merged(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return the weights that a step trains, or, settled, those that the expert would have."""
        return self.placed(self.expert(values) if draw.settled else self.average.trained(values, draw))

    def placed(self, moved: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return all leaves, those that move as views of [M]."""
        views = self.ground.space.views(self.ground.base)
        # Parts of one split give one gradient; slices would give a whole vector of zeros for each leaf.
        parts = moved.split_with_sizes(self.sizes)
        return {**views, **{leaf.name: part.view(leaf.shape) for leaf, part in zip(self.leaves, parts, strict=True)}}

    def expert(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return what moves as the expert would have it now, [M]."""
        return self.average.now(values)

    def plain(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return what moves as training alone has it, of the first member of a population, [M]."""
        return values[self.average.members[0]]

    def penalty(self, values: Mapping[str, torch.Tensor], draw: Draw) -> torch.Tensor | None:
        """Return what a step adds to the loss, differentiable in its values; nothing."""
        return None

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Do what follows a step of so many."""
        self.average.stepped_(values, step, steps)

    def tensors(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return nothing: no recipe holds an expert's weights."""
        return {}

    def shown(self, values: Mapping[str, torch.Tensor], draw: Draw) -> Shown:
        """Return nothing: no coefficients, and no mask."""
        return Shown()

    def restart(self, values: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
        """Return a value as it was at the start."""
        return self.start()[name]
