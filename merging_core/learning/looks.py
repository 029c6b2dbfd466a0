"""Looks: pictures of a batch turned, moved, lit and dirtied anew, so that few examples teach more than themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import affine_grid, grid_sample

from merging_core.learning.relaxation import uniform

__all__ = ["Looks"]

_COLUMNS = 7
_NOISE = "noise"


@dataclass(frozen=True)
class Looks:
    """Ranges of a random appearance, drawn evenly for each picture of each batch; chance is a function of its names."""

    seed: int
    rotation: float = 15.0
    """Largest turn either way, in degrees."""
    scale: float = 0.1
    shift: float = 0.08
    """Largest shift as a fraction of half the picture."""
    shear: float = 0.1
    contrast: float = 0.2
    brightness: float = 0.1
    """Of the range of a pixel as the model takes it, about 2."""
    noise: float = 0.1

    def drawn(self, pictures: torch.Tensor, name: str, batch: int, first: int) -> torch.Tensor:
        """Return pictures of a batch of a task, from its example `first` on, in new looks: [n, c, h, w] → the same.

        What is outside a picture has the colour of its edge.

        >>> Looks(0).drawn(torch.zeros(2, 1, 4, 4), "digits", 0, 0).shape
        torch.Size([2, 1, 4, 4])
        """
        stop, size = first + len(pictures), pictures[0].numel()
        chance = uniform(self.seed, batch, f"looks {name}", stop * _COLUMNS, pictures.device)
        turn, scale, across, down, shear, contrast, light = (
            (2.0 * column - 1.0).to(pictures) for column in chance.view(stop, _COLUMNS)[first:].unbind(1)
        )
        angle, wide = turn * (self.rotation * math.pi / 180.0), 1.0 / (1.0 + self.scale * scale)
        cos, sin, lean = angle.cos() * wide, angle.sin() * wide, self.shear * shear
        rows = [cos, lean * cos - sin, self.shift * across, sin, cos + lean * sin, self.shift * down]
        grid = affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(pictures.shape), align_corners=False)
        seen = grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        spots = uniform(self.seed, batch, f"{_NOISE} {name}", stop * size, pictures.device).view(stop, size)[first:]
        noise = torch.special.ndtri(spots).to(pictures).view_as(pictures)
        gain, light = ((one.view(-1, 1, 1, 1)) for one in (1.0 + self.contrast * contrast, self.brightness * light))
        found: torch.Tensor = seen * gain + light + self.noise * noise
        return found
