"""Reading a task folder: `task.json`, one sprite sheet a split, and the head; strict, all problems at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import safetensors.torch
import torch
from PIL import Image

from merging_core.checkpoints.config import read_json_object
from merging_core.checkpoints.files import open_regular
from merging_core.checkpoints.header import read_header
from merging_core.errors import CheckpointError, EvaluationError, Problem, closest
from merging_core.evaluation.heads import Head, OwnHead, PrototypeHead
from merging_core.evaluation.tasks import SPLITS, Split, Task

__all__ = ["TILES_A_ROW", "load_task", "read_sheet"]

TILES_A_ROW = 32
MAX_EXAMPLES = 100_000
MAX_PIXELS = 1 << 28
_KEYS = ("name", "title", "description", "classes", "metric", "image_size", "channels", "mean", "std", "head",
         "splits", "licence", "source")  # fmt: skip
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}")
_NORM_TOLERANCE = 1e-3


def load_task(folder: Path) -> Task:
    """Read and check a task.

    `task.json` names the classes, the normalisation (pixel / 255 − mean) / std, the head and the four splits; each
    split is an 8-bit grayscale PNG of tiles, row by row, 32 a row. Raises EvaluationError with every problem found.
    """
    try:
        info = read_json_object(folder / "task.json")
    except CheckpointError as error:
        raise EvaluationError(*error.problems).located(folder.name) from None
    check = _Check(info)
    text = {key: check.value(key, "a text", _is_text) for key in ("name", "title", "description", "licence", "source")}
    name = text["name"] if isinstance(text["name"], str) else folder.name
    classes = check.value("classes", "a list of at least two different names", _are_classes)
    check.value("metric", "“accuracy”", lambda value: value == "accuracy")
    side = check.value("image_size", "a whole number from 1 to 1024", lambda value: _is_whole(value, 1, 1024))
    check.value("channels", "1", lambda value: _is_whole(value, 1, 1))
    mean = check.value("mean", "a number", _is_number)
    std = check.value("std", "a number above 0", lambda value: _is_number(value) and value > 0)
    rows = check.value("splits", f"an object of {', '.join(SPLITS)}", _are_splits)
    head_row = check.value("head", "an object", lambda value: isinstance(value, dict))
    check.unknown(info, _KEYS, "")
    splits: dict[str, Split] = {}
    head: Head | None = None
    if classes is not None and side is not None and rows is not None:
        for split, row in rows.items():
            found = _split(folder, check, name, split, row, side, len(classes))
            if found is not None:
                splits[split] = found
    if classes is not None and head_row is not None:
        head = _head(folder, check, head_row, len(classes))
    if check.problems or head is None:
        raise EvaluationError(*check.problems).located(name)
    return Task(name=name, title=text["title"], description=text["description"], classes=tuple(classes),
                image_size=side, channels=1, mean=float(mean), std=float(std), head=head, splits=splits,
                licence=text["licence"], source=text["source"])  # fmt: skip


def read_sheet(path: Path, n: int, side: int) -> torch.Tensor:
    """Read the first `n` tiles of a sprite sheet as uint8 `[n, 1, side, side]`.

    Raises EvaluationError if the file is not an 8-bit grayscale PNG of exactly ⌈n / 32⌉ rows of 32 tiles.
    """
    rows = -(-n // TILES_A_ROW)
    size = (TILES_A_ROW * side, rows * side)
    problem: Problem | None = None
    try:
        with open_regular(path) as file, Image.open(file, formats=("PNG",)) as sheet:
            if sheet.mode != "L":
                problem = Problem("a sheet is 8-bit grayscale", f"mode {sheet.mode}", path.name)
            elif sheet.size != size or size[0] * size[1] > MAX_PIXELS:
                must = f"a sheet of {n} tiles of {side} × {side} pixels measures {size[0]} × {size[1]}"
                problem = Problem(must, f"{sheet.size[0]} × {sheet.size[1]}", path.name)
            else:
                values = numpy.asarray(sheet, dtype=numpy.uint8)
    except CheckpointError as error:
        raise EvaluationError(*error.problems) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        problem = Problem("a sheet is a PNG that can be read", type(error).__name__, path.name)
    if problem is not None:
        raise EvaluationError(problem)
    tiles = values.reshape(rows, side, TILES_A_ROW, side).transpose(0, 2, 1, 3)
    return torch.from_numpy(tiles.reshape(rows * TILES_A_ROW, 1, side, side)[:n].copy())


@dataclass
class _Check:
    """Collects problems while one `task.json` is read."""

    info: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)

    def value(self, key: str, what: str, holds: Callable[[Any], bool]) -> Any:
        """Return the value of a key, or None after noting what is wrong with it."""
        if key in self.info and holds(self.info[key]):
            return self.info[key]
        got = _shown(self.info[key]) if key in self.info else "nothing"
        self.problems.append(Problem(f"{key} is {what}", got, f"task.json: {key}"))
        return None

    def unknown(self, row: dict[str, Any], known: tuple[str, ...], where: str) -> None:
        """Note every key that is not known."""
        for key in row:
            if key not in known:
                place = f"task.json: {where}{key}"
                self.problems.append(Problem("keys are known by name", _shown(key), place, closest(key, known)))


def _split(folder: Path, check: _Check, name: str, split: str, row: Any, side: int, classes: int) -> Split | None:
    where = f"task.json: splits.{split}"
    if not isinstance(row, dict):
        check.problems.append(Problem("a split is an object", _shown(row), where))
        return None
    check.unknown(row, ("file", "n", "labels"), f"splits.{split}.")
    before = len(check.problems)
    n, file, labels = row.get("n"), row.get("file"), row.get("labels")
    if not _is_whole(n, 1, MAX_EXAMPLES):
        must = f"a split has 1 to {MAX_EXAMPLES} examples"
        check.problems.append(Problem(must, _shown(n), f"{where}.n", "an accuracy over no example is not a number"))
    if not _is_file(file):
        check.problems.append(Problem("a file is a plain name in the task's folder", _shown(file), f"{where}.file"))
    if split == "calibration":
        if labels is not None:
            check.problems.append(Problem("calibration has inputs only", "labels", f"{where}.labels"))
    elif not isinstance(labels, list) or not all(_is_whole(label, 0, classes - 1) for label in labels):
        must = f"labels are whole numbers from 0 to {classes - 1}"
        check.problems.append(Problem(must, _shown(labels), f"{where}.labels"))
    elif len(labels) != n:
        check.problems.append(Problem(f"{_shown(n)} examples have as many labels", str(len(labels)), f"{where}.labels"))
    if len(check.problems) > before:
        return None
    try:
        images = read_sheet(folder / str(file), int(str(n)), side)
    except EvaluationError as error:
        check.problems.extend(error.problems)
        return None
    known = None if split == "calibration" else torch.tensor(labels, dtype=torch.int64)
    return Split(images, known, f"{name} {split}")


def _head(folder: Path, check: _Check, row: dict[str, Any], classes: int) -> Head | None:
    kind = row.get("kind")
    if kind == "own":
        check.unknown(row, ("kind",), "head.")
        return OwnHead()
    if kind != "prototype":
        check.problems.append(Problem("a head is “prototype” or “own”", _shown(kind), "task.json: head.kind"))
        return None
    check.unknown(row, ("kind", "file", "scale"), "head.")
    file, scale = row.get("file"), row.get("scale")
    if not _is_number(scale) or not scale > 0:  # type: ignore[operator]
        check.problems.append(Problem("scale is a number above 0", _shown(scale), "task.json: head.scale"))
    if not _is_file(file):
        check.problems.append(Problem("a file is a plain name in the task's folder", _shown(file), "task.json: head"))
        return None
    path = folder / str(file)
    try:
        leaves = {leaf.name: leaf for leaf in read_header(path).leaves}
    except CheckpointError as error:
        check.problems.extend(error.problems)
        return None
    leaf = leaves.get("prototypes")
    if set(leaves) != {"prototypes"} or leaf is None or leaf.dtype != "F32" or len(leaf.shape) != 2:
        got = ", ".join(f"{leaf.name} {leaf.dtype} {list(leaf.shape)}" for leaf in leaves.values())
        check.problems.append(Problem("a head holds “prototypes”, float32 [classes, width], only", got, path.name))
        return None
    if leaf.shape[0] != classes or leaf.shape[1] < 1:
        check.problems.append(Problem(f"{classes} classes have as many prototypes", str(leaf.shape[0]), path.name))
        return None
    prototypes = safetensors.torch.load_file(path)["prototypes"]
    norms = prototypes.double().norm(dim=1)
    if not bool(((norms - 1).abs() <= _NORM_TOLERANCE).all()):
        check.problems.append(Problem("prototypes have length 1", f"{norms.min():.4g} to {norms.max():.4g}", path.name))
        return None
    return PrototypeHead(prototypes, float(scale)) if _is_number(scale) else None  # type: ignore[arg-type]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 10_000


def _are_classes(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(map(_is_text, value)) and len(set(value)) == len(value)


def _are_splits(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == set(SPLITS)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and _FILE.fullmatch(value) is not None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
