"""What was measured of the methods on the zoo, read from the documents that `compare --json` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Document", "gain_in_words", "read", "section", "sentence", "settings_in_words"]

Document = Mapping[str, Any]
"""A comparison, as `python -m merging_core compare --json` writes it."""

_INTRODUCTION = """\
All methods that apply to the zoo's six experts, on the **test** split. *Defaults*: nothing chosen. *Searched*: the best
of a few settings by the **validation** split, none of them chosen by test: λ at 0.5, 0.75, 1, 1.5 and 2 times the
method's default, then one or two parameters, at most {budget} settings. *Gain*: searched − defaults, in points, paired
on the same examples. Intervals are 95 %. The experts start from one small network, so numbers on other models differ;
where intervals overlap, this table does not say which method is better. Averages over a trajectory expect checkpoints
of one run; here they are given six experts. Random masks have seed 0. `make comparison` measures everything again.
"""


def read(paths: Sequence[Path]) -> tuple[Document, ...]:
    """Read documents of comparisons; those with the most methods come first in what is said."""
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in paths)


def section(documents: Sequence[Document], rows: Any) -> str:
    """Return the tables, one for each document; `rows(head, rows)` writes a table."""
    parts = ["## On the zoo\n", _INTRODUCTION.format(budget=documents[0]["budget"])]
    for document in documents:
        found = [_cells(row) for row in document["rows"] if row["kind"] != "skipped"]
        head = ("method", "defaults %", "interval", "searched %", "interval", "gain", "found", "tried")
        parts += [f"{_what(document)} n {document['n']:,}.\n", rows(head, found)]
    taken = sum(document["test_scores"] for document in documents)
    versions = documents[0]["versions"]
    parts.append(f"{taken} models were measured on test. Basin {versions['basin']}, torch {versions['torch']}, CPU.\n")
    return "\n".join(parts)


def sentence(name: str, documents: Sequence[Document]) -> str:
    """Return what one method did, or why it was not measured; empty where no document names it."""
    reason = ""
    for document in documents:
        row = next((row for row in document["rows"] if row.get("method") == name), None)
        if row is None:
            continue
        if row["kind"] == "skipped":
            reason = reason or f"On the zoo: not measured. {row['reason']}"
            continue
        said = f"On the zoo ({_experts(document)}, test): {_accuracy(row['defaults'])} at the defaults"
        found = row["found"]
        if found is None:
            return f"{said}."
        if not found["settings"]:
            return f"{said}; none of {found['tried']} settings did better on validation."
        words = settings_in_words(found["settings"])
        return f"{said}, {_accuracy(found)} with {words}, the best of {found['tried']} on validation."
    return reason


def settings_in_words(settings: Mapping[str, object]) -> str:
    """Return what a search changed, λ first.

    >>> settings_in_words({"lambda": 0.75, "density": 0.25}), settings_in_words({})
    ('λ 0.75, density 0.25', 'defaults')
    """
    named = [
        f"{'λ' if name == 'lambda' else name} {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in settings.items()
    ]
    return ", ".join(named) or "defaults"


def gain_in_words(value: float, interval: Sequence[float]) -> str:
    """Return a difference of two accuracies in points, with its interval.

    >>> gain_in_words(0.021, (-0.0004, 0.04))
    '+2.1 (+0.0 to +4.0)'
    """
    found, low, high = (f"{round(100 * one, 1) + 0.0:+.1f}".replace("-", "−") for one in (value, *interval))
    return f"{found} ({low} to {high})"


def _what(document: Document) -> str:
    tasks = ", ".join(task["task"] for task in document["tasks"])
    return f"**{_experts(document).capitalize()}** of {document['base']}, mean accuracy over {tasks};"


def _experts(document: Document) -> str:
    names = [ref.rpartition("/")[2] for ref in document["models"]]
    return f"{len(names)} experts" if len(names) > 2 else f"expert{'s' * (len(names) > 1)} {' and '.join(names)}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["kind"] == "reference":
        return (f"*{row['title']}*", *_numbers(row), "", "", "", "", "")
    found = row["found"]
    label = f"{row['title']}, transductive" if row["transductive"] else row["title"]
    if found is None:
        return (label, *_numbers(row["defaults"]), "", "", "", "", "")
    gain = found["gain"]
    words = gain_in_words(gain["value"], gain["interval"]) if found["settings"] else "0"
    settings = settings_in_words(found["settings"])
    return (label, *_numbers(row["defaults"]), *_numbers(found), words, settings, str(found["tried"]))


def _numbers(report: Mapping[str, Any]) -> tuple[str, str]:
    low, high = (100 * end for end in report["average"]["interval"])
    return f"{100 * report['average']['accuracy']:.1f}", f"{low:.1f} to {high:.1f}"


def _accuracy(report: Mapping[str, Any]) -> str:
    value, bounds = _numbers(report)
    return f"{value} % ({bounds})"
