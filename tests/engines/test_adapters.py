"""LoRA adapters among the experts of a recipe: the same numbers as whole models, in both engines and in the plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from merging_core.checkpoints import Catalog, open_checkpoint, parse_ref
from merging_core.engines import LiveEngine, make_plan, stream_merge
from merging_core.engines.ring import Ring
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import BasinError
from merging_core.recipes.parse import parse_recipe
from tests.engines.away import AwayDriver
from tests.engines.families import model_of, saved
from tests.engines.world import Family, family, write

LEAF = "encoder.layers.1.mlp.fc1"


@pytest.fixture
def made(tmp_path: Path) -> Family:
    return family(tmp_path)


@pytest.fixture
def lora(tmp_path: Path) -> str:
    folder = tmp_path / "lora"
    folder.mkdir()
    a, b = (torch.randn(*shape, generator=torch.Generator().manual_seed(7)) for shape in ((2, 4), (8, 2)))
    names = {f"base_model.model.{LEAF}.lora_{name}.weight": leaf for name, leaf in (("A", a), ("B", b))}
    save_file(names, folder / "adapter_model.safetensors")
    says = {"peft_type": "LORA", "r": 2, "lora_alpha": 1, "base_model_name_or_path": "ada/base"}
    (folder / "adapter_config.json").write_text(json.dumps(says))
    return f"file:{folder}"


def with_adapter(made: Family, lora: str, method: str = "ties", **changes: object) -> dict[str, object]:
    models = [{"ref": ref} for ref in (*made.experts[:2], lora)]
    return {"version": 1, "base": made.base, "models": models, "method": {"name": method}, **changes}


@pytest.mark.parametrize("method", ["ties", "dare_ties", "linear"])
def test_an_adapter_is_merged_as_the_whole_model_that_it_stands_for(
    method: str, made: Family, lora: str, catalog: Catalog, tmp_path: Path
) -> None:
    recipe = parse_recipe(with_adapter(made, lora, method))
    plan = make_plan(recipe, catalog)
    out = stream_merge(plan, catalog, tmp_path / "merged", chunk_elements=7, workers=2)
    shown = LiveEngine(catalog, "cpu").merge(recipe).weights
    streamed = load_file(out / "model.safetensors")
    assert all(torch.equal(streamed[name], shown[name]) for name in shown)
    away = stream_leaves(plan, lane=Ring(AwayDriver(), 16, workers=2))
    assert all(torch.equal(streamed[name], leaf) for name, leaf in away)
    if method == "dare_ties":  # whose coins fall by content
        return
    adapter = plan.survey.experts[2]
    whole = write(tmp_path / "whole", {name: adapter.read(name) for name in adapter.leaves})
    assert not torch.equal(adapter.read(f"{LEAF}.weight"), made.base_tensors[f"{LEAF}.weight"])
    again = stream_merge(make_plan(parse_recipe(with_adapter(made, whole, method)), catalog), catalog, tmp_path / "o")
    other = load_file(again / "model.safetensors")
    assert all(torch.equal(streamed[name], other[name]) for name in streamed)


def test_a_plan_says_what_an_adapter_changes_and_pins_it_alone(made: Family, lora: str, catalog: Catalog) -> None:
    plan = make_plan(parse_recipe(with_adapter(made, lora)), catalog)
    assert "a LoRA adapter of rank 2 that changes 1 leaf of file:base" in plan.table()
    assert plan.as_json()["models"][3]["adapter"]["leaves"] == [f"{LEAF}.weight"]
    alone = open_checkpoint(lora.removeprefix("file:"), parse_ref(lora))
    assert plan.pins[lora] == f"{lora}@{alone.content()}" == str(catalog.pin(lora))
    pinned = parse_recipe(with_adapter(made, plan.pins[lora]))
    assert make_plan(pinned, catalog).hash == plan.hash


def test_the_same_adapter_over_another_base_is_another_model(made: Family, lora: str, catalog: Catalog) -> None:
    engine = LiveEngine(catalog, "cpu")
    for base in (made.base, made.experts[2]):
        recipe = parse_recipe({**with_adapter(made, lora, "linear"), "base": base, "models": [{"ref": lora}]})
        shown = engine.merge(recipe).weights[f"{LEAF}.weight"]
        adapter = make_plan(recipe, catalog).survey.experts[0]
        assert torch.equal(shown, adapter.read(f"{LEAF}.weight"))


def test_an_adapter_without_a_base_is_refused_and_the_base_that_it_names_is_told(
    made: Family, lora: str, catalog: Catalog
) -> None:
    refused = {
        "write base: hub:ada/base": {**with_adapter(made, lora, "linear"), "base": None},
        "the base is a whole model": {**with_adapter(made, made.experts[2]), "base": lora},
    }
    for told, document in refused.items():
        given = {key: value for key, value in document.items() if value is not None}
        with pytest.raises(BasinError) as caught:
            make_plan(parse_recipe(given), catalog)
        assert told in str(caught.value)
    with pytest.raises(BasinError, match="a LoRA adapter alone"):
        LiveEngine(catalog, "cpu").checkpoint(lora)


def test_an_adapter_whose_configuration_changed_since_the_plan_is_not_merged(
    made: Family, lora: str, catalog: Catalog, tmp_path: Path
) -> None:
    plan = make_plan(parse_recipe(with_adapter(made, lora)), catalog)
    assert plan.hash
    says = Path(lora.removeprefix("file:")) / "adapter_config.json"
    says.write_text(says.read_text().replace('"lora_alpha": 1', '"lora_alpha": 9'))
    with pytest.raises(BasinError, match="files that changed"):
        stream_merge(plan, catalog, tmp_path / "merged")


MODULES = {
    "ViT": "vit.layers.0.attention.q_proj",
    "LLaVA": "model.language_model.layers.0.self_attn.q_proj",
    "Qwen 2 VL": "model.language_model.layers.0.self_attn.q_proj",
    "Mixtral": "model.layers.0.self_attn.q_proj",
}
"""Families whose modules are named otherwise than the leaves of their files, and a layer that PEFT names so."""


@pytest.mark.filterwarnings("ignore")  # of two packages about one another
@pytest.mark.parametrize("name", MODULES)
def test_an_adapter_that_names_modules_changes_the_leaves_that_are_read_into_them(
    name: str, tmp_path: Path, catalog: Catalog
) -> None:
    import peft  # noqa: PLC0415

    base = saved(model_of(name, 0), tmp_path / "base")
    layers = ["q_proj", "fc1"] if name == "ViT" else ["q_proj", "v_proj"]
    tuned = peft.get_peft_model(model_of(name, 0), peft.LoraConfig(r=2, lora_alpha=4, target_modules=layers))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for part, leaf in tuned.named_parameters():
            if "lora_" in part:
                leaf.copy_(torch.randint(-8, 9, leaf.shape, generator=generator) / 64)
    tuned.save_pretrained(str(tmp_path / "lora"))
    names = load_file(tmp_path / "lora" / "adapter_model.safetensors").keys()
    assert f"base_model.model.{MODULES[name]}.lora_A.weight" in names
    models = [{"ref": f"file:{tmp_path / 'lora'}"}]
    plan = make_plan(
        parse_recipe({"version": 1, "base": base, "models": models, "method": {"name": "linear"}}), catalog
    )
    merged = dict(stream_leaves(plan))
    saved(tuned.merge_and_unload(), tmp_path / "theirs")
    theirs = load_file(tmp_path / "theirs" / "model.safetensors")
    assert merged.keys() == theirs.keys() and all(torch.equal(merged[leaf], theirs[leaf]) for leaf in theirs)
    assert any(
        not torch.equal(theirs[leaf], values) for leaf, values in load_file(tmp_path / "base/model.safetensors").items()
    )


def test_an_adapter_of_a_module_that_many_leaves_are_joined_into_is_refused_by_name(
    tmp_path: Path, catalog: Catalog
) -> None:
    base = saved(model_of("Mixtral", 0), tmp_path / "base")
    (tmp_path / "lora").mkdir()
    layer = "base_model.model.model.layers.0.mlp.experts.gate_up_proj"
    factors = {f"{layer}.lora_A.weight": torch.ones(2, 8), f"{layer}.lora_B.weight": torch.ones(32, 2)}
    save_file(factors, tmp_path / "lora" / "adapter_model.safetensors")
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    given = {"version": 1, "base": base, "models": [{"ref": f"file:{tmp_path / 'lora'}"}], "method": {"name": "linear"}}
    with pytest.raises(BasinError, match=r"mlp\.experts\.gate_up_proj\.lora_A\.weight: it leads to a leaf"):
        make_plan(parse_recipe(given), catalog)
