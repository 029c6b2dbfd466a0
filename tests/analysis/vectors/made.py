"""Small models of known weights for the tests of task vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from merging_core.analysis.studies.contract import Finding, StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec, parse_study
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine
from merging_core.evaluation.evaluator import Evaluator

Tensors = dict[str, torch.Tensor]
CONFIG = {"model_type": "made_up", "hidden_size": 8}
SHAPES = {"embed.weight": (5, 3), "layers.0.w": (300, 250), "layers.1.b": (7,), "layers.1.scale": (1,), "norm": (4,)}


def random(seed: int) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def written(folder: Path, **models: Tensors) -> dict[str, str]:
    """Write models and return their references."""
    for name, weights in models.items():
        (folder / name).mkdir()
        save_file(weights, folder / name / "model.safetensors")
        (folder / name / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return {name: f"file:{folder / name}" for name in models}


def bench(memory_budget: int = 1 << 28) -> StudyBench:
    catalog = Catalog(load_zoo(), allow_files=True)
    return StudyBench(LiveEngine(catalog, "cpu", memory_budget), Evaluator("cpu", workers=1), ())


def asked(refs: Mapping[str, str], models: str, study: str = "vectors", **params: object) -> StudySpec:
    named = [refs[name] for name in models.split()]
    study_of = {"name": study, "params": params}
    return parse_study({"version": 1, "study": study_of, "base": refs["base"], "models": named})


def findings(spec: StudySpec, on: StudyBench, memory: Memory | None = None) -> list[Finding]:
    return list(spec.info.answer(spec, on, Memory() if memory is None else memory))
