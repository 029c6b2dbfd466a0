"""Results as a card prints them: accuracies with n, interval and split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Results", "TaskData", "TaskResult"]

Interval = tuple[float, float]


@dataclass(frozen=True)
class TaskData:
    """What a task is and what data it was measured on, as the Hub names both."""

    kind: str
    """Such as `image-classification`."""
    name: str
    """`owner/name` of a data set of the Hub; a name without an owner is none there."""
    config: str | None = None
    revision: str | None = None
    """The commit."""


@dataclass(frozen=True)
class TaskResult:
    """One row: an accuracy in [0, 1] on n examples with its 95 % interval; `expert` is the task's own expert's."""

    title: str
    accuracy: float
    interval: Interval
    n: int
    expert: float | None = None
    data: TaskData | None = None
    """None where it is not known."""


@dataclass(frozen=True)
class Results:
    """The accuracies of one merge on one split, each task counting alike in the average."""

    split: str
    tasks: tuple[TaskResult, ...]
    average: TaskResult
    normalised: float | None = None
    """Mean over tasks of merged ÷ expert accuracy."""
    normalised_interval: Interval | None = None
    transductive: bool = False
    """Whether the method adapted on the inputs that it was measured on."""
    partial: bool = False
    """Whether less than the whole split was measured."""
    note: str = ""
    """A sentence about how the numbers came about."""

    @classmethod
    def of(
        cls, report: Mapping[str, Any], note: str = "", data: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Results:
        """Read the plain values of a report (`Report.as_json`), with experts where `references` name them.

        `data`: by the name of a task, the fields of its `TaskData`.

        >>> row = {"title": "Digits", "accuracy": 0.5, "interval": [0.4, 0.6], "n": 90}
        >>> average = {"accuracy": 0.5, "interval": [0.4, 0.6]}
        >>> report = {"split": "test", "n": 90, "tasks": [row], "average": average, "partial": False}
        >>> Results.of({**report, "transductive": False, "normalised": None}).average.n
        90
        """
        known = {name: TaskData(**fields) for name, fields in (data or {}).items()}
        tasks = tuple(
            _row(task, str(task["title"]), int(task["n"]), known.get(task.get("task"))) for task in report["tasks"]
        )
        normalised = report.get("normalised")
        return cls(
            split=str(report["split"]),
            tasks=tasks,
            average=_row(report["average"], "average", int(report["n"])),
            normalised=normalised["value"] if normalised else None,
            normalised_interval=_interval(normalised["interval"]) if normalised else None,
            transductive=bool(report["transductive"]),
            partial=bool(report["partial"]),
            note=note,
        )


def _row(found: Mapping[str, Any], title: str, n: int, data: TaskData | None = None) -> TaskResult:
    references = found.get("references") or {}
    return TaskResult(title, float(found["accuracy"]), _interval(found["interval"]), n, references.get("expert"), data)


def _interval(ends: Any) -> Interval:
    low, high = ends
    return float(low), float(high)
