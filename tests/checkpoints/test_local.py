"""Folders of checkpoints below a root: what is listed, what opens, and what never does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.local import DEEPEST, LocalFolders
from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.checkpoints.zoo import Zoo
from merging_core.errors import CheckpointError
from tests.checkpoints.build import two_leaves


def checkpoint_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(two_leaves())
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "models"
    for name in ("one", "runs/Two.v2", "a/b/c", "a/b/c/inside", "w/x/y/z", ".hidden", "runs/with space"):
        checkpoint_folder(top / name)
    (top / "empty").mkdir()
    outside = checkpoint_folder(tmp_path / "outside")
    os.symlink(outside, top / "linked")
    (top / "half").mkdir()
    os.symlink(outside / "model.safetensors", top / "half" / "model.safetensors")
    return top


def catalog(root: Path | None) -> Catalog:
    return Catalog(Zoo(Path("none"), (), {}, {}, {}), local=LocalFolders(root) if root is not None else None)


def test_folders_are_listed_by_their_path_and_links_and_odd_names_are_not(root: Path) -> None:
    assert DEEPEST == 3
    assert LocalFolders(root).names() == ("a/b/c", "one", "runs/Two.v2")
    assert LocalFolders(root / "nowhere").names() == ()


def test_a_name_opens_its_folder_and_keeps_its_pin(root: Path) -> None:
    opened = catalog(root).open("local:runs/Two.v2")
    assert (str(opened.ref), opened.label) == ("local:runs/Two.v2", "local:runs/Two.v2")
    pinned = catalog(root).pin("local:one")
    assert pinned.pin == catalog(root).open("local:one").content() and parse_ref(str(pinned)) == pinned
    assert catalog(root).open(pinned).leaves
    with pytest.raises(CheckpointError, match="its content changed since it was pinned"):
        catalog(root).open(Ref("local", "one", "0" * 64))


@pytest.mark.parametrize("name", ["linked", "half", "empty", "ones", "w/x/y", "runs"])
def test_what_is_no_folder_with_a_checkpoint_of_its_own_is_refused(root: Path, name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        catalog(root).open(f"local:{name}").content()
    assert str(root) not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["../one", "/etc", "one/../..", "a/b/c/d", ".hidden", "", "a b", "one/", "a//b", "x" * 300]
)
def test_a_path_that_leads_elsewhere_is_no_reference(path: str) -> None:
    with pytest.raises(CheckpointError):
        parse_ref(f"local:{path}")


def test_without_a_folder_the_sentence_says_how_to_name_one() -> None:
    with pytest.raises(CheckpointError, match="BASIN_MODELS"):
        catalog(None).open("local:one")
