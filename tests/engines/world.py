"""Small families of checkpoints for the engines' tests: every kind of leaf that makes trouble, on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

CONFIG = {
    "architectures": ["CLIPVisionModel"],
    "model_type": "clip_vision_model",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
    "num_channels": 3,
    "projection_dim": 8,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
}

SHAPES: dict[str, tuple[int, ...]] = {
    "embeddings.class_embedding": (8,),
    "embeddings.patch_embedding.weight": (8, 3, 4, 4),
    "encoder.layers.0.mlp.fc1.bias": (16,),
    "encoder.layers.0.mlp.fc1.weight": (16, 8),
    "encoder.layers.1.layer_norm1.weight": (8,),
    "encoder.layers.1.mlp.fc1.weight": (16, 8),
    "encoder.layers.2.self_attn.q_proj.weight": (8, 8),
    "encoder.layers.2.mlp.fc2.bias": (7,),
    "logit_scale": (),
    "post_layernorm.weight": (1,),
}


@dataclass(frozen=True)
class Family:
    """A base and its experts as folders, and as the tensors that were written."""

    base: str
    experts: tuple[str, ...]
    base_tensors: dict[str, torch.Tensor]
    expert_tensors: tuple[dict[str, torch.Tensor], ...]

    def ref(self, index: int) -> str:
        return self.experts[index]


def write(folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, object] | None = None) -> str:
    """Write one checkpoint and return its reference."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    return f"file:{folder}"


def family(folder: Path, experts: int = 3, dtype: torch.dtype = torch.float32, seed: int = 0) -> Family:
    """Write a base and experts with scalar, one-element, odd-sized, integer and boolean leaves."""
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...], scale: float) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    counted = {"embeddings.position_ids": torch.arange(5), "flags": torch.tensor([True, False])}
    base = {name: draw(shape, 1.0).to(dtype) for name, shape in SHAPES.items()} | counted
    base["encoder.layers.0.mlp.fc1.bias"][:2] = torch.tensor([-0.0, 0.0])
    made = []
    for _ in range(experts):
        tensors = {name: (base[name].float() + draw(shape, 0.05)).to(dtype) for name, shape in SHAPES.items()}
        # Some elements an expert never touched, some that all experts changed by the same amount: ties and zeros.
        tensors["encoder.layers.0.mlp.fc1.weight"][:, 0] = base["encoder.layers.0.mlp.fc1.weight"][:, 0]
        tensors["encoder.layers.1.layer_norm1.weight"] = (base["encoder.layers.1.layer_norm1.weight"] + 0.125).to(dtype)
        made.append(tensors | counted)
    refs = tuple(write(folder / f"expert{index}", tensors) for index, tensors in enumerate(made))
    return Family(write(folder / "base", base), refs, base, tuple(made))
