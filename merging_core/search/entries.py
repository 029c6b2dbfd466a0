"""What a comparison of methods says, row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from merging_core.evaluation.intervals import Estimate
from merging_core.evaluation.report import Report
from merging_core.recipes import Recipe

__all__ = ["Entry", "Found", "Outcome", "Reference", "Skipped", "report_as_json"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """One recipe, and how its merge did on the examples that are shown."""

    recipe: Recipe
    hash: str
    report: Report

    def as_json(self) -> dict[str, object]:
        """Return plain values, without single examples."""
        return {"recipe": self.recipe.as_json(), "hash": self.hash, **report_as_json(self.report)}


@dataclass(frozen=True, eq=False)
class Found:
    """The setting that a search chose, measured on examples that it did not see.

    `tried`: settings among which it was chosen; `chosen_at`: its accuracy on the examples it was chosen by, which is
    the best of all tried and therefore too good; `gain`: found − defaults on the shown examples, paired.
    """

    outcome: Outcome
    tried: int
    chosen_at: float
    settings: dict[str, object]
    gain: Estimate

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {
            **self.outcome.as_json(),
            "settings": self.settings,
            "tried": self.tried,
            "chosen_at": self.chosen_at,
            "gain": self.gain.as_json(),
        }


@dataclass(frozen=True, eq=False)
class Entry:
    """One method: at its defaults, and after the search where one was asked for.

    `seconds`: merging and measuring, the search included.
    """

    method: str
    title: str
    group: str
    defaults: Outcome
    found: Found | None
    seconds: float
    kind: ClassVar = "method"

    def as_json(self) -> dict[str, object]:
        """Return plain values, with `kind` saying what this is."""
        return {
            "kind": self.kind,
            "method": self.method,
            "title": self.title,
            "group": self.group,
            "transductive": self.defaults.report.transductive,
            "defaults": self.defaults.as_json(),
            "found": None if self.found is None else self.found.as_json(),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, eq=False)
class Reference:
    """Something to hold the merges against: the base, each task's own expert, the average, the ensemble."""

    name: str
    title: str
    report: Report
    kind: ClassVar = "reference"

    def as_json(self) -> dict[str, object]:
        """Return plain values, with `kind` saying what this is."""
        return {"kind": self.kind, "name": self.name, "title": self.title, **report_as_json(self.report)}


@dataclass(frozen=True)
class Skipped:
    """A method that has no row, and why, in one sentence."""

    method: str
    title: str
    group: str
    reason: str
    kind: ClassVar = "skipped"

    def as_json(self) -> dict[str, object]:
        """Return plain values, with `kind` saying what this is."""
        return {
            "kind": self.kind,
            "method": self.method,
            "title": self.title,
            "group": self.group,
            "reason": self.reason,
        }


def report_as_json(report: Report) -> dict[str, object]:
    """Return the numbers of a report that a row shows."""
    return {
        "n": report.n,
        "average": {"accuracy": report.average, "interval": list(report.average_interval)},
        "loss": report.loss if math.isfinite(report.loss) else None,
        "normalised": None
        if report.normalised is None or report.normalised_interval is None
        else {"value": report.normalised, "interval": list(report.normalised_interval)},
        "tasks": [
            {"task": score.task, "accuracy": score.accuracy, "interval": list(score.interval), "n": score.n}
            for score in report.tasks
        ],
    }
