from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from merging_core.errors import EvaluationError
from merging_core.evaluation.heads import OwnHead, PrototypeHead
from merging_core.evaluation.loading import load_task, read_sheet


def problems(folder: Path) -> list[str]:
    with pytest.raises(EvaluationError) as caught:
        load_task(folder)
    return [str(problem) for problem in caught.value.problems]


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    info = json.loads((folder / "task.json").read_text())
    edit(info)
    (folder / "task.json").write_text(json.dumps(info))


def test_a_task_has_the_images_that_its_sheets_show(task_folder: Path) -> None:
    task = load_task(task_folder)
    assert (task.name, task.title, len(task.classes)) == ("small/five", "Five", 5)
    for split, n in {"train": 40, "calibration": 33, "validation": 50, "test": 36}.items():
        sheet = numpy.asarray(Image.open(task_folder / f"{split}.png"))
        images = task.splits[split].images
        assert images.dtype == torch.uint8 and images.shape == (n, 1, 8, 8)
        for index in range(n):
            y, x = index // 32 * 8, index % 32 * 8
            assert (images[index, 0].numpy() == sheet[y : y + 8, x : x + 8]).all()


def test_a_prototype_head_holds_the_file_s_prototypes_and_the_scale(task_folder: Path) -> None:
    head = load_task(task_folder).head
    assert isinstance(head, PrototypeHead) and head.scale == 20.0
    assert torch.equal(head.prototypes, load_file(task_folder / "head.safetensors")["prototypes"])


def test_a_model_may_bring_its_own_head(rewritten: Callable[..., Path]) -> None:
    assert load_task(rewritten(head={"kind": "own"})).head == OwnHead()


def test_pixels_are_scaled_to_one_and_then_normalised(task_folder: Path) -> None:
    task = load_task(task_folder)
    images = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)
    assert torch.allclose(task.pixels(images), torch.tensor([[[[-2.0, 2.0, -1.2]]]]))


def test_calibration_has_no_labels_and_cannot_be_scored(task_folder: Path) -> None:
    task = load_task(task_folder)
    assert task.splits["calibration"].labels is None
    with pytest.raises(EvaluationError, match="only a labelled split can be scored, but calibration"):
        task.labels("calibration")
    with pytest.raises(EvaluationError, match="did you mean “validation”"):
        task.labels("validaton")


def test_all_problems_are_told_at_once(rewritten: Callable[..., Path]) -> None:
    folder = rewritten(std=0, metric="f1", classes=["a", "a"], licenze="MIT")
    told = "\n".join(problems(folder))
    for part in ("std is a number above 0", "metric is “accuracy”", "classes is a list", "did you mean “licence”"):
        assert part in told
    assert all(line.startswith("small/five: ") for line in told.splitlines())


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda info: info["splits"]["test"].update(n=0, labels=[]), "a split has 1 to 100000 examples, but 0 came"),
        (lambda info: info["splits"]["test"].update(labels=[0] * 35), "36 examples have as many labels, but 35 came"),
        (lambda info: info["splits"]["test"]["labels"].__setitem__(3, 5), "labels are whole numbers from 0 to 4"),
        (lambda info: info["splits"]["test"]["labels"].__setitem__(3, True), "labels are whole numbers from 0 to 4"),
        (lambda info: info["splits"]["test"].pop("labels"), "labels are whole numbers from 0 to 4, but None came"),
        (lambda info: info["splits"]["calibration"].update(labels=[0] * 33), "calibration has inputs only"),
        (lambda info: info["splits"]["test"].update(file="../test.png"), "a plain name in the task's folder"),
        (
            lambda info: info["splits"]["test"].update(n=100, labels=[0] * 100),
            "100 tiles of 8 × 8 pixels measures 256 × 32",
        ),
        (lambda info: info["splits"].pop("test"), "splits is an object of train, calibration, validation, test"),
        (lambda info: info.update(image_size=True), "image_size is a whole number"),
        (lambda info: info["head"].update(kind="text"), "a head is “prototype” or “own”, but 'text' came"),
        (lambda info: info["head"].update(scale=-1), "scale is a number above 0, but -1 came"),
        (lambda info: info["head"].update(file="no.safetensors"), "no.safetensors"),
        (lambda info: info.update(classes=list("abcdef")), "6 classes have as many prototypes, but 5 came"),
    ],
)
def test_a_wrong_task_is_refused_in_a_sentence(
    task_folder: Path, edit: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    change(task_folder, edit)
    assert any(sentence in told for told in problems(task_folder))


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"prototypes": torch.ones(5, 6)}, "prototypes have length 1"),
        ({"prototypes": torch.full((5, 6), float("nan"))}, "prototypes have length 1"),
        ({"prototypes": torch.ones(5, 6, dtype=torch.float16)}, "float32 [classes, width]"),
        ({"prototypes": torch.ones(5)}, "float32 [classes, width]"),
        ({"weights": torch.ones(5, 6)}, "float32 [classes, width]"),
    ],
)
def test_a_wrong_head_is_refused(task_folder: Path, tensors: dict[str, torch.Tensor], sentence: str) -> None:
    save_file(tensors, task_folder / "head.safetensors")
    assert any(sentence in told for told in problems(task_folder))


@pytest.mark.parametrize("damage", ["text", "truncated", "colour", "missing", "link", "large"])
def test_a_damaged_sheet_is_refused(task_folder: Path, damage: str) -> None:
    path = task_folder / "test.png"
    data = path.read_bytes()
    if damage == "text":
        path.write_bytes(b"not a picture")
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "colour":
        Image.new("RGB", (256, 16)).save(path)
    elif damage == "large":
        head = b"IHDR" + struct.pack(">II", 60_000, 60_000) + data[24:29]
        path.write_bytes(data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:])
    else:
        path.unlink()
        if damage == "link":
            os.mkfifo(path)
    assert any("test.png" in told for told in problems(task_folder))


def test_a_missing_or_broken_description_is_refused(tmp_path: Path) -> None:
    assert "task.json" in problems(tmp_path)[0]
    (tmp_path / "task.json").write_text("{")
    assert "JSON" in problems(tmp_path)[0]


def test_one_tile_is_a_sheet_too(tmp_path: Path) -> None:
    Image.new("L", (32 * 4, 4), 9).save(tmp_path / "one.png")
    assert read_sheet(tmp_path / "one.png", 1, 4).tolist() == [[[[9] * 4] * 4]]
