"""Looks: how masks are turned, lit and dirtied into 32 × 32 images, in torch with one generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import affine_grid, grid_sample

from assets.build.randomness import uniform


@dataclass(frozen=True)
class Look:
    """Ranges of a random appearance; all values are drawn uniformly and per image."""

    rotation: float = 15.0
    """Largest turn either way, in degrees."""
    scale: tuple[float, float] = (0.85, 1.15)
    shear: float = 0.15
    shift: float = 0.12
    """Largest shift as a fraction of half the image."""
    contrast: tuple[float, float] = (0.5, 1.0)
    background: tuple[float, float] = (0.0, 0.2)
    slope: float = 0.1
    """Largest brightness step from one border to the other."""
    noise: tuple[float, float] = (0.0, 0.05)
    """Standard deviation of the pixel noise, of a range of 1."""
    strokes: int = 0
    """Number of distracting line segments, each present with probability a half."""
    blur: float = 0.0
    """Largest weight of a 3 × 3 box blur."""


def warp(masks: torch.Tensor, look: Look, generator: torch.Generator, side: int = 32) -> torch.Tensor:
    """Turn, scale, shear and shift masks `[n, h, w]` (0 to 1) into images `[n, side, side]`."""
    n = len(masks)
    turn = uniform(generator, -look.rotation, look.rotation, n) * math.pi / 180
    size = 1 / uniform(generator, *look.scale, n)
    shear = uniform(generator, -look.shear, look.shear, n)
    shift = uniform(generator, -look.shift, look.shift, n, 2)
    cos, sin = torch.cos(turn) * size, torch.sin(turn) * size
    rows = torch.stack([cos, -sin + shear * cos, shift[:, 0], sin, cos + shear * sin, shift[:, 1]], dim=1)
    grid = affine_grid(rows.view(n, 2, 3), [n, 1, side, side], align_corners=False)
    return grid_sample(masks.unsqueeze(1), grid, align_corners=False).squeeze(1)


def strokes(n: int, count: int, generator: torch.Generator, side: int = 32) -> torch.Tensor:
    """Draw up to `count` random line segments on each of `n` images `[n, side, side]`, brightness 0 to 1."""
    start = uniform(generator, -1.0, 1.0, n, count, 2)
    angle = uniform(generator, 0.0, 2 * math.pi, n, count)
    length = uniform(generator, 0.4, 1.2, n, count)
    width = uniform(generator, 0.03, 0.07, n, count)
    bright = uniform(generator, 0.4, 1.0, n, count) * (torch.rand((n, count), generator=generator) < 0.5)
    along = torch.stack([torch.cos(angle), torch.sin(angle)], dim=-1)
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    offset = points.view(1, 1, side, side, 2) - start.view(n, count, 1, 1, 2)
    place = (offset * along.view(n, count, 1, 1, 2)).sum(-1)
    place = torch.minimum(place.clamp(min=0.0), length.view(n, count, 1, 1))
    distance = (offset - place.unsqueeze(-1) * along.view(n, count, 1, 1, 2)).norm(dim=-1)
    ink = ((width.view(n, count, 1, 1) - distance) * side / 2 + 0.5).clamp(0, 1)
    return (ink * bright.view(n, count, 1, 1)).amax(dim=1)


def light(images: torch.Tensor, look: Look, generator: torch.Generator) -> torch.Tensor:
    """Give images `[n, s, s]` a background, contrast, strokes, blur and noise; the result is clamped to [0, 1]."""
    n, side = len(images), images.shape[-1]
    back = uniform(generator, *look.background, n, 1, 1)
    gain = uniform(generator, *look.contrast, n, 1, 1)
    tilt = uniform(generator, -look.slope, look.slope, n, 2)
    axis = torch.linspace(-1, 1, side)
    back = back + tilt[:, :1, None] * axis.view(1, 1, side) + tilt[:, 1:, None] * axis.view(1, side, 1)
    if look.strokes:
        images = torch.maximum(images, strokes(n, look.strokes, generator, side))
    result = back + gain * images
    if look.blur:
        weight = uniform(generator, 0.0, look.blur, n, 1, 1)
        result = torch.lerp(result, torch.nn.functional.avg_pool2d(result.unsqueeze(1), 3, 1, 1).squeeze(1), weight)
    sigma = uniform(generator, *look.noise, n, 1, 1)
    return (result + sigma * torch.randn(result.shape, generator=generator)).clamp(0, 1)


def render(masks: torch.Tensor, look: Look, generator: torch.Generator, side: int = 32) -> torch.Tensor:
    """Turn 8-bit masks `[n, h, w]` into images `[n, side, side]` in [0, 1] with a random look each."""
    return light(warp(masks.float() / 255, look, generator, side), look, generator)
