"""The vision transformer of the tiny family: building, features, prototypes."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import normalize
from transformers import CLIPVisionConfig, CLIPVisionModel

from assets.build.settings import Settings

MEAN = 0.5
STD = 0.5
"""Images in [0, 1] become (x − MEAN) / STD."""


def new_model(settings: Settings, generator: torch.Generator) -> CLIPVisionModel:
    """Return a CLIPVisionModel whose every parameter is drawn from `generator`."""
    config = CLIPVisionConfig(
        hidden_size=settings.width, intermediate_size=settings.mlp_width, projection_dim=settings.width,
        num_hidden_layers=settings.layers, num_attention_heads=settings.heads, num_channels=1,
        image_size=settings.image_size, patch_size=settings.patch_size, hidden_act="gelu",
    )  # fmt: skip
    with torch.random.fork_rng():
        model = CLIPVisionModel(config)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if name.endswith("bias"):
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                fan_in = math.prod(parameter.shape[1:]) if parameter.dim() > 1 else 1
                std = 0.02 if "embedding" in name and "patch" not in name else fan_in**-0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
    return model.eval()


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Turn 8-bit images `[n, s, s]` or floats in [0, 1] into model input `[n, 1, s, s]`."""
    values = images.float() / 255 if images.dtype == torch.uint8 else images
    return ((values - MEAN) / STD).unsqueeze(1)


def features(model: CLIPVisionModel, images: torch.Tensor) -> torch.Tensor:
    """Return unit features `[n, width]` of images."""
    return normalize(model(pixel_values=pixels(images)).pooler_output, dim=-1)


@torch.no_grad()
def all_features(model: CLIPVisionModel, images: torch.Tensor, batch: int = 100) -> torch.Tensor:
    """Return unit features of any number of images, in batches of 100 (cheaper per image than one large batch)."""
    return torch.cat([features(model, part) for part in images.split(batch)])


def prototypes(model: CLIPVisionModel, images: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return unit class prototypes `[classes, width]`: the normalised mean of unit features of each class."""
    unit = all_features(model, images)
    sums = torch.zeros(classes, unit.shape[1]).index_add_(0, labels, unit)
    return normalize(sums, dim=-1)
