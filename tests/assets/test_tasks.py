"""The tasks of the zoo keep to their format, and no image is in two splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
from PIL import Image
from safetensors.numpy import load_file

from assets.build.taskfiles import content_keys, read_task
from assets.build.tasks import digit_rows
from merging_core.checkpoints.zoo import embedded_zoo_root

SPLITS = ("train", "calibration", "validation", "test")


def task_folders() -> list[Path]:
    """Return the folders of all tasks."""
    return sorted(path.parent for path in (embedded_zoo_root() / "tasks").glob("*/*/task.json"))


@pytest.fixture(params=task_folders(), ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_a_task_says_what_it_must(folder: Path) -> None:
    info = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    assert info["name"] == f"{folder.parent.name}/{folder.name}"
    for key in ("title", "description", "licence", "source"):
        assert info[key]
    assert info["metric"] == "accuracy" and info["channels"] == 1 and info["std"] > 0
    assert tuple(info["splits"]) == SPLITS
    assert len(set(info["classes"])) == len(info["classes"]) >= 2


def test_sheets_hold_the_tiles_that_are_listed(folder: Path) -> None:
    info = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    side = info["image_size"]
    for split in info["splits"].values():
        with Image.open(folder / split["file"]) as sheet:
            assert sheet.mode == "L"
            assert sheet.size == (32 * side, -(-split["n"] // 32) * side)
            pixels = numpy.asarray(sheet)
        if split["n"] % 32:
            assert not pixels[-side:, (split["n"] % 32) * side :].any()


def test_labels_are_there_but_for_calibration_and_every_class_is_seen(folder: Path) -> None:
    info = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    for name, split in info["splits"].items():
        if name == "calibration":
            assert "labels" not in split
        else:
            assert len(split["labels"]) == split["n"]
            assert set(split["labels"]) == set(range(len(info["classes"])))


def test_splits_are_large_enough(folder: Path) -> None:
    sizes = {name: split["n"] for name, split in json.loads((folder / "task.json").read_text())["splits"].items()}
    assert sizes["train"] >= 600 and sizes["calibration"] >= 200
    assert sizes["validation"] >= 200 and sizes["test"] >= 300


def test_no_image_is_in_two_splits(folder: Path) -> None:
    splits = read_task(folder).splits
    seen: dict[str, str] = {}
    for name, split in splits.items():
        for key in content_keys(split.images.numpy()):
            assert seen.setdefault(key, name) == name


def test_the_digits_of_the_splits_are_different_digits() -> None:
    """The rotated digits cannot be compared by content, so the division of the 1 797 originals is checked."""
    manifest = json.loads((embedded_zoo_root() / "manifest.json").read_text(encoding="utf-8"))
    rows = digit_rows(manifest["build"]["seed"])
    together = numpy.concatenate([rows[split] for split in SPLITS])
    assert sorted(together.tolist()) == list(range(1797))


def test_a_prototype_head_has_a_unit_row_for_each_class(folder: Path) -> None:
    info = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    if info["head"]["kind"] == "own":
        assert not (folder / "head.safetensors").exists()
        return
    head = load_file(folder / info["head"]["file"])
    assert list(head) == ["prototypes"] and head["prototypes"].dtype == numpy.float32
    assert head["prototypes"].shape[0] == len(info["classes"])
    assert numpy.linalg.norm(head["prototypes"], axis=1) == pytest.approx(1, abs=1e-5)
    assert info["head"]["scale"] > 0


def test_all_validation_splits_together_can_be_evaluated_live() -> None:
    folders = task_folders()
    sizes = [json.loads((folder / "task.json").read_text())["splits"]["validation"]["n"] for folder in folders]
    assert sum(sizes) <= 1800
