"""Small models with random weights, their inputs and their symmetry."""

from __future__ import annotations

from typing import Any

import torch

from merging_core.alignment.symmetry import Symmetry
from merging_core.alignment.templates import by_name
from merging_core.evaluation.architectures import Architecture, architecture

__all__ = ["small"]

_CONFIGS: dict[str, dict[str, Any]] = {
    "mlp": {"model_type": "basin_mlp", "input_size": 4, "hidden_sizes": [8, 5], "num_labels": 3, "activation": "relu"},
    "vit": {"model_type": "vit", "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 2,
            "num_attention_heads": 3, "image_size": 8, "patch_size": 4, "num_channels": 1, "hidden_act": "gelu"},
}  # fmt: skip


def small(
    name: str, seed: int = 0, rows: int = 5
) -> tuple[Architecture, dict[str, torch.Tensor], torch.Tensor, Symmetry]:
    """Return an architecture, random weights of it, inputs, and what its template claims."""
    chance = torch.Generator().manual_seed(seed)
    found = architecture(_CONFIGS[name])
    inputs = torch.randn(rows, *((4,) if name == "mlp" else (1, 8, 8)), generator=chance)
    weights = {leaf: torch.randn(shape, generator=chance) * 0.4 for leaf, shape in found.leaves.items()}
    claimed = by_name(_CONFIGS[name], {leaf: tuple(value.shape) for leaf, value in weights.items()})
    return found, weights, inputs, claimed
