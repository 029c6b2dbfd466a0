"""Each family of models, from transformers and back: merged, saved, loaded without a word, run, and exactly right."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from merging_core.checkpoints import Catalog
from merging_core.engines import LiveEngine, make_plan, stream_merge
from merging_core.engines.points import points_of
from merging_core.recipes.parse import parse_recipe
from merging_core.space.depth import Depth, depths, leaf_depth
from tests.engines.families import FAMILIES, model_of, saved

DENSITY = 0.25


@pytest.fixture(autouse=True)
def no_bars() -> None:
    logging.disable_progress_bar()


def linear64(base: Mapping[str, torch.Tensor], experts: list[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: (experts[0][name].double() + experts[1][name].double()) / 2 for name in base}


def ties64(base: Mapping[str, torch.Tensor], experts: list[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """TIES over the whole model, λ 0.5: the DENSITY largest changes of each expert; where signs agree, their mean."""
    changes = []
    for expert in experts:
        change = {name: expert[name].double() - base[name].double() for name in base}
        sizes = torch.cat([values.abs().flatten() for values in change.values()]).sort(descending=True).values
        least = sizes[int(DENSITY * len(sizes)) - 1]
        changes.append({name: values * (values.abs() >= least) for name, values in change.items()})
    total = {name: sum(change[name].sum() for change in changes) for name in base}
    majority = torch.sign(sum(total.values()))
    merged = {}
    for name, values in base.items():
        stack = torch.stack([change[name] for change in changes])
        sign = torch.sign(stack.sum(dim=0))
        sign = torch.where(sign == 0, majority, sign)
        agreeing = torch.where(torch.sign(stack) == sign, stack, 0.0)
        mean = agreeing.sum(dim=0) / (agreeing != 0).sum(dim=0).clamp(min=1)
        merged[name] = values.double() + 0.5 * mean
    return merged


REFERENCES = {"linear": linear64, "ties": ties64}
METHODS: dict[str, dict[str, Any]] = {
    "linear": {"method": {"name": "linear"}},
    "ties": {"method": {"name": "ties", "params": {"density": DENSITY, "scope": "model"}}, "lambda": 0.5},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_merge_is_loaded_by_transformers_without_a_word_and_is_the_merge_in_float64_rounded_once(
    name: str, tmp_path: Path, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    example = FAMILIES[name]
    models = [model_of(name, seed) for seed in range(3)]
    refs = [saved(model, tmp_path / f"m{at}") for at, model in enumerate(models)]
    weights = [dict(model.named_parameters()) for model in models]
    for method, stated in METHODS.items():
        given = {"version": 1, "base": refs[0], "models": [{"ref": ref} for ref in refs[1:]], "dtype": "bfloat16"}
        plan = make_plan(parse_recipe({**given, **stated}), catalog)
        out = stream_merge(plan, catalog, tmp_path / method)
        assert not any(leaf.name in example.tied for leaf in plan.outputs), "a leaf that is another's is saved once"
        caplog.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loaded, report = type(models[0]).from_pretrained(out, output_loading_info=True, local_files_only=True)
        assert not any(report.values()) and caplog.records == []
        expected = REFERENCES[method](weights[0], weights[1:])
        found = dict(loaded.named_parameters())
        assert found.keys() == expected.keys()
        for leaf, values in expected.items():
            assert torch.equal(found[leaf], values.bfloat16()), leaf
        with torch.inference_mode():
            answer = loaded.float()(**example.inputs)
        logits = answer["logits_per_image" if name == "CLIP" else "logits"]
        assert logits.isfinite().all() and logits.numel() > 0


@pytest.mark.parametrize("name", ["Qwen 2", "T5", "GPT-2"])
def test_shards_whose_leaves_are_tied_are_merged_into_shards(name: str, tmp_path: Path, catalog: Catalog) -> None:
    models = [model_of(name, seed) for seed in range(3)]
    weights = [dict(model.named_parameters()) for model in models]
    refs = []
    for at, model in enumerate(models):
        model.save_pretrained(tmp_path / f"m{at}", max_shard_size="10GB" if at == 1 else "1KB")
        refs.append(f"file:{tmp_path / f'm{at}'}")
    given = {"version": 1, "base": refs[0], "models": [{"ref": ref} for ref in refs[1:]], **METHODS["linear"]}
    out = stream_merge(make_plan(parse_recipe(given), catalog), catalog, tmp_path / "out", shard_bytes=2000)
    assert all(len(list(folder.glob("*.safetensors"))) > 2 for folder in (tmp_path / "m0", out))
    loaded, report = type(models[0]).from_pretrained(out, output_loading_info=True, local_files_only=True)
    assert not any(report.values())
    expected = linear64(weights[0], weights[1:])
    for leaf, values in loaded.named_parameters():
        assert torch.equal(values.double(), expected[leaf]), leaf


@pytest.mark.parametrize("name", FAMILIES)
def test_every_leaf_of_a_file_has_its_depth(name: str, tmp_path: Path) -> None:
    example = FAMILIES[name]
    saved(model_of(name, 0), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    with safe_open(tmp_path / "model.safetensors", "pt") as file:  # type: ignore[no-untyped-call]
        names = list(file.keys())
    found = depths(names)
    seen: dict[str, set[int]] = {stack: set() for stack in example.stacks}
    for leaf in names:
        inside = [(stack, *told) for stack, told in example.stacks.items() if leaf.startswith(told[0])]
        if inside:
            stack, start, count = inside[0]
            index = int(leaf.removeprefix(start).split(".")[0])
            assert found[leaf] == Depth(stack, index, count, "inside"), leaf
            seen[stack].add(index)
        else:
            side = "before" if any(part in leaf for part in example.before) else "after"
            assert (found[leaf].index, found[leaf].side) == (None, side), leaf
        assert leaf_depth(leaf, config).position == found[leaf].position, leaf
    assert seen == {stack: set(range(count)) for stack, (_, count) in example.stacks.items()}


# What files of old versions hold and newer ones leave out: made again from the configuration.
OLD = {
    "Llama": {
        f"model.layers.{at}.self_attn.rotary_emb.inv_freq": torch.tensor([1.0, 0.01]) for at in range(2)
    },
    "GPT-2": {f"transformer.h.{at}.attn.bias": torch.ones(1, 1, 16, 16).tril() for at in range(2)},
    "BERT": {"bert.embeddings.position_ids": torch.arange(16)[None]},
    "CLIP": {"text_model.embeddings.position_ids": torch.arange(8)[None]},
}  # fmt: skip


@pytest.mark.parametrize("name", OLD)
@pytest.mark.parametrize("old", ["base", "expert"])
def test_tables_that_old_files_hold_are_taken_over_or_left_out_and_never_missed(
    old: str, name: str, tmp_path: Path, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    models = [model_of(name, seed) for seed in range(2)]
    refs = [saved(model, tmp_path / f"m{at}") for at, model in enumerate(models)]
    file = tmp_path / ("m0" if old == "base" else "m1") / "model.safetensors"
    save_file(load_file(file) | OLD[name], file, {"format": "pt"})
    given = {"version": 1, "base": refs[0], "models": [{"ref": refs[1]}], "method": {"name": "ties"}}
    plan = make_plan(parse_recipe(given), catalog)
    (apart,) = (outcome for outcome in plan.outcomes if outcome.what != "merged")
    assert (apart.what, set(apart.leaves)) == ("copied" if old == "base" else "left out", OLD[name].keys())
    out = stream_merge(plan, catalog, tmp_path / "out")
    written = load_file(out / "model.safetensors")
    assert written.keys() == load_file(tmp_path / "m0" / "model.safetensors").keys()
    assert all(torch.equal(written[leaf], values) for leaf, values in OLD[name].items() if leaf in written)
    caplog.clear()
    _, report = type(models[0]).from_pretrained(out, output_loading_info=True, local_files_only=True)
    assert not any(report.values()) and caplog.records == []


def test_the_first_gpt2_is_a_base_for_models_that_were_fine_tuned_from_it(tmp_path: Path, catalog: Catalog) -> None:
    models = [model_of("GPT-2", seed) for seed in range(2)]
    base, expert = (saved(model, tmp_path / f"m{at}") for at, model in enumerate(models))
    file = tmp_path / "m0" / "model.safetensors"
    bare = {name.removeprefix("transformer."): values for name, values in load_file(file).items()}
    save_file(bare | {"h.0.attn.bias": torch.ones(1, 1, 16, 16).tril()}, file, {"format": "pt"})
    given = {"version": 1, "base": base, "models": [{"ref": expert}], "method": {"name": "linear"}}
    recipe = parse_recipe(given)
    plan = make_plan(recipe, catalog)
    said = "file:m1 calls h.0.attn.c_attn.bias transformer.h.0.attn.c_attn.bias, and all else so; named as in file:m0"
    assert plan.warnings == (said,)
    out = stream_merge(plan, catalog, tmp_path / "out")
    loaded, report = type(models[0]).from_pretrained(out, output_loading_info=True, local_files_only=True)
    assert not any(report.values())
    live = LiveEngine(catalog, "cpu")
    weights = live.merge(recipe).weights
    line = points_of(live, (base, expert))
    half = line.weights(line.mixed((0.5, 0.5)))
    parameters = [dict(model.named_parameters()) for model in models]
    for name, values in loaded.named_parameters():
        bare_name = name.removeprefix("transformer.")
        assert torch.equal(values, parameters[1][name]) and torch.equal(values, weights[bare_name])
        assert torch.equal(half[bare_name], (parameters[0][name] + parameters[1][name]) / 2)
