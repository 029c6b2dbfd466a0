"""What turns a model's output into logits over the classes of a task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

__all__ = ["Head", "OwnHead", "PrototypeHead"]


@dataclass(frozen=True, eq=False)
class PrototypeHead:
    """A frozen head of class prototypes, as CLIP's zero-shot heads are frozen.

    logits = scale · normalise(features) · prototypesᵀ, with unit prototypes `[classes, width]`.

    Source: Radford et al. 2021, arXiv:2103.00020, section 3.1.2; prototypes here are means of training features where
    CLIP takes text embeddings (Snell et al. 2017, arXiv:1703.05175, equation 1).

    >>> head = PrototypeHead(torch.eye(2), 10.0)
    >>> head.logits(torch.tensor([[3.0, 4.0]])).tolist()
    [[6.0, 8.0]]
    """

    prototypes: torch.Tensor
    scale: float

    @property
    def width(self) -> int | None:
        """The width of the features it takes."""
        return self.prototypes.shape[1]

    def logits(self, output: torch.Tensor) -> torch.Tensor:
        """Return logits `[n, classes]` of features `[n, width]`."""
        return self.scale * (normalize(output, dim=-1) @ self.prototypes.T)

    def to(self, device: torch.device) -> PrototypeHead:
        """Return the same head with its prototypes on `device`."""
        return PrototypeHead(self.prototypes.to(device), self.scale)


@dataclass(frozen=True)
class OwnHead:
    """The model's output is the logits already."""

    @property
    def width(self) -> int | None:
        """None: it takes whatever the model gives, one number a class."""
        return None

    def logits(self, output: torch.Tensor) -> torch.Tensor:
        """Return `output` as it is, `[n, classes]`."""
        return output

    def to(self, device: torch.device) -> OwnHead:
        """Return itself; it holds no tensor."""
        return self


Head = PrototypeHead | OwnHead
