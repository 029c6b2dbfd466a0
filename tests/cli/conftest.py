"""Small checkpoints on disk, recipes over them, and a command line that is run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from merging_core.cli.main import main

CONFIG = {"model_type": "basin_mlp", "input_size": 4, "hidden_sizes": [3], "num_labels": 2, "activation": "relu"}
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Answer:
    """What one command said."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; NaN and infinities are refused, as strict readers do."""

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        return json.loads(self.out, parse_constant=refuse)


Run = Callable[..., Answer]
Write = Callable[[str, object], str]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def call(*arguments: str) -> Answer:
        status = main(arguments)
        said = capfd.readouterr()
        return Answer(status, said.out, said.err)

    return call


def tensors(shift: float) -> Tensors:
    """Weights of the network that CONFIG describes, moved by `shift`."""
    generator = torch.Generator().manual_seed(7)
    shapes = {"layers.0.bias": (3,), "layers.0.weight": (3, 4), "layers.1.bias": (2,), "layers.1.weight": (2, 3)}
    return {name: torch.randn(shape, generator=generator) + shift for name, shape in shapes.items()}


def save(folder: Path, weights: Tensors, config: Mapping[str, object] = CONFIG) -> Path:
    """Write a checkpoint."""
    folder.mkdir()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Trio:
    """A base and two experts."""

    base: Path
    a: Path
    b: Path

    def recipe(self, **changes: object) -> dict[str, object]:
        """A valid recipe over them, with changes."""
        return {
            "version": 1,
            "base": f"file:{self.base}",
            "models": [{"ref": f"file:{self.a}"}, {"ref": f"file:{self.b}"}],
            "method": {"name": "task_arithmetic"},
            **changes,
        }


@pytest.fixture
def trio(tmp_path: Path) -> Trio:
    """A family of three small networks on disk."""
    return Trio(*(save(tmp_path / name, tensors(shift)) for name, shift in (("base", 0.0), ("a", 0.1), ("b", -0.2))))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a recipe's file, text as it is and anything else as JSON, and return its path."""

    def call(name: str, content: object) -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return call
