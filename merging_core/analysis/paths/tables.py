"""The numbers of a line as tables: its points, its barriers, the examples that make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from merging_core.analysis.studies.contract import Table

__all__ = ["line_tables"]

_PATH = ("t", "task", "split", "loss (nats)", "accuracy", "95 % low", "95 % high", "n")
_WHERE = ("from model", "to model", "split", "task", "of")
_BARRIERS = (
    *(*_WHERE, "at t", "barrier", "95 % low", "95 % high", "held out", "held out, 95 % low", "held out, 95 % high"),
    "n",
)
_VARIANTS = (*_WHERE, "above mean of ends", "above worse end", "midpoint gap", "bias of the maximum", "points", "n")
_EXAMPLES = (
    *("split", "task", "example", "label", "at t", "above its chord (nats)", "share of the barrier"),
    *("first end says", "at t says", "last end says"),
)


def line_tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    """Return the tables of what a line says; barriers of loss are in nats, those of error are fractions."""
    given = cast("dict[str, Any]", numbers)
    path = [
        (point["t"], score["task"], score["split"], score["loss"], score["accuracy"], *score["interval"], score["n"])
        for point in given["points"]
        for score in point["scores"]
    ]
    tasks = {row[1] for row in path}
    mean = "mean over tasks" if len(tasks) > 1 else "".join(tasks)
    rows = [
        ((row["from"] + 1, row["to"] + 1, row["split"], row["task"] or mean, row["metric"]), row)
        for row in given["barriers"]
    ]
    barriers = [(*where, row["at"], *_cells(row["barrier"]), *_cells(row["held_out"]), row["n"]) for where, row in rows]
    variants = [
        (
            *(*where, row["above_mean"]["value"], row["above_worse"]["value"], _cells(row["midpoint_gap"])[0]),
            *(row["bias"], row["points"], row["n"]),
        )
        for where, row in rows
    ]
    examples = [
        (
            *(found["split"], row["task"], row["example"], row["label"], found["at"], row["gap"], row["share"]),
            *(answer["class"] for answer in row["said"] or [{"class": None}] * 3),
        )
        for found in given["examples"]
        for row in found["rows"]
    ]
    tables = {
        "path": Table("Loss and accuracy along the path", _PATH, tuple(path)),
        "barriers": Table("Barriers, of loss in nats and of error", _BARRIERS, tuple(barriers)),
        "variants": Table("The other ways to measure a barrier", _VARIANTS, tuple(variants)),
    }
    if examples:
        tables["examples"] = Table("Examples that make the barrier", _EXAMPLES, tuple(examples))
    return tables


def _cells(estimate: Mapping[str, Any] | None) -> tuple[float | None, float | None, float | None]:
    if estimate is None:
        return None, None, None
    low, high = estimate["interval"] or (None, None)
    return estimate["value"], low, high
