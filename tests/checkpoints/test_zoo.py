"""The embedded zoo is what its manifest says, and what is wrong with a zoo is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from merging_core.checkpoints.zoo import Zoo, embedded_zoo_root, load_zoo
from merging_core.errors import CheckpointError


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return load_zoo()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the small family, with a manifest that lists nothing else."""
    whole = json.loads((embedded_zoo_root() / "manifest.json").read_text(encoding="utf-8"))
    mine = [name for name in whole["files"] if "basins/" in name]
    refs = [ref for ref in whole["checkpoints"] if ref.startswith("zoo:basins/")]
    for name in mine:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(embedded_zoo_root() / name, tmp_path / name)
    small = {
        "version": 1,
        "families": [row for row in whole["families"] if row["name"] == "basins"],
        "checkpoints": {ref: whole["checkpoints"][ref] for ref in refs},
        "accuracies": {ref: whole["accuracies"][ref] for ref in refs},
        "files": {name: whole["files"][name] for name in mine},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(small), encoding="utf-8")
    return tmp_path


def change(root: Path, edit: Callable[[dict[str, object]], object]) -> None:
    """Edit the manifest of a copied zoo."""
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    edit(manifest)
    (root / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_the_embedded_zoo_is_whole(zoo: Zoo) -> None:
    assert zoo.verify() == ()


def test_the_zoo_is_small_enough_to_embed(zoo: Zoo) -> None:
    assert sum(file.bytes for file in zoo.files.values()) < 40e6


def test_the_tiny_family_has_a_base_and_six_experts_with_a_task_each(zoo: Zoo) -> None:
    tiny = zoo.family("tiny")
    assert zoo.checkpoint(tiny.base.removeprefix("zoo:")).role == "base"
    assert len(tiny.experts) >= 6
    assert sorted(tiny.expert_task.values()) == sorted(tiny.tasks)
    assert {zoo.checkpoint(expert.removeprefix("zoo:")).role for expert in tiny.experts} == {"expert"}


def test_every_checkpoint_is_scored_on_every_task_of_its_family(zoo: Zoo) -> None:
    for path, checkpoint in zoo.checkpoints.items():
        scored = zoo.accuracies[path]
        assert set(scored) == set(zoo.family(checkpoint.family).tasks)
        for splits in scored.values():
            assert set(splits) == {"validation", "test"}
            assert all(0 <= value.accuracy <= 1 and value.n >= 200 for value in splits.values())


def test_folders_lead_to_files_that_are_there(zoo: Zoo) -> None:
    assert (zoo.folder("tiny/digits") / "model.safetensors").is_file()
    assert (zoo.task_folder("tiny/digits") / "task.json").is_file()


def test_the_content_digest_is_the_one_the_reader_computes(zoo: Zoo) -> None:
    reader = pytest.importorskip("merging_core.checkpoints.reader")
    ref = pytest.importorskip("merging_core.checkpoints.ref")
    for path in ("tiny/base", "basins/left"):
        opened = reader.open_checkpoint(zoo.folder(path), ref.Ref("zoo", path))
        assert opened.content() == zoo.content(path)


def test_the_zoo_is_json(zoo: Zoo) -> None:
    shown = json.loads(json.dumps(zoo.as_json()))
    assert shown["checkpoints"]["zoo:tiny/base"]["content"] == zoo.content("tiny/base")
    assert shown["families"][0]["experts"] == list(zoo.families[0].experts)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda zoo: zoo.folder("tiny/digit"), "the zoo holds the checkpoint, but tiny/digit came; did you mean"),
        (lambda zoo: zoo.content("tiny/digit"), "the zoo holds the checkpoint, but tiny/digit came; did you mean"),
        (lambda zoo: zoo.task_folder("tiny/digit"), "the zoo holds the task, but tiny/digit came; did you mean"),
        (lambda zoo: zoo.family("tny"), "the zoo holds the family, but tny came; did you mean “tiny”"),
    ],
)
def test_an_unknown_name_gives_the_closest(zoo: Zoo, ask: Callable[[Zoo], object], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        ask(zoo)


def test_a_missing_an_extra_a_longer_and_a_changed_file_are_all_found_at_once(copied: Path) -> None:
    assert load_zoo(copied).verify() == ()
    (copied / "basins/left/README.md").unlink()
    (copied / "basins/right/extra.txt").write_text("more", encoding="utf-8")
    with (copied / "basins/right/config.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    weights = copied / "basins/start/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    found = {problem.where: str(problem) for problem in load_zoo(copied).verify()}
    assert sorted(found) == [
        "basins/left/README.md",
        "basins/right/config.json",
        "basins/right/extra.txt",
        "basins/start/model.safetensors",
    ]
    assert "nothing came" in found["basins/left/README.md"]
    assert "is not came" not in found["basins/right/config.json"] and "bytes" in found["basins/right/config.json"]
    assert "sha256" in found["basins/start/model.safetensors"]


def test_a_wrong_content_digest_is_found(copied: Path) -> None:
    change(copied, lambda manifest: manifest["checkpoints"]["zoo:basins/left"].update(content="0" * 64))
    (problem,) = load_zoo(copied).verify()
    assert problem.where == "basins/left/model.safetensors" and "content digest" in problem.must


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda manifest: manifest.update(version=2), "of version 1, but 2 came"),
        (lambda manifest: manifest.pop("families"), "KeyError: 'families'"),
        (lambda manifest: manifest["checkpoints"].pop("zoo:basins/left"), "no checkpoint zoo:basins/left"),
        (
            lambda manifest: manifest["files"].update({"../passwd": {"sha256": "", "bytes": 0}}),
            "leads out of the zoo",
        ),
        (lambda manifest: manifest["checkpoints"]["zoo:basins/left"].update(path="/etc"), "leads out of the zoo"),
    ],
)
def test_a_manifest_that_is_not_one_is_refused(
    copied: Path, edit: Callable[[dict[str, object]], object], sentence: str
) -> None:
    change(copied, edit)
    with pytest.raises(CheckpointError, match=sentence):
        load_zoo(copied)


def test_a_zoo_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the zoo has a manifest"):
        load_zoo(tmp_path)
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match="the manifest is JSON"):
        load_zoo(tmp_path)
