"""A Hub that runs, small checkpoints on it, and visitors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from merging_core.hub.client import Hub
from tests.hub.server import FakeHub

CONFIG = {"model_type": "basin_mlp", "input_size": 4, "hidden_sizes": [3], "num_labels": 2, "activation": "relu"}
Visit = Callable[..., Hub]


def weights(shift: float = 0.0) -> dict[str, torch.Tensor]:
    """Weights of the network that CONFIG describes."""
    generator = torch.Generator().manual_seed(7)
    shapes = {"layers.0.bias": (3,), "layers.0.weight": (3, 4), "layers.1.bias": (2,), "layers.1.weight": (2, 3)}
    return {name: torch.randn(shape, generator=generator) + shift for name, shape in shapes.items()}


def files(shift: float = 0.0, **more: bytes) -> dict[str, bytes]:
    """The files of a checkpoint."""
    return {
        "model.safetensors": save(weights(shift), metadata={"format": "pt"}),
        "config.json": json.dumps(CONFIG).encode(),
        "README.md": b"---\nlicense: mit\n---\n# A model\n",
        **more,
    }


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub make requests, which other tests forbid."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    """A Hub with three models that everybody may read."""
    with FakeHub() as hub:
        hub.add("ada/base", files(), downloads=90)
        tags = ["base_model:ada/base", "base_model:finetune:ada/base"]
        hub.add("ada/digits", files(0.5), tags=tags, downloads=20)
        hub.add("ada/letters", files(-0.25), tags=tags, downloads=30)
        yield hub


@pytest.fixture
def visit(fake: FakeHub, tmp_path: Path) -> Visit:
    """Make the Hub as a visitor with this token sees it; visitors share the cache."""
    first = Hub(fake.endpoint, None, tmp_path / "cache", deadline=20)

    def call(token: str | None = None, **changes: object) -> Hub:
        from dataclasses import replace

        return replace(first, token=token, **changes)  # type: ignore[arg-type]

    return call
