"""Plans of recipes over the Hub: only headers are read, of files, shards, adapters; all problems are said at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.cli.main import main
from merging_core.engines import make_plan
from merging_core.recipes.parse import parse_recipe
from tests.hub.conftest import Visit
from tests.hub.server import FakeHub

ROWS, WIDTH = 1000, 256
CONFIG = {"model_type": "llama", "hidden_size": WIDTH, "vocab_size": ROWS, "num_attention_heads": 4}
EMBEDDING, INNER = "model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"
WEIGHTS = {EMBEDDING: (ROWS, WIDTH), INNER: (600, WIDTH), "lm_head.weight": (ROWS, WIDTH)}
FIRST = 64 << 10
"""What is asked for at the start of a file."""
Say = Callable[..., tuple[int, str, str]]


def leaves(**changes: tuple[int, ...] | None) -> dict[str, torch.Tensor]:
    shapes = {**WEIGHTS, **changes}
    return {name: torch.zeros(shape) for name, shape in shapes.items() if shape is not None}


def single(tensors: dict[str, torch.Tensor], **config: object) -> dict[str, bytes]:
    return {
        "model.safetensors": save(tensors),
        "config.json": json.dumps({**CONFIG, **config}).encode(),
        "tokenizer.json": json.dumps({"model": {"vocab": {f"t{row}": row for row in range(ROWS)}}}).encode(),
    }


def sharded(tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
    names = {leaf: f"model-{place + 1:05}-of-{len(tensors):05}.safetensors" for place, leaf in enumerate(tensors)}
    index = {"metadata": {}, "weight_map": names}
    shards = {name: save({leaf: tensors[leaf]}) for leaf, name in names.items()}
    files = {name: data for name, data in single(tensors).items() if name != "model.safetensors"}
    return {**files, "model.safetensors.index.json": json.dumps(index).encode(), **shards}


def adapter(rows: int = 600) -> dict[str, bytes]:
    named = f"base_model.model.{INNER.removesuffix('.weight')}"
    factors = {f"{named}.lora_A.weight": torch.ones(64, WIDTH), f"{named}.lora_B.weight": torch.ones(rows, 64)}
    says = {"peft_type": "LORA", "r": 64, "lora_alpha": 64}
    return {"adapter_model.safetensors": save(factors), "adapter_config.json": json.dumps(says).encode()}


@pytest.fixture
def hub(fake: FakeHub) -> FakeHub:
    fake.add("ada/whole", single(leaves()))
    fake.add("ada/shards", sharded(leaves()))
    fake.add("ada/lora", adapter())
    return fake


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str], hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run a command in this process."""
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        said = capfd.readouterr()
        return status, said.out, said.err

    return call


def recipe(*names: str, **more: object) -> dict[str, object]:
    base, *models = (f"hub:ada/{name}" for name in names)
    given = {"version": 1, "base": base, "models": [{"ref": ref} for ref in models]}
    return {**given, "method": {"name": "task_arithmetic"}, **more}


def test_a_plan_reads_the_beginnings_of_weights_and_no_more(hub: FakeHub, say: Say, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe("whole", "shards", "lora")))
    status, out, err = say("plan", str(path), "--json")
    assert (status, err) == (0, "")
    weights = {path: sent for path, sent in hub.sent.items() if path.endswith(".safetensors")}
    assert len(weights) == 1 + len(WEIGHTS) + 1 and all(0 < sent <= FIRST for sent in weights.values())
    assert not any("tokenizer" in path for path in hub.sent)
    told = json.loads(out)
    assert [model["elements"] for model in told["models"]] == [2600 * WIDTH] * 3
    assert set(told["download"]) == {told["recipe"]["base"], *(model["ref"] for model in told["recipe"]["models"])}
    assert told["output_bytes"] == 4 * 2600 * WIDTH and not (tmp_path / "cache").exists()
    before = dict(hub.sent)
    table = say("plan", str(path))[1]
    assert "a LoRA adapter of rank 64 that changes 1 leaf" in table and table.count("download ") == 3
    again = {name: sent - before.get(name, 0) for name, sent in hub.sent.items() if name.endswith(".safetensors")}
    assert all(sent <= FIRST for sent in again.values())


def test_everything_that_does_not_fit_is_said_of_all_models_at_once(hub: FakeHub, say: Say, tmp_path: Path) -> None:
    hub.add("ada/smaller", sharded(leaves(**{INNER: None, "lm_head.weight": (900, WIDTH)})))
    hub.add("ada/heads", single(leaves(), num_attention_heads=8))
    hub.add("ada/lower", adapter(rows=500))
    hub.add("ada/pickle", {"pytorch_model.bin": b"\x80", "config.json": b"{}"})
    hub.add("ada/broken", {**single(leaves()), "model.safetensors": b"<!doctype html>"})
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe("whole", "smaller", "heads", "lower", "pickle", "broken", "nowhere")))
    status, out, err = say("plan", str(path))
    assert (status, out) == (2, "")
    said = re.sub(r"@[0-9a-f]{7}\b", "", err)
    for words in (
        f"hub:ada/smaller: {INNER}: the leaf is there",
        "hub:ada/smaller: lm_head.weight: the shape is [1000, 256]",
        "hub:ada/heads: config num_attention_heads",
        "models[2]: hub:ada/lower",
        "models[3]: hub:ada/pickle: a model on the Hub holds model.safetensors",
        "models[4]: hub:ada/broken: model.safetensors",
        "models[5]: hub:ada/nowhere: the model exists on the Hub",
    ):
        assert words in said, said
    assert all(sent <= FIRST for path, sent in hub.sent.items() if path.endswith(".safetensors"))


def test_rows_by_token_are_matched_before_a_download_by_the_tokenizers_alone(hub: FakeHub, visit: Visit) -> None:
    words = {"model": {"vocab": {f"t{ROWS + 1 - row}": row for row in range(ROWS + 2)}}}
    wide = {EMBEDDING: (ROWS + 2, WIDTH), "lm_head.weight": (ROWS + 2, WIDTH)}
    files = single(leaves(**wide), vocab_size=ROWS + 2)
    hub.add("ada/other", {**files, "tokenizer.json": json.dumps(words).encode()})
    catalog = Catalog(load_zoo(), hub=visit())
    plan = make_plan(parse_recipe(recipe("whole", "other", vocabulary="by token")), catalog)
    counts = {"own": ROWS, "lacking": 0, "unnamed": 0, "left_out": 2}
    assert {row["leaf"] for row in plan.as_json()["tokens"]} == {EMBEDDING, "lm_head.weight"}
    assert all(row.items() >= counts.items() for row in plan.as_json()["tokens"])
    assert all(sent <= FIRST for path, sent in hub.sent.items() if path.endswith(".safetensors"))
    assert len(hub.asked("/resolve/")) == 6  # of both: configuration, beginning of the weights, tokenizer
