"""A perceptron, experts that were moved from it, and tasks of small pictures: seconds become milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.tasks import Split, Task
from merging_core.learning import Bench, LearnSpec, Session, State, parse_spec
from tests.engines.world import write

CONFIG = {"model_type": "basin_mlp", "input_size": 16, "hidden_sizes": [6], "num_labels": 3, "activation": "relu"}
SHAPES = {"layers.0.bias": (6,), "layers.0.weight": (6, 16), "layers.1.bias": (3,), "layers.1.weight": (3, 6)}
SIZES = {"train": 18, "calibration": 14, "validation": 15, "test": 12}


@dataclass(frozen=True)
class World:
    """Everything that a session stands on."""

    base: str
    experts: tuple[str, ...]
    tasks: tuple[Task, ...]
    catalog: Catalog
    store: LearnedTensors

    def spec(self, method: str = "adamerging", params: Mapping[str, Any] | None = None, **changes: Any) -> LearnSpec:
        """Return a specification over all experts and tasks, of few steps unless told otherwise."""
        given = {
            "version": 1,
            "method": {"name": method, "params": dict(params or {})},
            "base": self.base,
            "models": list(self.experts),
            "steps": 6,
            "batch": 4,
            "check": {"every": 2},
            "keep": "last",
        }
        return parse_spec({**given, **changes})

    def expert_spec(self, params: Mapping[str, Any] | None = None, **changes: Any) -> LearnSpec:
        """Return a specification that trains an expert on the first task, of few steps unless told otherwise."""
        given = {
            "version": 1,
            "method": {"name": "train_expert", "params": dict(params or {})},
            "base": self.base,
            "tasks": [self.tasks[0].name],
            "steps": 6,
            "batch": 4,
            "check": {"every": 2},
            "keep": "last",
        }
        return parse_spec({**given, **changes})

    def engine(self) -> LiveEngine:
        """Return an engine of its own on the CPU."""
        return LiveEngine(self.catalog, "cpu")

    def session(self, spec: LearnSpec, state: State | None = None) -> Session:
        """Return a session on an engine of its own."""
        return Session(spec, self.bench(), state)

    def bench(self, expert: Path | None = None) -> Bench:
        """Return a bench with an engine of its own."""
        tasks = self.tasks if expert is None else self.tasks[:1]
        return Bench(self.engine(), Evaluator("cpu", workers=1), tasks, self.store, expert)


def world(folder: Path, experts: int = 2) -> World:
    """Write a base and experts, and draw a task for each expert."""
    generator = torch.Generator().manual_seed(1)

    def draw(shape: tuple[int, ...], scale: float) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    base = {name: draw(shape, 0.5) for name, shape in SHAPES.items()}
    moved = [{name: leaf + draw(leaf.shape, 0.3) for name, leaf in base.items()} for _ in range(experts)]
    tasks = []
    for number in range(experts):
        splits = {}
        for name, size in SIZES.items():
            images = torch.randint(0, 256, (size, 1, 4, 4), generator=generator, dtype=torch.uint8)
            labels = None if name == "calibration" else torch.randint(0, 3, (size,), generator=generator)
            splits[name] = Split(images, labels, f"task {number} {name}")
        made = Task(
            name=f"small/task-{number}",
            title=f"Task {number}",
            description="Noise.",
            classes=("a", "b", "c"),
            image_size=4,
            channels=1,
            mean=0.5,
            std=0.5,
            head=OwnHead(),
            splits=splits,
            licence="Apache-2.0",
            source="drawn",
        )
        tasks.append(made)
    store = LearnedTensors((folder / "learned",))
    return World(
        write(folder / "base", base, CONFIG),
        tuple(write(folder / f"expert-{number}", leaves, CONFIG) for number, leaves in enumerate(moved)),
        tuple(tasks),
        Catalog(Zoo(folder, (), {}, {}, {}), allow_files=True, learned=store),
        store,
    )
