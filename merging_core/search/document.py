"""A comparison as one document: what was asked, where the numbers come from, and the rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from merging_core import __version__
from merging_core.search.comparison import Question, Row
from merging_core.search.entries import Entry, Reference

__all__ = ["VERSION", "head", "measured_on_test"]

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


def measured_on_test(question: Question, rows: tuple[Row, ...]) -> int:
    """Return how many models these rows measured on the test split, so that whoever reads them knows.

    A reference counts as one, a method as one for its defaults and one more for what its search found.
    """
    if question.split != "test":
        return 0
    entries = [row for row in rows if isinstance(row, Entry)]
    found = [row for row in entries if row.found is not None and row.found.outcome is not row.defaults]
    return sum(isinstance(row, Reference) for row in rows) + len(entries) + len(found)


def _examples(parts: tuple[object, ...]) -> int:
    return sum(part.stop - part.start for part in parts)  # type: ignore[attr-defined]
