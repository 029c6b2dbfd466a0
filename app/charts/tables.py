"""The numbers behind a chart as one tidy table: a row for each measurement, units in the header, full precision.

They lie beside the charts of an export. `app/browser/tables.js` makes the same tables in the page; the tests compare
both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.charts.drawing.colours import PictureError
from merging_core.errors import Problem, closest
from merging_core.spreadsheets import Cell, csv_of

__all__ = ["KINDS", "Cell", "Table", "csv_of", "rows_of"]

Table = tuple[tuple[str, ...], list[tuple[Cell, ...]]]
"""The header, and rows as long as it."""

KINDS = ("accuracy", "path", "layers", "cosines")
_MODELS = (("base", "base"), ("expert", "its expert"), ("average", "simple average"), ("ensemble", "output ensemble"))


def rows_of(kind: str, numbers: dict[str, Any]) -> Table:
    """Return (header, rows) of a chart's numbers (see docs/architecture.md).

    `kind`: accuracy, path, layers (numbers of their charts) or cosines (the numbers of layers). Accuracies and shares
    are fractions, losses nats; what is unknown is None. Another kind raises `PictureError`.

    >>> numbers = {"cosines": [[1.0]], "experts": [{"ref": "zoo:a", "title": "A"}]}
    >>> rows_of("cosines", numbers)[1]
    [('zoo:a', 'A', 'zoo:a', 'A', 1.0, 'weights only')]
    """
    makers: dict[str, Callable[[dict[str, Any]], Table]] = {
        "accuracy": _accuracy,
        "path": _path,
        "layers": _layers,
        "cosines": _cosines,
    }
    if kind not in makers:
        raise PictureError(Problem("a table's kind is known", repr(kind), "kind", closest(kind, KINDS)))
    return makers[kind](numbers)


def _accuracy(numbers: dict[str, Any]) -> Table:
    header = (
        "task",
        "title",
        "model",
        "accuracy (fraction)",
        "95 % low (fraction)",
        "95 % high (fraction)",
        "loss (nats)",
        "normalised (merged / expert)",
        "normalised 95 % low",
        "normalised 95 % high",
        "n (examples)",
        "split",
        "subset",
        "transductive",
    )
    ratio = numbers.get("normalised") or {}
    rows: list[tuple[Cell, ...]] = []
    for row in (*numbers["tasks"], {**numbers["average"], "task": "average", "title": "mean over tasks"}):
        whole = row["task"] == "average"
        about = (row.get("n", numbers["n"]), numbers["split"], numbers["subset"])
        names = (row["task"], row["title"])
        normalised = (ratio.get("value"), *_ends(ratio)) if whole else (None, None, None)
        merge = (row["accuracy"], *_ends(row), row.get("loss"), *normalised)
        rows.append((*names, "merge", *merge, *about, "yes" if numbers.get("transductive") else "no"))
        others = [(title, (row.get("references") or {}).get(key)) for key, title in _MODELS]
        beside = (("pinned merge", row.get("pinned")), ("tangent prediction", row.get("foretold")))
        for model, value in (*others, *beside):
            if value is not None:
                rows.append((*names, model, value, *[None] * 6, *about, None))
    return header, rows


def _path(numbers: dict[str, Any]) -> Table:
    along = "lambda" if numbers["kind"] == "lambda" else "t (0 is from, 1 is to)"
    header = (
        "from",
        "to",
        along,
        "task",
        "title",
        "loss (nats)",
        "accuracy (fraction)",
        "95 % low (fraction)",
        "95 % high (fraction)",
        "n (examples, all tasks)",
        "split",
    )
    rows: list[tuple[Cell, ...]] = []
    for split in ("validation", "train"):
        part = numbers["splits"].get(split) or {"points": []}
        for point in part["points"]:
            at = (numbers["a"], numbers["b"], point["t"])
            about = (part.get("n"), split)
            rows.append((*at, "mean", "mean over tasks", point["loss"], point["accuracy"], *_ends(point), *about))
            for task, one in zip(numbers["tasks"], point["tasks"], strict=True):
                rows.append((*at, task["task"], task["title"], one["loss"], one["accuracy"], None, None, *about))
    return header, rows


def _layers(numbers: dict[str, Any]) -> Table:
    header = (
        "depth",
        "model",
        "title",
        "factor",
        "norm (L2 of the task vector, or of what the merge adds)",
        "density kept (fraction)",
        "sign conflict (fraction)",
        "split",
    )
    rows: list[tuple[Cell, ...]] = []
    for i, depth in enumerate(numbers["depths"]):
        merged = (numbers["factors"][i], numbers["merged_norms"][i], None, numbers["conflict"][i])
        rows.append((depth, "merge", "merge", *merged, "weights only"))
        for j, expert in enumerate(numbers["experts"]):
            kept = numbers["kept"][j][i] if numbers["kept"] else None
            rows.append((depth, expert["ref"], expert["title"], None, expert["norms"][i], kept, None, "weights only"))
    return header, rows


def _cosines(numbers: dict[str, Any]) -> Table:
    header = ("expert", "title", "other expert", "other title", "cosine of task vectors", "split")
    experts = numbers["experts"]
    rows: list[tuple[Cell, ...]] = [
        (one["ref"], one["title"], other["ref"], other["title"], numbers["cosines"][i][j], "weights only")
        for i, one in enumerate(experts)
        for j, other in enumerate(experts)
    ]
    return header, rows


def _ends(row: dict[str, Any]) -> tuple[Cell, Cell]:
    low, high = row.get("interval") or (None, None)
    return low, high
