"""Alignment of nets with batch normalisation: a permuted copy comes back, with its statistics measured again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from merging_core.alignment.permuting import permuted
from merging_core.alignment.statistics import re_estimated
from merging_core.alignment.templates import by_name
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.registry import study
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine
from merging_core.evaluation.architectures import architecture
from tests.analysis.studies.small import small_bench, small_spec

CONFIG = {"model_type": "basin_cnn", "image_size": 8, "block_channels": [6, 5], "num_labels": 10}


def written(folder: Path, weights: dict[str, torch.Tensor]) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    save_file({name: leaf.contiguous() for name, leaf in weights.items()}, folder / "model.safetensors")
    return f"file:{folder}"


def test_statistics_are_measured_again_and_both_models_alone_are_the_control(tmp_path: Path) -> None:
    found, chance = architecture(CONFIG), torch.Generator().manual_seed(3)
    drawn = {name: torch.randn(shape, generator=chance) for name, shape in found.leaves.items()}
    rows = torch.randn(50, 1, 8, 8, generator=chance)
    first = dict(re_estimated(found.forward, drawn, [drawn], rows, found.statistics).weights)
    claimed = by_name(CONFIG, found.leaves)
    other = permuted(claimed, first, claimed.drawn(1))
    models = [written(tmp_path / "first", first), written(tmp_path / "other", other)]
    given = {"name": "align", "params": {"points": 3, "match": "correlation"}}
    spec = small_spec(study("align"), models=models, base=models[0], study=given, splits=["train"])
    bench = small_bench(engine=LiveEngine(Catalog(load_zoo(), allow_files=True), "cpu"))
    numbers: dict[str, Any] = {}
    for finding in study("align").answer(spec, bench, Memory()):
        numbers = cast("dict[str, Any]", finding.numbers)
    assert numbers["certificate"]["certified"] == numbers["certificate"]["of"] == 2
    assert numbers["mended"] == "statistics" and "running statistics re-estimated" in numbers["sentence"]
    paths = {path["what"]: path["splits"]["train"]["points"] for path in numbers["paths"]}
    loss = {what: {point["t"]: point["loss"] for point in points} for what, points in paths.items()}
    assert loss["matched"][0.5] == pytest.approx(loss["naive"][0.0], abs=1e-4)
    assert abs(loss["naive"][0.5] - loss["naive"][0.0]) > 0.01
    assert loss["repaired"][0.5] == pytest.approx(loss["repaired"][1.0], abs=1e-4)
    assert abs(loss["repaired"][0.0] - loss["naive"][0.0]) > 1e-4
    assert [(row["model"], row["n"]) for row in numbers["control"]] == [(0, 28), (1, 28)]
    assert all(row["after"] == paths["repaired"][0]["accuracy"] for row in numbers["control"])
    rows = study("align").tables(numbers)["control"].rows
    assert [row[:2] for row in rows] == [("train", 1), ("train", 2)] and rows[0][3] == numbers["control"][0]["after"]
