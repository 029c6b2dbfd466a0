"""Tangent prediction: what one derivative at the base foretells of a merge at every λ, and how far it is off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, cast

import numpy
from numpy.typing import NDArray

from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
from merging_core.analysis.studies.memory import Arrays, Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.analysis.tangents.ground import Classes, Ground, classes_of, ground_of, grown, runs_of
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.intervals import PairCounts, average_interval, difference, pair_counts
from merging_core.evaluation.paths import coarse_to_fine
from merging_core.evaluation.tangents import tangent_logits
from merging_core.evaluation.tasks import AnyTask
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["TANGENT"]

_FIRST = 3
"""After the base, the end and the middle the whole line is foretold."""
_ENOUGH = 9
"""Points from which on the line is shown at those alone that are measured on more examples."""
Told = dict[int, list[Classes]]
"""The classes that each task's examples are given, by place on the line."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure ends and middle, foretell the whole line at once, then measure the rest; then whole splits."""
    ground, count = ground_of(spec, bench, memory), int(spec.params.number("points"))
    end = spec.params.number("range")
    line = [end * place / (count - 1) for place in range(count)]
    runs = {subset: runs_of(ground.parts(bench.tasks, subset)) for subset in ground.passes}
    steps, done = sum(count + len(runs[subset]) for subset in ground.passes), 0
    whole = ground.parts(bench.tasks, ground.passes[-1])
    true: Told = {}
    foretold: list[Classes] = []
    for subset in ground.passes:
        parts = ground.parts(bench.tasks, subset)
        for number, place in enumerate(coarse_to_fine(count), 1):
            done, name = done + 1, f"at {line[place]!r}"
            wanted = whole if ground.has(name, whole) else parts
            known = ground.has(name, wanted)
            shares = [line[place]] * len(spec.models)
            true[place] = ground.classes_at(name, partial(ground.weights, *shares), wanted)
            if number == _FIRST:
                for run in runs[subset]:
                    yield Finding(_numbers(ground, line, true, foretold), done / steps)
                    done += 1
                    found = _foretold(ground, line, run)
                    foretold = found if not foretold or len(found[0]) >= len(foretold[0]) else foretold
            if done == steps or (len(true) >= 2 and not known):
                yield Finding(_numbers(ground, line, true, foretold), done / steps)


def _foretold(ground: Ground, line: Sequence[float], parts: Sequence[Part]) -> list[Classes]:
    """Return, for each task, the classes `[n, points]` that one derivative along Στₜ foretells."""

    def measured(missing: list[Part]) -> list[Arrays]:
        found: list[Arrays] = []
        for tangents in ground.tangents(ground.vector(*[1.0] * len(ground.spec.models)), missing):
            rows = [classes_of(tangent_logits([tangents], [share])) for share in line]
            found.append({"classes": numpy.stack(rows, axis=1)})
        return found

    return [found["classes"].astype(numpy.int32) for found in grown(ground.memory, "foretold", parts, measured)]


def _numbers(ground: Ground, line: Sequence[float], true: Told, foretold: Sequence[Classes]) -> dict[str, object]:
    tasks = ground.bench.tasks
    labels = ground.truths(ground.parts(tasks, "full"))
    alike = _alike(true)
    points = [
        _point(
            line[place],
            [
                _row(task, labels[i], alike[place][i], foretold[i][:, place] if foretold else None)
                for i, task in enumerate(tasks)
            ],
        )
        for place in sorted(alike)
    ]
    n = min(sum(row["n"] for row in point["tasks"]) for point in points)
    sizes = sum(len(each) for each in labels)
    split = ground.split
    what = "the merge" if len(ground.spec.models) > 1 else "the model"
    return {
        "sentence": f"Accuracy of {what} at θ₀ + λ·Στₜ, and what one derivative at the base foretells; {split} n {n}.",
        "n": {split: n},
        "partial": len(true) < len(line) or n < sizes or not foretold,
        "models": ground.labels,
        "split": split,
        "tasks": [{"task": task.name, "title": task.title} for task in tasks],
        "points": points,
    }


def _alike(true: Told) -> Told:
    """Return the places that are measured on most examples where they show the line already, else all on the fewest."""
    sizes = {place: tuple(map(len, classes)) for place, classes in true.items()}
    finest = {place: true[place] for place, size in sizes.items() if size == max(sizes.values())}
    if {min(true), max(true)} <= finest.keys() and len(finest) >= min(_ENOUGH, len(true)):
        return finest
    least = min(sizes.values())
    return {place: [each[:n] for each, n in zip(classes, least, strict=True)] for place, classes in true.items()}


def _row(task: AnyTask, labels: NDArray[numpy.int64], true: Classes, foretold: Classes | None) -> dict[str, Any]:
    """Return the true and the foretold accuracy on one task's examples, over those that both have seen."""
    n = len(true) if foretold is None else min(len(true), len(foretold))
    right = true[:n] == labels[:n]
    row = {"task": task.name, "title": task.title, "n": n, "correct": int(right.sum())}
    if foretold is None:
        return {**row, "pair": None, "same": None}
    pair = pair_counts(foretold[:n] == labels[:n], right)
    return {**row, "pair": pair, "same": float((foretold[:n] == true[:n]).mean())}


def _point(share: float, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one place on the line: each task, and the mean over tasks with its own intervals."""
    tasks = [
        {**{key: row[key] for key in ("task", "title", "n")}, **_found((row["correct"],), (row["n"],), (row["pair"],)),
         "same": row["same"]}
        for row in rows
    ]  # fmt: skip
    known = all(row["pair"] is not None for row in rows)
    keys = ("correct", "n", "pair")
    mean = {
        **_found(*(tuple(row[key] for row in rows) for key in keys)),
        "same": sum(row["same"] for row in rows) / len(rows) if known else None,
    }
    return {"lambda": share, "tasks": tasks, "mean": mean}


@lru_cache(maxsize=4096)
def _found(correct: tuple[int, ...], n: tuple[int, ...], pairs: tuple[PairCounts | None, ...]) -> dict[str, object]:
    """Return the mean over tasks of the true and the foretold accuracy, and the error, which is paired."""
    known = [pair for pair in pairs if pair is not None]
    said = [(pair.both + pair.first_only) / pair.n for pair in known]
    whole = len(known) == len(pairs)
    return {
        "accuracy": sum(k / size for k, size in zip(correct, n, strict=True)) / len(n),
        "interval": list(average_interval(correct, n)),
        "foretold": sum(said) / len(said) if whole else None,
        "error": difference(known).as_json() if whole else None,
    }


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    points = cast("list[dict[str, Any]]", numbers["points"])
    rows = []
    for point in points:
        total = {"title": "mean over tasks", "n": sum(row["n"] for row in point["tasks"]), **point["mean"]}
        for row in [*point["tasks"], total]:
            error = (None, None, None) if row["error"] is None else (row["error"]["value"], *row["error"]["interval"])
            measured = (row["accuracy"], *row["interval"])
            rows.append((point["lambda"], row["title"], *measured, row["foretold"], *error, row["same"], row["n"]))
    header = (
        "λ", "task", "accuracy", "95 % low", "95 % high", "foretold", "error", "error, 95 % low", "error, 95 % high",
        "same answers", "n",
    )  # fmt: skip
    return {"line": Table("Foretold and true accuracy", header, tuple(rows))}


TANGENT = Study(
    name="tangent",
    title="Tangent prediction",
    formula="f(x; θ₀ + λ·Στₜ) ≈ f(x; θ₀) + λ·∇f(x; θ₀)·Στₜ",
    summary="What one derivative at the base foretells of the accuracy at every λ, beside the true accuracy, with the "
    "error made.",
    source=Source(
        "Ortiz-Jimenez et al.",
        2023,
        "Task Arithmetic in the Tangent Space: Improved Editing of Pre-Trained Models",
        "https://arxiv.org/abs/2305.12827",
        "equation 3",
        "There the linearised model is a model of its own; here it foretells the other.",
    ),
    parameters=(
        ParameterInfo("range", "Largest λ", "number", 1.5, "The line goes from 0 to this.", 0.1, 5, step=0.1),
        ParameterInfo("points", "Points", "integer", 16, "Points on the line, ends included.", 3, 101),
    ),
    group="tangent space",
    models=(1, 16),
    needs_base=True,
    answer=_answer,
    tables=_tables,
)
