"""What of a line is measured so far: the finest scores at each point, and those that may be compared along it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.report import TaskScore

__all__ = ["Measured", "measured_on"]

Scores = Mapping[float, tuple[TaskScore, ...]]
Known = Callable[[float, Sequence[Part]], tuple[TaskScore, ...] | None]


@dataclass(frozen=True, eq=False)
class Measured:
    """Scores along a line. `found`: at each t what is known best; `alike`: the same examples at every t of it.

    `whole`: whether everything that was asked for is measured.
    """

    found: Scores
    alike: Scores
    whole: bool


def measured_on(order: Sequence[float], frame: int, levels: Sequence[Sequence[Part]], known: Known) -> Measured:
    """Return what is known of the points of a line in their order; `levels`: the parts of each pass, coarse to fine.

    `known(t, parts)`: scores of all of these parts at t, or nothing. Curves are compared on the finest level that is
    known at the first `frame` points; where none is, on the one that is known at most points.
    """
    tables = [{t: scores for t in order if (scores := known(t, parts)) is not None} for parts in levels]
    found = {
        t: next(table[t] for table in reversed(tables) if t in table)
        for t in order
        if any(t in table for table in tables)
    }
    ready = [table for table in tables if all(t in table for t in order[:frame])]
    alike = ready[-1] if ready else max(reversed(tables), key=len)
    return Measured(found, alike, len(tables[-1]) == len(order))
