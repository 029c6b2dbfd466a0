"""The numbers of representations as plain values: per task, and the mean over tasks, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy

from merging_core.analysis.representations.measured import Estimates, Measured
from merging_core.analysis.studies.spec import StudySpec
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.intervals import correlation_interval

__all__ = ["place_of", "said"]

Known = Mapping[Part, tuple[tuple[str, ...], Measured]]
Row = dict[str, object]
_Z = 1.959963984540054


def said(spec: StudySpec, found: Known) -> dict[str, object]:
    """Return what is known as JSON values: pairs of models at each layer, drift from the base, one matrix of layers."""
    begun = {part: one for part, one in found.items() if one[1].n}
    names = [own for own, _ in begun.values()]
    layers = [layer for layer in names[0] if all(layer in own for own in names)]
    rows = [_Row(part, known, tuple(map(own.index, layers))) for part, (own, known) in begun.items()]
    places = [*([] if spec.base is None else [None]), *range(len(spec.models))]
    n = {split: sum(row.known.n for row in rows if row.part.split == split) for split in spec.splits}
    where = ", ".join(f"{split} n {count}" for split, count in n.items())
    base, drift = ("", "") if spec.base is None else (" and the base", ", and how far they moved")
    return {
        "sentence": f"How alike {_models(len(spec.models))}{base} are layer by layer (CKA){drift}; {where}.",
        "n": n,
        "partial": len(rows) < len(found) or any(row.partial for row in rows),
        "models": spec.labels,
        "base": spec.base,
        "layers": layers,
        "pairs": [
            {
                "first": places[one],
                "second": places[other],
                **_told(rows, spec.splits, {"cka": _likeness(at)}, correlation_interval),
            }
            for at, (one, other) in enumerate(combinations(range(len(places)), 2))
        ],
        "moved": [
            {"model": place, **_told(rows, spec.splits, {"distance": _move(0, at), "cosine": _move(1, at)}, _around)}
            for at, place in enumerate(places)
            if spec.base is not None and place is not None
        ],
        "matrix": _matrix(spec, rows, places),
    }


def _models(count: int) -> str:
    return "the model" if count == 1 else f"{count} models"


@dataclass(frozen=True, eq=False)
class _Row:
    """One task on one split; `layers`: which of its layers all tasks have."""

    part: Part
    known: Measured
    layers: tuple[int, ...]

    @property
    def partial(self) -> bool:
        """Whether less than the whole split was looked at."""
        split = self.part.task.splits[self.part.split]
        return self.known.n < int(split.rows(0, len(split)).stop)

    def of(self, found: Estimates, place: int) -> Estimates:
        """Return the layers that all tasks have of one pair or model."""
        kept = list(self.layers)
        return Estimates(found.values[place, kept], found.errors[place, kept])


Taken = Callable[[_Row], Estimates]
Bounds = Callable[[float, float], tuple[float, float]]


def _likeness(place: int) -> Taken:
    return lambda row: row.of(row.known.likeness, place)


def _move(what: int, place: int) -> Taken:
    return lambda row: row.of(row.known.moved[what], place)


def _told(rows: Sequence[_Row], splits: Sequence[str], taken: Mapping[str, Taken], interval: Bounds) -> Row:
    """Return numbers of each task, and of each split their mean over its tasks."""
    each = [(row, {name: take(row) for name, take in taken.items()}) for row in rows]
    tasks = [
        {
            "task": row.part.task.name,
            "split": row.part.split,
            "n": row.known.n,
            **{name: _listed(one, interval) for name, one in found.items()},
        }
        for row, found in each
    ]
    means = []
    for split in splits:
        own = [(row, found) for row, found in each if row.part.split == split]
        if own:
            averaged = {name: _mean([found[name] for _, found in own]) for name in taken}
            n = sum(row.known.n for row, _ in own)
            means.append(
                {"task": "mean over tasks", "split": split, "n": n}
                | {name: _listed(one, interval) for name, one in averaged.items()}
            )
    return {"tasks": tasks, "means": means}


def _mean(found: Sequence[Estimates]) -> Estimates:
    """Return the mean over tasks, which are fixed and measured apart."""
    values = numpy.mean([one.values for one in found], axis=0)
    errors = numpy.sqrt(numpy.sum([one.errors**2 for one in found], axis=0)) / len(found)
    return Estimates(values, errors)


def _listed(found: Estimates, interval: Bounds) -> list[Row]:
    pairs = zip(found.values.tolist(), found.errors.tolist(), strict=True)
    return [
        {"value": _finite(value), "interval": [_finite(end) for end in interval(value, error)]}
        for value, error in pairs
    ]


def _around(value: float, error: float) -> tuple[float, float]:
    return value - _Z * error, value + _Z * error


def _matrix(spec: StudySpec, rows: Sequence[_Row], places: Sequence[int | None]) -> Row:
    """Return CKA of every layer of one model with every layer of another, mean over the tasks of the first split."""
    first, second = (place_of(spec, name) for name in ("rows", "columns"))
    own = [row for row in rows if row.part.split == spec.splits[0]] or list(rows)
    found = []
    for row in own:
        down, across = (
            [places.index(place) * row.known.layers + layer for layer in row.layers] for place in (first, second)
        )
        found.append(row.known.matrix[numpy.ix_(down, across)])
    values = [[_finite(value) for value in line] for line in numpy.mean(found, axis=0).tolist()]
    n = sum(row.known.n for row in own)
    return {"first": first, "second": second, "split": own[0].part.split, "n": n, "values": values}


def place_of(spec: StudySpec, name: str) -> int | None:
    """Return which model a parameter means: counted from 1, the last one for more than there are, None for the base."""
    number = int(spec.params.number(name))
    return None if number == 0 else min(number, len(spec.models)) - 1


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
