"""What turns a model's output into logits over the classes of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch.nn.functional import linear, normalize

__all__ = ["Head", "OwnHead", "PrototypeHead"]


@dataclass(frozen=True, eq=False)
class PrototypeHead:
    """A frozen head of class prototypes, as CLIP's zero-shot heads are frozen.

    logits = scale · normalise(features) · prototypesᵀ, with unit prototypes `[classes, width]`. `projection`: a frozen
    matrix `[width, features]` that the features of a tower without a projection of its own pass through first.

    Source: Radford et al. 2021, arXiv:2103.00020, section 3.1.2; prototypes are text embeddings (`zero_shot`) or means
    of training features (the zoo; Snell et al. 2017, arXiv:1703.05175, equation 1).

    >>> head = PrototypeHead(torch.eye(2), 10.0)
    >>> head.logits(torch.tensor([[3.0, 4.0]])).tolist()
    [[6.0, 8.0]]
    """

    prototypes: torch.Tensor
    scale: float
    projection: torch.Tensor | None = None

    @property
    def width(self) -> int | None:
        """The width of the features it takes."""
        return self.width_for(projected=False)

    def width_for(self, projected: bool) -> int | None:
        """Return the width of the features it takes from a model that does (or does not) project them itself."""
        return self.prototypes.shape[1] if self.projection is None or projected else self.projection.shape[1]

    def meeting(self, projected: bool) -> PrototypeHead:
        """Return the head for such a model: without its projection where the model has one."""
        return replace(self, projection=None) if projected and self.projection is not None else self

    def logits(self, output: torch.Tensor) -> torch.Tensor:
        """Return logits `[n, classes]` of features `[n, width]`."""
        features = output if self.projection is None else linear(output, self.projection)
        return self.scale * (normalize(features, dim=-1) @ self.prototypes.T)

    def to(self, device: torch.device) -> PrototypeHead:
        """Return the same head with its tensors on `device`."""
        projection = None if self.projection is None else self.projection.to(device)
        return PrototypeHead(self.prototypes.to(device), self.scale, projection)


@dataclass(frozen=True)
class OwnHead:
    """The model's output is the logits already.

    `leaves`: those of an expert's own head, by their names in its file; they take the place of the evaluated model's,
    so that a head is never merged. Empty where the evaluated model has the head.
    """

    leaves: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def width(self) -> int | None:
        """None: it takes whatever the model gives, one number a class."""
        return None

    def width_for(self, projected: bool) -> int | None:
        """Return None, as `width` is."""
        return None

    def meeting(self, projected: bool) -> OwnHead:
        """Return itself."""
        return self

    def logits(self, output: torch.Tensor) -> torch.Tensor:
        """Return `output` as it is, `[n, classes]`."""
        return output

    def to(self, device: torch.device) -> OwnHead:
        """Return itself; its leaves are moved with the model's."""
        return self


Head = PrototypeHead | OwnHead
