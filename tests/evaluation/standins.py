"""Small stand-ins: a task folder as the zoo writes it, a tiny CLIP, a tiny perceptron."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from safetensors.torch import save_file

from merging_core.evaluation.heads import OwnHead, PrototypeHead
from merging_core.evaluation.tasks import Split, Task

SIZES = {"train": 40, "calibration": 33, "validation": 50, "test": 36}


def write_sheet(path: Path, images: numpy.ndarray) -> None:
    n, side = images.shape[:2]
    rows = (n + 31) // 32
    sheet = numpy.zeros((rows * side, 32 * side), numpy.uint8)
    for index, image in enumerate(images):
        y, x = divmod(index, 32)
        sheet[y * side : (y + 1) * side, x * side : (x + 1) * side] = image
    Image.fromarray(sheet).save(path)


def write_task(folder: Path, **changes: Any) -> dict[str, Any]:
    """Write a task of 5 classes with 8 × 8 images and a prototype head of width 6; return its task.json."""
    folder.mkdir(parents=True, exist_ok=True)
    random = numpy.random.default_rng(3)
    splits: dict[str, Any] = {}
    for split, n in SIZES.items():
        write_sheet(folder / f"{split}.png", random.integers(0, 256, (n, 8, 8), dtype=numpy.uint8))
        splits[split] = {"file": f"{split}.png", "n": n}
        if split != "calibration":
            splits[split]["labels"] = [index % 5 for index in range(n)]
    prototypes = torch.nn.functional.normalize(torch.randn(5, 6, generator=torch.Generator().manual_seed(1)), dim=1)
    save_file({"prototypes": prototypes}, folder / "head.safetensors")
    info = {
        "name": "small/five", "title": "Five", "description": "Noise in five classes.", "classes": list("abcde"),
        "metric": "accuracy", "image_size": 8, "channels": 1, "mean": 0.5, "std": 0.25,
        "head": {"kind": "prototype", "file": "head.safetensors", "scale": 20.0}, "splits": splits,
        "licence": "CC0-1.0", "source": "generated",
    }  # fmt: skip
    info.update(changes)
    (folder / "task.json").write_text(json.dumps(info), encoding="utf-8")
    return info


CLIP_CONFIG: dict[str, Any] = {
    "model_type": "clip_vision_model", "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 3,
    "num_attention_heads": 3, "num_channels": 1, "image_size": 8, "patch_size": 4, "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}  # fmt: skip
MLP_CONFIG: dict[str, Any] = {
    "model_type": "basin_mlp", "architectures": ["BasinMLP"], "input_size": 64, "hidden_sizes": [7], "num_labels": 3,
    "activation": "relu",
}  # fmt: skip


def random_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.4 for name, shape in shapes.items()}


def mlp_weights(seed: int) -> dict[str, torch.Tensor]:
    shapes = {"layers.0.weight": (7, 64), "layers.0.bias": (7,), "layers.1.weight": (3, 7), "layers.1.bias": (3,)}
    return random_weights(dict(shapes), seed)


def make_task(name: str, sizes: dict[str, int], classes: int = 3, width: int | None = None, seed: int = 0) -> Task:
    generator = torch.Generator().manual_seed(seed)
    splits = {}
    for split, n in sizes.items():
        images = torch.randint(0, 256, (n, 1, 8, 8), generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, classes, (n,), generator=generator)
        splits[split] = Split(images, None if split == "calibration" else labels, f"{name} {split}")
    head: OwnHead | PrototypeHead = OwnHead()
    if width is not None:
        prototypes = torch.nn.functional.normalize(torch.randn(classes, width, generator=generator), dim=1)
        head = PrototypeHead(prototypes, 10.0)
    return Task(name, name.title(), "", tuple("abcdefghij"[:classes]), 8, 1, 0.4, 0.3, head, splits, "CC0-1.0", "noise")
