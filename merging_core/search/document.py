"""A comparison as one document: what was asked, where the numbers come from, and the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from merging_core import __version__
from merging_core.evaluation.evaluator import Part
from merging_core.search.comparison import Question

__all__ = ["VERSION", "head", "measured_on_test", "rows_that_hold"]

VERSION = 1


def head(question: Question, pins: Mapping[str, str], device: str = "cpu") -> dict[str, object]:
    """Return everything that a comparison says before its first row; `pins`: reference → pinned by content."""
    return {
        "basin_comparison": VERSION,
        "base": question.base,
        "models": list(question.models),
        "pins": dict(pins),
        "tasks": [{"task": task.name, "title": task.title} for task in question.tasks],
        "split": question.split,
        "search": question.search,
        "budget": question.budget if question.search else 1,
        "seed": 0,
        "n": _examples(question.shown),
        "chosen_by": _examples(question.chosen_by),
        "words": question.words(),
        "versions": {"basin": __version__, "torch": torch.__version__.partition("+")[0], "device": device},
    }


def measured_on_test(split: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Return how many models these rows, as JSON, measured on the test split, so that whoever reads them knows.

    A reference counts as one, a method as one for its defaults and one more where its search found something else.
    """
    if split != "test":
        return 0
    shown = [row for row in rows if row["kind"] != "skipped"]
    return len(shown) + sum(bool(row.get("found") and row["found"]["settings"]) for row in shown)


def rows_that_hold(
    document: Mapping[str, Any], asked: Mapping[str, object], hash_of: Callable[[str], str | None]
) -> dict[str, dict[str, Any]]:
    """Return by method those rows of an earlier document that would be measured again just so.

    `asked`: the head of the new one; `hash_of(method)`: the identity of its defaults now, or None where it does not
    apply. Nothing holds where the question, the models or the versions are others.
    """
    same = ("basin_comparison", "base", "models", "pins", "tasks", "split", "search", "budget", "versions")
    if any(document.get(key) != asked[key] for key in same):
        return {}
    rows = [row for row in document["rows"] if row["kind"] == "method"]
    return {row["method"]: row for row in rows if row["defaults"]["hash"] == hash_of(row["method"])}


def _examples(parts: tuple[Part, ...]) -> int:
    return sum(part.stop - part.start for part in parts)
