"""Pictures in folders: one folder a class, or a table of paths and labels beside them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from io import StringIO
from pathlib import Path, PurePosixPath

from merging_core.errors import EvaluationError, Problem, closest
from merging_core.evaluation.preprocessing import MAX_PICTURE_BYTES
from merging_core.evaluation.sources.pictures import (
    ALL,
    MAX_LISTED,
    Pictures,
    PictureSet,
    canonical_split,
    checked,
    picture_bytes,
)

__all__ = ["PICTURE_ENDINGS", "open_class_folders", "open_table"]

PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
_TABLE_BYTES = 1 << 26
_LISTED = 8


def open_class_folders(folder: Path) -> PictureSet:
    """List the pictures of a folder that holds one folder a class, or folders `train`, `validation`, `test` of those.

    The classes are the folders' names in order; the pictures are regular files with a picture's ending, in the order of
    their names. Hidden files and other endings are passed over. Raises EvaluationError with every problem found.
    """
    tops = _folders(folder)
    named = {split: top for top in tops if (split := canonical_split(top.name)) is not None}
    pools = named if named and len(named) == len(tops) else {ALL: folder}
    classes = tuple(sorted({found.name for pool in pools.values() for found in _folders(pool)}))
    splits = {}
    for split, pool in pools.items():
        files = [(path, label) for label, name in enumerate(classes) for path in _pictures(pool / name)]
        paths = tuple(path for path, _ in files)
        splits[split] = Pictures(tuple(label for _, label in files), partial(_read, folder, paths))
    return checked(PictureSet(folder.name, classes, splits, f"the folders of {folder.name}"))


def open_table(table: Path, folder: Path, *, classes: Sequence[str] | None = None) -> PictureSet:
    """List the pictures of a CSV file with the columns `path` and `label`, whose paths lead into `folder`.

    A third column `split` may name the split of each row. Labels are texts; `classes` fixes their order, which is
    otherwise the alphabet's. A path is relative, with /, and leads nowhere else. Raises EvaluationError with every
    problem found, at most eight rows one by one.
    """
    text = _text(table)
    try:
        reader = csv.DictReader(StringIO(text, newline=""), strict=True)
        fields = [] if reader.fieldnames is None else [field.strip() for field in reader.fieldnames]
        if not {"path", "label"} <= set(fields):
            must = "the first line names the columns path and label"
            raise EvaluationError(Problem(must, ", ".join(fields)[:80] or "nothing", table.name))
        reader.fieldnames = fields
        rows = list(reader)
    except csv.Error as error:
        raise EvaluationError(Problem("the table is CSV", str(error)[:80], table.name)) from None
    labels = [str(row["label"] or "").strip() for row in rows]
    names = tuple(classes) if classes is not None else tuple(sorted(set(labels)))
    number = {name: index for index, name in enumerate(names)}
    problems = []
    pools: dict[str, list[tuple[Path, int]]] = {}
    for line, (row, label) in enumerate(zip(rows, labels, strict=True), 2):
        place = f"{table.name}: row {line}"
        path, split = str(row["path"] or "").strip(), canonical_split(str(row.get("split") or "").strip())
        if not _leads_inside(path):
            problems.append(Problem("a path is relative and stays in its folder", path[:80] or "nothing", place))
        if label not in number or not label:
            problems.append(
                Problem("a label is one of the classes", label[:80] or "nothing", place, closest(label, number))
            )
        if "split" in fields and split is None:
            problems.append(Problem("a split is train, validation or test", str(row.get("split"))[:80], place))
        if not problems:
            pools.setdefault(split or ALL, []).append((folder / path, number[label]))
    if problems:
        more = len(problems) - _LISTED
        rest = [Problem("all rows fit", f"{more} more that do not", table.name)] if more > 0 else []
        raise EvaluationError(*problems[:_LISTED], *rest)
    splits = {
        split: Pictures(tuple(label for _, label in files), partial(_read, folder, tuple(path for path, _ in files)))
        for split, files in pools.items()
    }
    return checked(PictureSet(table.stem, names, splits, f"{table.name} and the pictures beside it"))


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        got = error.strerror or type(error).__name__
        raise EvaluationError(Problem("the folder can be read", got, folder.name)) from None


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [
        path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith(".")
    ]
    if len(found) > MAX_LISTED:
        raise EvaluationError(Problem(f"a folder has at most {MAX_LISTED:,} pictures", f"{len(found):,}", folder.name))
    return sorted(found)


def _text(table: Path) -> str:
    data = picture_bytes(table, table.parent, _TABLE_BYTES)
    if len(data) > _TABLE_BYTES:
        raise EvaluationError(Problem(f"a table has at most {_TABLE_BYTES:,} bytes", "more", table.name))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(
            Problem("the text is UTF-8", f"a byte that is not, at {error.start}", table.name)
        ) from None


def _leads_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(path) and "\\" not in path and "\0" not in path and not pure.is_absolute() and ".." not in pure.parts


def _read(root: Path, paths: Sequence[Path], indices: Sequence[int]) -> Iterator[bytes]:
    for index in indices:
        yield picture_bytes(paths[index], root, MAX_PICTURE_BYTES)
