"""LoRA adapters on the Hub: planned from headers, downloaded, and merged over their base."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine, make_plan
from merging_core.errors import CheckpointError
from merging_core.recipes.parse import parse_recipe
from tests.hub.conftest import Visit
from tests.hub.server import FakeHub

LEAF = "encoder.layers.0.self_attn.q_proj"


def files(**config: object) -> dict[str, bytes]:
    zoo = load_zoo()
    shape = Catalog(zoo).open("zoo:tiny/base").leaves[f"{LEAF}.weight"].shape
    factors = {"A": torch.ones(2, shape[1]), "B": torch.full((shape[0], 2), 0.25)}
    named = {f"base_model.model.{LEAF}.lora_{name}.weight": leaf for name, leaf in factors.items()}
    says = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, **config}
    return {
        "adapter_model.safetensors": save(named),
        "adapter_config.json": json.dumps(says).encode(),
        "README.md": b"---\nlicense: mit\n---\n",
        "config.json": b'{"model_type": "other"}',
        "training_args.bin": b"\x80",
    }


def test_an_adapter_of_the_hub_is_planned_downloaded_and_merged(fake: FakeHub, visit: Visit) -> None:
    fake.add("ada/lora", files())
    catalog = Catalog(load_zoo(), hub=visit())
    ref = str(catalog.pin("hub:ada/lora"))
    models = [{"ref": ref}]
    recipe = parse_recipe({"version": 1, "base": "zoo:tiny/base", "models": models, "method": {"name": "linear"}})
    assert "a LoRA adapter of rank 2 that changes 1 leaf of zoo:tiny/base" in make_plan(recipe, catalog).table()
    assert not fake.asked("training_args.bin") and not fake.asked("/resolve/config.json")
    catalog.fetch([ref])
    opened = catalog.open(ref)
    assert opened.known_content == opened.compute_content()
    merged = LiveEngine(catalog, "cpu").merge(recipe).weights[f"{LEAF}.weight"]
    base = catalog.open("zoo:tiny/base").read(f"{LEAF}.weight")
    assert torch.equal(merged, (base.double() + 1.0).float())


def test_an_adapter_of_another_kind_is_refused_from_its_configuration(fake: FakeHub, visit: Visit) -> None:
    fake.add("ada/dora", files(use_dora=True))
    with pytest.raises(CheckpointError, match="DoRA"):
        visit().survey("hub:ada/dora")
    assert not fake.asked("adapter_model.safetensors")
