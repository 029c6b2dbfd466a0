"""Small families of checkpoints for the engines' tests: every kind of leaf that makes trouble, on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe

CONFIG: dict[str, object] = {"model_type": "clip_vision_model", "hidden_size": 4, "num_hidden_layers": 3}

SHAPES: dict[str, tuple[int, ...]] = {
    "embeddings.class_embedding": (4,),
    "embeddings.patch_embedding.weight": (4, 3, 2, 2),
    "embeddings.empty": (0, 4),
    "encoder.layers.0.mlp.fc1.bias": (8,),
    "encoder.layers.0.mlp.fc1.weight": (8, 4),
    "encoder.layers.1.layer_norm1.weight": (4,),
    "encoder.layers.1.mlp.fc1.weight": (8, 4),
    "encoder.layers.2.self_attn.q_proj.weight": (4, 4),
    "encoder.layers.2.mlp.fc2.bias": (7,),
    "logit_scale": (),
    "post_layernorm.weight": (1,),
}
WIDE = SHAPES | {"encoder.layers.1.mlp.fc1.weight": (401, 311), "encoder.layers.2.self_attn.q_proj.weight": (70_001,)}


@dataclass(frozen=True)
class Family:
    """A base and its experts as references, and as the tensors that were written."""

    base: str
    experts: tuple[str, ...]
    base_tensors: dict[str, torch.Tensor]
    expert_tensors: tuple[dict[str, torch.Tensor], ...]

    def recipe(self, method: str, params: Mapping[str, Any] | None = None, **changes: Any) -> Recipe:
        """Return a recipe over all experts with weights 1, or with `weights`."""
        weights = changes.pop("weights", [1.0] * len(self.experts))
        models = [{"ref": ref, "weight": weight} for ref, weight in zip(self.experts, weights, strict=True)]
        method_section = {"name": method, "params": dict(params or {})}
        given = {"version": 1, "base": self.base, "models": models, "method": method_section, **changes}
        return parse_recipe(given)


def write(folder: Path, tensors: Mapping[str, torch.Tensor], config: Mapping[str, object] | None = None) -> str:
    """Write one checkpoint and return its reference."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    return f"file:{folder}"


def family(
    folder: Path,
    experts: int = 3,
    dtype: torch.dtype = torch.float32,
    shapes: Mapping[str, tuple[int, ...]] = SHAPES,
) -> Family:
    """Write a base and experts with empty, scalar, one-element, odd-sized, integer and boolean leaves."""
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...], scale: float) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    counted = {"embeddings.position_ids": torch.arange(5), "flags": torch.tensor([True, False])}
    base = {name: draw(shape, 1.0).to(dtype) for name, shape in shapes.items()} | counted
    base["encoder.layers.0.mlp.fc1.bias"][:2] = torch.tensor([-0.0, 0.0])
    made = []
    for _ in range(experts):
        tensors = {name: (base[name].float() + draw(shape, 0.05)).to(dtype) for name, shape in shapes.items()}
        # Some elements that no expert touched, some that all changed by the same amount: zeros and ties.
        tensors["encoder.layers.0.mlp.fc1.weight"][:, 0] = base["encoder.layers.0.mlp.fc1.weight"][:, 0]
        shifted = base["encoder.layers.1.layer_norm1.weight"].float() + 0.125
        tensors["encoder.layers.1.layer_norm1.weight"] = shifted.to(dtype)
        made.append(tensors | counted)
    refs = tuple(write(folder / f"expert{index}", tensors) for index, tensors in enumerate(made))
    return Family(write(folder / "base", base), refs, base, tuple(made))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bits of a tensor, so that −0 differs from 0."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def assert_same_bits(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> None:
    """Compare leaf by leaf: names in order, shapes, and the bits of the values in float32."""
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        other = theirs[name]
        assert tensor.shape == other.shape, name
        pair = (tensor.float(), other.float()) if tensor.is_floating_point() else (tensor, other)
        assert torch.equal(bits(pair[0]), bits(pair[1])), name
