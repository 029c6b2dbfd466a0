"""The catalog: references opened where they are allowed, and only with the content that they are pinned to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from merging_core.checkpoints.catalog import Catalog
from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.checkpoints.zoo import load_zoo
from merging_core.errors import CheckpointError
from tests.checkpoints.build import opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A zoo of one family with a base and an expert."""
    rows = {}
    for at, name in enumerate(("base", "digits")):
        folder = tmp_path / "zoo" / "tiny" / name
        folder.mkdir(parents=True)
        save_file({"w": torch.full((3,), float(at))}, folder / "model.safetensors", metadata={"format": "pt"})
        rows[f"zoo:tiny/{name}"] = {
            "path": f"tiny/{name}", "content": opened(folder).content(), "title": name.title(), "parameters": 3,
            "description": f"The {name}.",
        }  # fmt: skip
    family = {
        "name": "tiny", "title": "Tiny", "description": "Two vectors.", "base": "zoo:tiny/base",
        "experts": ["zoo:tiny/digits"], "tasks": [], "expert_task": {},
    }  # fmt: skip
    manifest = {"version": 1, "families": [family], "checkpoints": rows, "files": {}, "accuracies": {}}
    (tmp_path / "zoo" / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "zoo"


def test_the_list_says_what_can_be_picked(root: Path) -> None:
    entries = Catalog(load_zoo(root)).list()
    assert [(str(entry.ref), entry.role, entry.family, entry.parameters) for entry in entries] == [
        ("zoo:tiny/base", "base", "tiny", 3),
        ("zoo:tiny/digits", "expert", "tiny", 3),
    ]


def test_a_zoo_reference_opens_with_the_content_of_the_manifest(root: Path) -> None:
    catalog = Catalog(load_zoo(root))
    checkpoint = catalog.open("zoo:tiny/digits")
    assert checkpoint.read("w").tolist() == [1, 1, 1]
    assert checkpoint.label == "zoo:tiny/digits"
    assert checkpoint.content() == checkpoint.compute_content()
    assert catalog.open(Ref("zoo", "tiny/digits")).content() == checkpoint.content()


def test_an_unknown_name_is_answered_with_the_closest(root: Path) -> None:
    with pytest.raises(CheckpointError, match="tiny/digit came; did you mean “tiny/digits”"):
        Catalog(load_zoo(root)).open("zoo:tiny/digit")


def test_a_pin_that_fits_opens_and_one_that_does_not_names_both(root: Path) -> None:
    catalog = Catalog(load_zoo(root))
    pinned = catalog.pin("zoo:tiny/digits")
    assert pinned.pin == catalog.open("zoo:tiny/digits").content()[:16]
    assert catalog.open(pinned).ref == pinned and catalog.pin(pinned) == pinned
    wrong = "0" * 16
    with pytest.raises(CheckpointError) as refused:
        catalog.open(f"zoo:tiny/digits@{wrong}")
    assert f"zoo:tiny/digits: the content is {wrong}, but {pinned.pin} came" in str(refused.value)


def test_files_are_refused_where_they_are_not_allowed(root: Path) -> None:
    reference = f"file:{root / 'tiny' / 'base'}"
    with pytest.raises(CheckpointError, match="references to files are allowed here") as refused:
        Catalog(load_zoo(root)).open(reference)
    assert str(root) not in str(refused.value)
    assert Catalog(load_zoo(root), allow_files=True).open(reference).read("w").tolist() == [0, 0, 0]


def test_a_file_is_pinned_by_its_whole_content(root: Path) -> None:
    catalog = Catalog(load_zoo(root), allow_files=True)
    path = root / "tiny" / "base" / "model.safetensors"
    pinned = catalog.pin(f"file:{path}")
    assert pinned.pin == catalog.open("zoo:tiny/base").content()
    assert parse_ref(str(pinned)) == pinned and catalog.open(pinned).ref == pinned
    save_file({"w": torch.full((3,), 9.0)}, path)
    with pytest.raises(CheckpointError, match="file:model.safetensors: the content is .* its content changed"):
        catalog.open(pinned)


def test_a_zoo_checkpoint_that_is_gone_or_damaged_is_named(root: Path) -> None:
    (root / "tiny" / "base" / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="zoo:tiny/base: model.safetensors: only .* a Git LFS pointer"):
        Catalog(load_zoo(root)).open("zoo:tiny/base")


def test_a_checkpoint_that_is_larger_than_is_allowed_is_not_opened(root: Path) -> None:
    assert Catalog(load_zoo(root), largest=12).open("zoo:tiny/base").leaves
    with pytest.raises(CheckpointError, match="a checkpoint has at most 0 MB here.*a Basin of your own"):
        Catalog(load_zoo(root), largest=11).open("zoo:tiny/base")
