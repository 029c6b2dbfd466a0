"""Labelled texts come out of parquet shards and tables, and become a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from merging_core.errors import EvaluationError
from merging_core.evaluation.sources.texts import open_texts
from merging_core.evaluation.text_tasks import text_classification
from merging_core.evaluation.tokenizing import read_tokenizer
from tests.evaluation.models import write_tokenizer


def write_texts(path: Path, columns: dict[str, list[Any]], names: list[str] | None = None) -> None:
    table = pyarrow.table(columns)
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, path)


def test_shards_of_texts_name_their_classes_and_splits(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        write_texts(
            tmp_path / f"{split}-0.parquet", {"sentence": ["a cat", "a dog"] * 6, "label": [0, 1] * 6}, ["no", "yes"]
        )
    found = open_texts(tmp_path)
    assert found.classes == ("no", "yes") and set(found.splits) == {"train", "validation", "test"}
    assert found.splits["test"][:2] == (("a cat", 0), ("a dog", 1))
    write_tokenizer(tmp_path)
    task = text_classification(found.name, found.classes, found.splits, read_tokenizer(tmp_path), source=found.source)
    assert {split: len(rows) for split, rows in task.splits.items()}["test"] == 12
    assert len(task.splits["train"]) + len(task.splits["calibration"]) == 12


def test_pairs_of_texts_are_read_together(tmp_path: Path) -> None:
    columns = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": ["x", "y"]}
    write_texts(tmp_path / "x.parquet", columns)
    assert open_texts(tmp_path / "x.parquet").splits["all"] == ((("a", "c"), 0), (("b", "d"), 1))


def test_a_table_of_texts_may_name_splits(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('text,label,split\n"a, b",glad,train\nc,sad,test\n', encoding="utf-8")
    found = open_texts(tmp_path / "x.csv")
    assert (found.classes, found.splits) == (("glad", "sad"), {"train": (("a, b", 0),), "test": (("c", 1),)})
    plain = open_texts(tmp_path / "x.csv", text="split", label="text")
    assert plain.splits["train"] == (("train", 0),)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"label": [0, 1]}, "there is a column of texts, but none that is named so came"),
        ({"text": ["a", "b"], "label": [0, -1]}, "labels are from 0 to 1, but -1 came"),
        ({"text": ["a", "b"], "label": [-1, -1]}, "leave this split out"),
        ({"text": [1, 2], "label": [0, 1]}, "texts are texts, but int came"),
        ({"text": ["a", None], "label": [0, 1]}, "row 1: text: every row has a value, but none came"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(columns: dict[str, list[Any]], sentence: str, tmp_path: Path) -> None:
    write_texts(tmp_path / "x.parquet", columns, ["no", "yes"])
    with pytest.raises(EvaluationError) as caught:
        open_texts(tmp_path)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", ["text,label\na", "text,label,split\na,b,extra", "text,label\na,b,c"])
def test_a_row_that_does_not_fit_its_table_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError, match="x.csv: row 2: a row has one value a column"):
        open_texts(tmp_path / "x.csv")


def test_numbers_without_names_ask_for_them(tmp_path: Path) -> None:
    write_texts(tmp_path / "x.parquet", {"text": ["a", "b"], "label": [0, 1]})
    with pytest.raises(EvaluationError, match="class names are in the metadata or given"):
        open_texts(tmp_path)
    assert open_texts(tmp_path, classes=("no", "yes")).classes == ("no", "yes")
