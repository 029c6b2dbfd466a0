"""Labelled texts, or pairs of texts, in parquet shards or in a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from merging_core.errors import EvaluationError, Problem, closest
from merging_core.evaluation.sources.pictures import ALL, canonical_split, picture_bytes
from merging_core.evaluation.sources.shards import (
    column_of_kind,
    column_values,
    features_of,
    numbered,
    opened,
    shards_by_split,
)

__all__ = ["TEXT_COLUMNS", "LabelledTexts", "open_texts"]

_TABLE_BYTES = 1 << 27
_TEXTS = ("text", "sentence", "sentence1", "premise", "question", "content")
_SECONDS = ("sentence2", "hypothesis")
TEXT_COLUMNS = (_TEXTS, _SECONDS)
"""What columns of texts, and of second texts, are usually called; the first that is there is taken."""


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """Class names, and (text, label) by split (`ALL` alone where the source has none)."""

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[tuple[str | tuple[str, str], int], ...]]
    source: str


def open_texts(
    path: Path,
    *,
    shards: Mapping[str, Sequence[Path]] | None = None,
    text: str | None = None,
    second: str | None = None,
    label: str | None = None,
    classes: Sequence[str] | None = None,
) -> LabelledTexts:
    """Read labelled texts out of a CSV file, a parquet file or a folder of parquet shards (`shards`: by split).

    `text`, `second`, `label`: names of columns; by default the text is `text`, `sentence`, `sentence1`, `premise`,
    `question` or `content`, whichever is first there, paired with `sentence2` or `hypothesis` if there is one, and the
    label is the column that the shards' `huggingface` features mark as a class label, or `label`. A CSV file may have a
    column `split`. Examples labelled −1, as the Hub marks those whose label is withheld, are refused.
    Raises EvaluationError with what is wrong.
    """
    if path.suffix.lower() == ".csv":
        columns, splits = _table(path)
        tables, features = {split: [rows] for split, rows in splits.items()}, {}
    else:
        found = shards_by_split(path) if shards is None else shards
        with opened(next(iter(found.values()))[0]) as file:
            columns, features = list(file.schema_arrow.names), features_of(file.schema_arrow.metadata)
        tables = {split: list(files) for split, files in found.items()}
    picked = {
        "texts": text or next((name for name in _TEXTS if name in columns), ""),
        "labels": label or column_of_kind(features, "ClassLabel") or ("label" if "label" in columns else ""),
    }
    paired = second or next((name for name in _SECONDS if name in columns), None)
    wanted = picked | ({"second texts": paired} if paired is not None else {})
    problems = [
        Problem(f"there is a column of {what}", name or "none that is named so", path.name, closest(name, columns))
        for what, name in wanted.items()
        if name not in columns
    ]
    if problems:
        raise EvaluationError(*problems)
    read = {
        what: {split: [value for one in files for value in _values(one, name)] for split, files in tables.items()}
        for what, name in wanted.items()
    }
    said = features.get(picked["labels"], {}).get("names")
    known = list(classes) if classes is not None else said if isinstance(said, list) else None
    names, labels = numbered(read["labels"], known, classes, path.name)
    splits_found = {}
    for split, numbers in labels.items():
        columns_of = [read["texts"][split], *([read["second texts"][split]] if paired is not None else [])]
        odd = [value for column in columns_of for value in column if not isinstance(value, str)]
        if odd:
            raise EvaluationError(Problem("texts are texts", type(odd[0]).__name__, f"{path.name}: {split}"))
        outside = [number for number in numbers if not 0 <= number < len(names)]
        if outside:
            fix = "leave this split out" if set(outside) == {-1} else ""
            raise EvaluationError(Problem(f"labels are from 0 to {len(names) - 1}", str(outside[0]), split, fix))
        texts = [row[0] if len(row) == 1 else (row[0], row[1]) for row in zip(*columns_of, strict=True)]
        splits_found[split] = tuple(zip(texts, numbers, strict=True))
    return LabelledTexts(path.stem, names, splits_found, path.name)


def _values(table: Path | Mapping[str, list[Any]], column: str) -> list[Any]:
    return column_values(table, column) if isinstance(table, Path) else table[column]


def _table(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Return the columns of a CSV file, and its values by split and column."""
    data = picture_bytes(path, path.parent, _TABLE_BYTES)
    if len(data) > _TABLE_BYTES:
        raise EvaluationError(Problem(f"a table has at most {_TABLE_BYTES:,} bytes", "more", path.name))
    try:
        reader = csv.DictReader(StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        columns = list(reader.fieldnames or [])
        rows = list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise EvaluationError(Problem("the table is CSV in UTF-8", str(error)[:80], path.name)) from None
    found: dict[str, dict[str, list[Any]]] = {}
    for line, row in enumerate(rows, 2):
        split = canonical_split((row.get("split") or "").strip()) if "split" in columns else ALL
        if split is None or None in row or None in row.values():
            must = "a row has one value a column, and its split is train, validation or test"
            raise EvaluationError(Problem(must, "another", f"{path.name}: row {line}"))
        values = found.setdefault(split, {name: [] for name in columns})
        for name in columns:
            values[name].append(row[name])
    return columns, found or {ALL: {name: [] for name in columns}}
