"""Write and read checkpoints of the zoo, and digest them by content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModel

from assets.build.settings import Settings

DTYPES = {torch.float32: "F32"}
"""The only dtype that the zoo stores, in the spelling of safetensors."""


def content_digest(path: Path) -> tuple[str, int]:
    """Return the content digest of a safetensors file and its number of parameters.

    The digest is the sha256, over leaves sorted by name, of the line `name, dtype, shape` and of the sha256 of the
    leaf's little-endian bytes; it does not depend on how the file is laid out.
    """
    digest = hashlib.sha256()
    parameters = 0
    with safe_open(path, framework="pt") as file:
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name).contiguous()
            line = f"{name}\n{DTYPES[tensor.dtype]}\n{json.dumps(list(tensor.shape))}\n"
            digest.update(line.encode())
            digest.update(hashlib.sha256(tensor.numpy().astype("<f4", copy=False).tobytes()).digest())
            parameters += tensor.numel()
    return digest.hexdigest(), parameters


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_vision(model: CLIPVisionModel, folder: Path) -> None:
    """Write a model in the transformers format: config.json and model.safetensors."""
    model.save_pretrained(folder)


def read_vision(folder: Path) -> CLIPVisionModel:
    """Read a model that `write_vision` wrote."""
    return CLIPVisionModel.from_pretrained(folder).eval()


def write_mlp(leaves: dict[str, torch.Tensor], settings: Settings, folder: Path) -> None:
    """Write an MLP of the basins family with its config."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "basin_mlp", "architectures": ["BasinMLP"], "input_size": 64,
              "hidden_sizes": list(settings.basin_hidden), "num_labels": 10, "activation": "relu"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(leaves, folder / "model.safetensors", metadata={"format": "pt"})


def read_mlp(folder: Path) -> dict[str, torch.Tensor]:
    """Read the leaves of an MLP."""
    return load_file(folder / "model.safetensors")


def write_head(folder: Path, prototypes: torch.Tensor) -> None:
    """Write the prototypes of a task."""
    save_file({"prototypes": prototypes.contiguous()}, folder / "head.safetensors", metadata={"format": "pt"})


def read_head(folder: Path) -> torch.Tensor:
    """Read the prototypes of a task, `[classes, width]`."""
    return load_file(folder / "head.safetensors")["prototypes"]


def write_json(path: Path, value: object, indent: int | None = 2) -> None:
    """Write a JSON file with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")
