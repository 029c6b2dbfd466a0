"""What goes to the Hub tells nothing of the machine that made it, and still describes one merge."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from merging_core.checkpoints import Catalog, parse_ref
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan
from merging_core.errors import CheckpointError
from merging_core.export import export_checkpoint
from merging_core.export.travelling import for_the_hub
from merging_core.recipes import parse_recipe, recipe_hash

NAMES = ("README.md", "recipe.json", "config.json")


def checkpoint(folder: Path, value: float) -> str:
    folder.mkdir(parents=True)
    save_file({"layers.0.w": torch.full((3,), value)}, folder / "model.safetensors")
    config = {"architectures": ["CLIPModel"], "model_type": "clip", "_name_or_path": str(folder)}
    (folder / "config.json").write_text(json.dumps(config))
    return f"file:{folder}"


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, str]:
    """Card, recipe and configuration of a merge of files whose folders are called alike, and oddly."""
    refs = [
        checkpoint(tmp_path / part / f"digits #{'x' * 90}: 'it'", value) for part, value in (("a", 1.0), ("b", 2.0))
    ]
    tree: dict[str, Any] = {"version": 1, "models": [{"ref": ref} for ref in refs], "method": {"name": "linear"}}
    catalog = Catalog(load_zoo(), allow_files=True)
    out = export_checkpoint(make_plan(parse_recipe(tree), catalog), catalog, tmp_path / "out")
    return {name: (out / name).read_text(encoding="utf-8") for name in NAMES}


def test_no_folder_of_this_machine_is_published(texts: dict[str, str], tmp_path: Path) -> None:
    assert all(str(tmp_path) in text for text in texts.values())
    sent = for_the_hub(texts, "ann/merge")
    assert not [name for name, text in sent.items() if str(tmp_path) in text]
    assert json.loads(sent["config.json"]) == {"architectures": ["CLIPModel"], "model_type": "clip", "dtype": "float32"}
    assert 'CLIPModel.from_pretrained("ann/merge")' in sent["README.md"]


def test_the_recipe_keeps_what_identifies_each_part_and_the_card_tells_its_hash(texts: dict[str, str]) -> None:
    sent = for_the_hub(texts, "ann/merge")
    recipe = parse_recipe(json.loads(sent["recipe.json"]))
    before = [parse_ref(entry["ref"]) for entry in json.loads(texts["recipe.json"])["models"]]
    after = [parse_ref(entry.ref) for entry in recipe.models]
    assert [ref.pin for ref in after] == [ref.pin for ref in before]
    assert len(set(after)) == 2 and all("/" not in ref.path for ref in after)
    told = re.search(r"Its hash is `([0-9a-f]{64})`", sent["README.md"])
    assert told is not None
    assert told.group(1) == recipe_hash(recipe, {entry.ref: entry.ref for entry in recipe.models})


def test_a_merge_of_published_models_is_sent_as_it_is() -> None:
    recipe = {"version": 1, "models": [{"ref": "hub:ada/x@" + "1" * 40}], "method": {"name": "linear"}}
    texts = {"README.md": "card", "recipe.json": json.dumps(recipe), "config.json": '{"_name_or_path": "ada/x"}'}
    assert for_the_hub(texts, "ann/merge") == texts


def test_a_path_that_somebody_wrote_into_the_card_keeps_it_from_being_published(texts: dict[str, str]) -> None:
    path = parse_ref(json.loads(texts["recipe.json"])["models"][0]["ref"]).path
    with pytest.raises(CheckpointError, match="names no folder of this machine"):
        for_the_hub({**texts, "README.md": texts["README.md"] + f"\nmade from {path}/model.safetensors\n"}, "ann/merge")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"models": 7}', '{"models": [{"ref": 7}]}'])
def test_what_is_no_recipe_is_left_to_whoever_reads_it(text: str) -> None:
    assert for_the_hub({"recipe.json": text}, "ann/merge") == {"recipe.json": text}
