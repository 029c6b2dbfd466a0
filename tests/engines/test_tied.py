"""Models of one kind whose files hold tied leaves in every way: planned without a complaint, merged, saved once."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from transformers.utils import logging

from merging_core.checkpoints import Catalog
from merging_core.engines import LiveEngine, make_plan, stream_merge
from merging_core.errors import CheckpointError
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe
from tests.engines.families import FAMILIES, model_of, saved

TIED = [name for name, example in FAMILIES.items() if example.tied]


@pytest.fixture(autouse=True)
def no_bars() -> None:
    logging.disable_progress_bar()


def with_every_name(model: Any, folder: Path, **changes: torch.Tensor) -> str:
    """Save a model with each matrix under all its names, as pickles of old were converted."""
    model.config.save_pretrained(folder)
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(tensors | changes, folder / "model.safetensors", {"format": "pt"})
    return f"file:{folder}"


def mean_of(base: str, *experts: str) -> Recipe:
    models = [{"ref": ref} for ref in experts]
    return parse_recipe({"version": 1, "base": base, "models": models, "method": {"name": "linear"}})


@pytest.mark.parametrize("name", TIED)
def test_files_that_hold_tied_leaves_once_or_twice_are_one_family(
    name: str, tmp_path: Path, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    tied = FAMILIES[name].tied
    models = [model_of(name, seed) for seed in range(3)]
    base = with_every_name(models[0], tmp_path / "twice")
    as_transformers = saved(models[1], tmp_path / "once")
    (tmp_path / "other").mkdir()  # under the name that safetensors keeps, and without a configuration
    save_model(models[2], str(tmp_path / "other" / "model.safetensors"))
    recipe = mean_of(base, as_transformers, f"file:{tmp_path / 'other'}")
    plan = make_plan(recipe, catalog)
    assert {leaf for outcome in plan.outcomes if outcome.what == "tied" for leaf in outcome.leaves} >= set(tied)
    assert "file:twice" in plan.table() and "written once" in plan.table()
    out = stream_merge(plan, catalog, tmp_path / "out", shard_bytes=1500)
    listed = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]
    assert len(set(listed.values())) > 1 and not set(tied) & listed.keys()

    caplog.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded, report = type(models[0]).from_pretrained(out, output_loading_info=True, local_files_only=True)
    assert not any(report.values()) and caplog.records == []
    first, second = (dict(model.named_parameters()) for model in models[1:])
    live = LiveEngine(catalog, "cpu").merge(recipe).weights
    for leaf, values in loaded.named_parameters():
        assert torch.equal(values, (first[leaf] + second[leaf]) / 2), leaf
        assert torch.equal(values, live[leaf]), leaf


def test_leaves_that_are_tied_and_differ_stop_both_engines_before_anything_is_written(
    tmp_path: Path, catalog: Catalog
) -> None:
    model = model_of("Qwen 2", 0)
    base = with_every_name(model, tmp_path / "odd", **{"lm_head.weight": model.lm_head.weight.detach() + 1})
    recipe = mean_of(base, saved(model_of("Qwen 2", 1), tmp_path / "once"))
    plan = make_plan(recipe, catalog)
    said = "file:odd: lm_head.weight: it holds the numbers of model.embed_tokens.weight"
    with pytest.raises(CheckpointError, match=said):
        stream_merge(plan, catalog, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(CheckpointError, match=said):
        LiveEngine(catalog, "cpu").checkpoint(base)


def test_models_whose_heads_are_not_tied_keep_both(tmp_path: Path, catalog: Catalog) -> None:
    refs = [with_every_name(model_of("Llama", seed), tmp_path / str(seed)) for seed in range(2)]
    plan = make_plan(mean_of(*refs), catalog)
    assert {"lm_head.weight", "model.embed_tokens.weight"} <= {leaf.name for leaf in plan.outputs}
    assert {outcome.what for outcome in plan.outcomes} == {"merged"}
