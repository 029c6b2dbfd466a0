"""Data in a folder that whoever runs Basin names: where a name leads, what lies there, and opening it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from merging_core.checkpoints.files import open_regular
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, EvaluationError, Problem, closest
from merging_core.evaluation.sources.folders import open_class_folders, open_table
from merging_core.evaluation.sources.parquet import open_parquet
from merging_core.evaluation.sources.pictures import PictureSet
from merging_core.evaluation.splitting import portion
from merging_core.evaluation.text_tasks import Text

__all__ = ["columns_of_table", "limited", "local_data", "local_names", "open_pictures", "table_in"]

_FILES = (".csv", ".parquet")
_MOST = 200
_HEAD_LINE = 1 << 16

Labelled = tuple[Text, int]


def local_names(root: Path) -> tuple[str, ...]:
    """Return the names of the folders and files at the top of a root that can be data, in order, at most 200."""
    return tuple(sorted(_names(root)))[:_MOST]


def local_data(root: Path, name: str) -> Path:
    """Return the folder or file of a name; links are never followed.

    Raises EvaluationError, with the closest name, where there is none.
    """
    path = root
    try:
        for part in Ref("local", name).path.split("/"):
            path /= part
            if path.is_symlink() or not path.exists():
                raise _unknown(root, name)
    except CheckpointError as error:
        raise EvaluationError(*error.problems) from None
    if not path.is_dir() and path.suffix.lower() not in _FILES:
        raise _unknown(root, name)
    return path


def open_pictures(
    source: Path,
    shards: Mapping[str, Sequence[Path]] | None,
    *,
    image: str | None,
    label: str | None,
    classes: Sequence[str] | None,
) -> PictureSet:
    """List the pictures of parquet shards, of a table beside its pictures, or of one folder a class."""
    if shards is not None or source.suffix.lower() == ".parquet" or _holds_parquet(source):
        return open_parquet(source, shards=shards, image=image, label=label, classes=classes)
    if source.suffix.lower() == ".csv":
        return open_table(source, source.parent, classes=classes)
    table = table_in(source)
    return open_table(table, source, classes=classes) if table is not None else open_class_folders(source)


def table_in(folder: Path) -> Path | None:
    """Return the table of paths and labels at the top of a folder of pictures; None where there is none, or several."""
    tables = [path for path in folder.iterdir() if path.suffix.lower() == ".csv" and not path.name.startswith(".")]
    return tables[0] if len(tables) == 1 and {"path", "label"} <= set(columns_of_table(tables[0])) else None


def columns_of_table(table: Path) -> Sequence[str]:
    """Return the names of a table's columns, out of its first line. Raises: EvaluationError."""
    try:
        with open_regular(table) as file:
            text = file.read(_HEAD_LINE).decode("utf-8-sig", "replace").partition("\n")[0]
    except CheckpointError as error:
        raise EvaluationError(*error.problems) from None
    names = next(csv.reader(StringIO(text)), [])
    if not names:
        raise EvaluationError(Problem("the first line of a table names its columns", "nothing", table.name))
    return [name.strip() for name in names]


def limited(splits: Mapping[str, Sequence[Labelled]], at_most: int, seed: str) -> tuple[dict[str, list[Labelled]], str]:
    """Return at most so many texts of each split to come, each class keeping its share, and a sentence about it.

    A split from which others are made keeps as many as these need.

    >>> rows, words = limited({"train": [("a", 0), ("b", 1)] * 40, "test": [("c", 0), ("d", 1)] * 40}, 20, "")
    >>> {split: len(texts) for split, texts in rows.items()}, words
    ({'train': 60, 'test': 20}, 'Left out to save time: train 60 of 80, test 20 of 80 kept.')
    """
    found: dict[str, list[Labelled]] = {}
    cut = []
    for split, rows in splits.items():
        many = at_most * (5 if len(splits) == 1 else 3 if split == "train" else 1)
        kept = portion([label for _, label in rows], many, f"{seed} {split}")
        found[split] = [rows[index] for index in kept]
        if len(kept) < len(rows):
            cut.append(f"{split} {len(kept):,} of {len(rows):,}")
    return found, f"Left out to save time: {', '.join(cut)} kept." if cut else ""


def _names(root: Path) -> Iterator[str]:
    try:
        entries = list(os.scandir(root))
    except OSError:
        return
    for entry in entries:
        folder = entry.is_dir(follow_symlinks=False)
        file = entry.is_file(follow_symlinks=False) and entry.name.lower().endswith(_FILES)
        if entry.name.startswith(".") or not (folder or file):
            continue
        try:
            yield Ref("local", entry.name).path
        except CheckpointError:
            continue


def _holds_parquet(source: Path) -> bool:
    return source.is_dir() and next(source.rglob("*.parquet"), None) is not None


def _unknown(root: Path, name: str) -> EvaluationError:
    fix = closest(name, local_names(root))
    return EvaluationError(Problem("a folder or a file of this server holds the data", name[:80], "local", fix))
