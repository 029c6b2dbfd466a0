"""Pictures in parquet shards, tables and folders become tasks with four disjoint splits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from merging_core.errors import CancelledError, EvaluationError
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.picture_tasks import picture_task
from merging_core.evaluation.preprocessing import preprocessing
from merging_core.evaluation.sources.folders import open_class_folders, open_table
from merging_core.evaluation.sources.parquet import open_parquet
from merging_core.evaluation.sources.pictures import PictureSet
from merging_core.evaluation.tasks import SPLITS, Task
from tests.evaluation.test_preprocessing import encoded

PLAIN = preprocessing({"image_processor_type": "ViTImageProcessor", "size": 8, "resample": 0})
CLASSES = ("cat", "dog", "owl")


def tile(label: int, index: int) -> bytes:
    """A picture of 8 × 8 whose colour says its label and its index."""
    return encoded(Image.fromarray(numpy.full((8, 8, 3), (label * 40, index % 256, index // 256), numpy.uint8)))


def labels_of(n: int) -> list[int]:
    return [index % 3 for index in range(n)]


def write_shard(path: Path, labels: list[Any], start: int = 0, **changes: Any) -> None:
    """Write a shard as the Hub's datasets have it; `changes` alter the form."""
    rows = [tile(label if isinstance(label, int) else 0, start + place) for place, label in enumerate(labels)]
    wrapped = changes.get("wrapped", True)
    images = [{"bytes": row, "path": f"{place}.png"} for place, row in enumerate(rows)] if wrapped else rows
    table = pyarrow.table({changes.get("image", "image"): images, changes.get("label", "label"): labels})
    names = changes.get("names", list(CLASSES))
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    if changes.get("features", True):
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path, row_group_size=7)


def written(labels: list[Any], stem: str = "x", **changes: Any) -> Callable[[Path], None]:
    return lambda folder: write_shard(folder / f"{stem}.parquet", labels, **changes)


def truths(task: Task) -> dict[str, list[tuple[int, int]]]:
    """Say which (label, index) the pixels of each split show."""
    return {
        split: [(int(one[0, 0, 0]) // 40, int(one[1, 0, 0]) + 256 * int(one[2, 0, 0])) for one in found.images]
        for split, found in task.splits.items()
    }


def test_shards_with_splits_keep_them_and_the_rest_is_made_from_train(tmp_path: Path) -> None:
    write_shard(tmp_path / "data" / "train-00000-of-00002.parquet", labels_of(30))
    write_shard(tmp_path / "data" / "train-00001-of-00002.parquet", labels_of(30), start=30)
    write_shard(tmp_path / "data" / "test-00000-of-00001.parquet", labels_of(9), start=500)
    found = open_parquet(tmp_path)
    assert found.classes == CLASSES and set(found.splits) == {"train", "test"}
    task = picture_task(found, PLAIN, OwnHead(), seed=3)
    shown = truths(task)
    assert list(task.splits) == list(SPLITS)
    assert sorted(index for split in ("train", "calibration", "validation") for _, index in shown[split]) == list(
        range(60)
    )
    assert [index for _, index in shown["test"]] == list(range(500, 509))
    for split, rows in shown.items():
        known = task.splits[split].labels
        assert (known is None) == (split == "calibration")
        assert known is None or known.tolist() == [label for label, _ in rows]
    assert task.description == (
        "Test as the source divides them; train, calibration and validation made from its train split by seed 3, "
        "class by class."
    )


def test_shards_without_splits_are_divided_by_seed_and_say_so(tmp_path: Path) -> None:
    write_shard(tmp_path / "part-0.parquet", labels_of(40))
    write_shard(tmp_path / "part-1.parquet", labels_of(40), start=40)
    task = picture_task(open_parquet(tmp_path), PLAIN, OwnHead())
    shown = truths(task)
    assert sorted(index for rows in shown.values() for _, index in rows) == list(range(80))
    assert {split: pytest.approx(len(rows), abs=3) for split, rows in shown.items()} == {
        "train": 40, "calibration": 8, "validation": 16, "test": 16,
    }  # fmt: skip
    assert "made from the source by seed 0" in task.description
    again = picture_task(open_parquet(tmp_path), PLAIN, OwnHead())
    other = picture_task(open_parquet(tmp_path), PLAIN, OwnHead(), seed=1)
    assert truths(again) == shown and truths(other) != shown


@pytest.mark.parametrize(
    "changes",
    [{"wrapped": False}, {"features": False, "image": "img"}, {"features": False, "wrapped": False}],
)
def test_other_forms_of_a_shard_are_read(changes: dict[str, Any], tmp_path: Path) -> None:
    write_shard(tmp_path / "one.parquet", labels_of(30), **changes)
    found = open_parquet(tmp_path / "one.parquet", classes=CLASSES)
    assert [data[:4] for data in found.splits["all"].read([0, 29])] == [b"\x89PNG"] * 2
    assert next(iter(found.splits["all"].read([28]))) == tile(1, 28)


def test_labels_that_are_texts_name_their_classes(tmp_path: Path) -> None:
    write_shard(tmp_path / "one.parquet", ["b", "a", "c", "a"] * 5, features=False)
    found = open_parquet(tmp_path)
    assert (found.classes, found.splits["all"].labels[:4]) == (("a", "b", "c"), (1, 0, 2, 0))


def test_only_the_shards_that_hold_a_wanted_picture_are_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "part-0.parquet", labels_of(20))
    write_shard(tmp_path / "part-1.parquet", labels_of(20), start=20)
    found = open_parquet(tmp_path)
    (tmp_path / "part-0.parquet").unlink()
    assert list(found.splits["all"].read([25, 39])) == [tile(2, 25), tile(1, 39)]


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda path: (path / "x.parquet").write_bytes(b"PAR1 nothing"), "a shard is a parquet file that can be read"),
        (lambda path: None, "a folder holds 1 to 4,096 parquet shards, but 0 files"),
        (written([0, 1, 7]), "labels of all are from 0 to 2, but 7 came"),
        (written([-1, -1, -1], "test"), "leave this split out"),
        (written([0, None, 1]), "row 1: label: every row has a value, but none came"),
        (written([0, 1], features=False), "class names are in the metadata or given"),
        (written([0, 1], features=False, label="y"), "there is a column of labels"),
        (written([0.5, 1.5]), "labels are whole numbers or texts, but double came"),
        (written([0, 0], names=["only"]), "there are 2 to 30,000 classes, but 1 came"),
        (written([0, 1], names=["a", "a"]), "class names differ"),
        (lambda path: (written([0, 1], "train")(path), written([0, 1])(path)),
         "all shards belong to a split, or none, but x.parquet came"),
    ],
)  # fmt: skip
def test_shards_that_cannot_be_a_task_are_refused(write: Callable[[Path], Any], sentence: str, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(EvaluationError) as caught:
        open_parquet(tmp_path)
    assert sentence in str(caught.value)


def test_a_damaged_shard_is_refused_or_read_and_never_anything_else(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.parquet", labels_of(30))
    data, random, refused = (tmp_path / "x.parquet").read_bytes(), numpy.random.default_rng(3), 0
    for _ in range(200):
        broken = bytearray(data)
        for place in random.integers(0, len(data), 3):
            broken[place] ^= 1 << int(random.integers(8))
        (tmp_path / "x.parquet").write_bytes(
            broken[: random.integers(1, len(data))] if random.random() < 0.2 else broken
        )
        try:
            pool = open_parquet(tmp_path).splits["all"]
            assert len(list(pool.read(range(len(pool.labels))))) == len(pool.labels)
        except EvaluationError:
            refused += 1
    assert refused > 50


def test_a_shard_that_only_names_files_is_refused_when_read(tmp_path: Path) -> None:
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    images = pyarrow.array([{"bytes": None, "path": "a.png"}] * 8, type=kind)
    pyarrow.parquet.write_table(pyarrow.table({"image": images, "label": ["a", "b"] * 4}), tmp_path / "x.parquet")
    with pytest.raises(EvaluationError, match="a picture's bytes are in the shard"):
        list(open_parquet(tmp_path).splits["all"].read([0]))


def class_folders(folder: Path, n: int = 12) -> Path:
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(n):
            (folder / name / f"{index:03}.png").write_bytes(tile(label, index))
    (folder / CLASSES[0] / "notes.txt").write_text("not a picture")
    (folder / CLASSES[0] / ".hidden.png").write_bytes(b"x")
    return folder


def test_folders_name_the_classes_of_their_pictures(tmp_path: Path) -> None:
    found = open_class_folders(class_folders(tmp_path / "pets"))
    assert (found.name, found.classes, set(found.splits)) == ("pets", CLASSES, {"all"})
    shown = truths(picture_task(found, PLAIN, OwnHead()))
    assert sorted(row for rows in shown.values() for row in rows) == [
        (label, i) for label in range(3) for i in range(12)
    ]


def test_folders_may_be_divided_already(tmp_path: Path) -> None:
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "val", 2)
    found = open_class_folders(tmp_path)
    assert {split: len(pictures.labels) for split, pictures in found.splits.items()} == {"train": 36, "validation": 6}


def table_of(folder: Path, text: str) -> PictureSet:
    (folder / "table.csv").write_text(text, encoding="utf-8")
    return open_table(folder / "table.csv", folder)


def test_a_table_names_paths_and_labels(tmp_path: Path) -> None:
    class_folders(tmp_path)
    rows = [f"{name}/{index:03}.png,{name}" for name in CLASSES for index in range(12)]
    found = table_of(tmp_path, "path,label\n" + "\n".join(rows))
    shown = truths(picture_task(found, PLAIN, OwnHead()))
    assert sorted(row for rows in shown.values() for row in rows) == [
        (label, i) for label in range(3) for i in range(12)
    ]
    split = table_of(tmp_path, "label,path,split\ncat,cat/000.png,train\ndog,dog/000.png,test\n")
    assert {name: pictures.labels for name, pictures in split.splits.items()} == {"train": (0,), "test": (1,)}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,label\n../secret.png,cat\na.png,dog", "row 2: a path is relative and stays in its folder"),
        ("path,label\n/etc/passwd,cat\na.png,dog", "a path is relative"),
        ("path,label\na\\b.png,cat\na.png,dog", "a path is relative"),
        ("path,label\na.png,\nb.png,dog", "a label is one of the classes, but nothing came"),
        ("file,kind\na.png,cat", "the first line names the columns path and label, but file, kind came"),
        ("", "the first line names the columns path and label, but nothing came"),
        ("path,label\n", "there are 1 to 2,000,000 pictures, but 0 came"),
        ('path,label\n"a.png,cat', "the table is CSV"),
        ("path,label,split\na.png,cat,extra\nb.png,dog,train", "a split is train, validation or test, but extra came"),
    ],
)
def test_a_table_that_cannot_be_a_task_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError) as caught:
        table_of(tmp_path, text)
    assert sentence in str(caught.value)


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "pets")
    (tmp_path / "secret.png").write_bytes(tile(0, 99))
    (folder / "cat" / "000.png").unlink()
    (folder / "cat" / "000.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(EvaluationError, match="a link that leads out of its folder"):
        picture_task(open_class_folders(folder), PLAIN, OwnHead())


def test_fewer_examples_are_taken_class_by_class_and_it_is_said(tmp_path: Path) -> None:
    found = open_class_folders(class_folders(tmp_path / "pets", 40))
    task = picture_task(found, PLAIN, OwnHead(), at_most={"validation": 9, "train": 12})
    labels = task.labels("validation").tolist()
    assert 6 <= len(labels) <= 9 and {labels.count(label) for label in range(3)} <= {2, 3, 4}
    assert "validation" in task.description and "kept" in task.description


def test_a_split_without_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="every split has an example, but none came"):
        picture_task(open_class_folders(class_folders(tmp_path / "pets", 1)), PLAIN, OwnHead(), at_most={"test": 0})


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "pets")
    (folder / "dog" / "005.png").write_bytes(b"broken")
    with pytest.raises(EvaluationError, match="pets: all: picture 17: a picture is a whole file"):
        picture_task(open_class_folders(folder), PLAIN, OwnHead())


def test_reading_tells_how_far_it_is_and_can_be_stopped(tmp_path: Path) -> None:
    found, told = open_class_folders(class_folders(tmp_path / "pets", 40)), []
    picture_task(found, PLAIN, OwnHead(), progress=lambda done, of: told.append((done, of)))
    assert told == [(64, 120), (120, 120)]
    with pytest.raises(CancelledError):
        picture_task(found, PLAIN, OwnHead(), cancelled=lambda: len(told) > 1)


def test_the_channels_are_normalised_one_by_one(tmp_path: Path) -> None:
    config = {
        "image_processor_type": "ViTImageProcessor",
        "size": 8,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [1, 2, 4],
    }
    task = picture_task(open_class_folders(class_folders(tmp_path / "pets")), preprocessing(config), OwnHead())
    found = task.pixels(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8))[0, :, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0.9, 0.4, 0.175]))
