"""Weight disentanglement: whether a task vector changes what the other one's task is answered with."""

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
from merging_core.errors import Problem, RecipeError
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.intervals import Interval, average_interval, sum_of_means
from merging_core.evaluation.paths import coarse_to_fine
from merging_core.evaluation.tangents import tangent_logits
from merging_core.evaluation.tasks import AnyTask
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["DISENTANGLE"]

Cell = tuple[int, int]
"""Places of α₁ and α₂ in the grid."""
Map = dict[Cell, list[Classes]]
"""The classes that one kind of model gives the examples of both tasks, cell by cell."""

_NON_LINEAR, _POST_HOC, _TUNED = "non-linear", "post-hoc linearised", "linearly fine-tuned"
_CROSS = 5
"""The centre and the ends of both axes: so many cells are measured before anything is said."""
_FIRST = 9
"""With the corners; then the linearised models are asked, which give all their cells at once."""
_OFTEN = 8
"""After so many cells of the preview it is said what is known."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure a coarse grid of the model itself, then the linearised ones, then the finer grid; then whole splits."""
    kinds = _linear(spec)
    ground = ground_of(spec, bench, memory)
    tasks, alphas = ground.own_tasks(2), _alphas(spec)
    cells = _in_order(len(alphas))
    runs = {subset: runs_of(ground.parts(tasks, subset)) for subset in ground.passes}
    steps = sum(len(cells) + len(kinds) * len(runs[subset]) for subset in ground.passes)
    whole, done = ground.parts(tasks, ground.passes[-1]), 0
    maps: dict[str, Map] = {_NON_LINEAR: {}, **{name: {} for name in kinds}}
    for subset in ground.passes:
        parts = ground.parts(tasks, subset)
        for number, (i, j) in enumerate(cells, 1):
            done, name = done + 1, f"at {alphas[i]!r} {alphas[j]!r}"
            wanted = whole if ground.has(name, whole) else parts
            known = ground.has(name, wanted)
            weights = partial(ground.weights, alphas[i], alphas[j])
            maps[_NON_LINEAR][i, j] = ground.classes_at(name, weights, wanted)
            if number == _FIRST:
                for kind, first in kinds.items():
                    for run in runs[subset]:
                        yield Finding(_numbers(ground, tasks, alphas, maps), done / steps)
                        done += 1
                        found = _linearised(ground, kind, first, alphas, run)
                        maps[kind] = found if len(found[0, 0][0]) >= _shortest(maps[kind]) else maps[kind]
            often = number == _CROSS or number % _OFTEN == 0 or subset == "full"
            if done == steps or (len(maps[_NON_LINEAR]) >= _CROSS and not known and often):
                yield Finding(_numbers(ground, tasks, alphas, maps), done / steps)


def _linear(spec: StudySpec) -> dict[str, int]:
    """Return the linearised models, each with the place of the first of its two task vectors."""
    if len(spec.models) == 3:
        must = "linearly fine-tuned experts are given for both tasks or for none"
        raise RecipeError(Problem(must, "3 models", "models", "name a fourth model, or two"))
    return {_POST_HOC: 0, **({_TUNED: 2} if len(spec.models) == 4 else {})}


def _alphas(spec: StudySpec) -> list[float]:
    steps, end = int(spec.params.number("steps")), spec.params.number("range")
    return [end * (place - steps) / steps for place in range(2 * steps + 1)]


def _in_order(count: int) -> list[Cell]:
    """Return all cells: whole grids that become finer, and in each first those that others are compared with."""
    rank = {place: max(turn, 2) for turn, place in enumerate(coarse_to_fine(count))}
    middle = count // 2
    cells = [(i, j) for i in range(count) for j in range(count)]
    return sorted(cells, key=lambda cell: (max(rank[cell[0]], rank[cell[1]]), middle not in cell, cell))


def _linearised(ground: Ground, kind: str, first: int, alphas: Sequence[float], parts: Sequence[Part]) -> Map:
    """Return the map of a model linearised at the base, from one derivative along each of two task vectors."""

    def measured(missing: list[Part]) -> list[Arrays]:
        one_hot = numpy.eye(len(ground.spec.models))[first : first + 2].tolist()
        along = [ground.tangents(ground.vector(*shares), missing) for shares in one_hot]
        found: list[Arrays] = []
        for place in range(len(missing)):
            both = [tangents[place] for tangents in along]
            ground.bench.heed()
            rows = [classes_of(tangent_logits(both, (one, other))) for one in alphas for other in alphas]
            found.append({"classes": numpy.stack(rows, axis=1)})
        return found

    arrays = [found["classes"].astype(numpy.int32) for found in grown(ground.memory, kind, parts, measured)]
    count = len(alphas)
    return {(i, j): [rows[:, i * count + j] for rows in arrays] for i in range(count) for j in range(count)}


def _shortest(found: Map) -> int:
    return min((len(classes[0]) for classes in found.values()), default=0)


def _differs(found: Map, cell: Cell, middle: int) -> list[NDArray[numpy.bool_]]:
    """Say of each task's examples whether the sum answers otherwise than the task's own vector alone."""
    alone = found[cell[0], middle][0], found[middle, cell[1]][1]
    stops = [min(len(own), len(both)) for own, both in zip(alone, found[cell], strict=True)]
    return [own[:n] != both[:n] for own, both, n in zip(alone, found[cell], stops, strict=True)]


def _numbers(
    ground: Ground, tasks: Sequence[AnyTask], alphas: Sequence[float], maps: Mapping[str, Map]
) -> dict[str, object]:
    sizes = [part.stop for part in ground.parts(tasks, "full")]
    shown = {name: found for name, found in maps.items() if found}
    rows = [_map_numbers(name, found, alphas) for name, found in shown.items()]
    n = min(row["n"] for row in rows)
    finished = len(shown) == len(maps) and len(maps[_NON_LINEAR]) == len(alphas) ** 2
    one, other = (task.title for task in tasks)
    return {
        "sentence": f"How often the sum of two task vectors answers otherwise than one alone, ξ(α₁, α₂), on {one} and "
        f"{other}; {ground.split} n {n}.",
        "n": {ground.split: n},
        "partial": not finished or n < sum(sizes),
        "models": ground.labels,
        "split": ground.split,
        "tasks": [{"task": task.name, "title": task.title} for task in tasks],
        "alphas": list(alphas),
        "maps": rows,
        "less": _less(shown, alphas),
    }


def _map_numbers(name: str, found: Map, alphas: Sequence[float]) -> dict[str, Any]:
    """Return ξ of each cell with its interval and the two terms of it: rows for α₂, columns for α₁."""
    count = len(alphas)
    keys = ("values", "low", "high", "first", "second")
    table: dict[str, list[list[float | None]]] = {key: [[None] * count for _ in range(count)] for key in keys}
    least = None
    for i, j in found:
        terms = _differs(found, (i, j), count // 2)
        wrong, sizes = tuple(int(term.sum()) for term in terms), tuple(len(term) for term in terms)
        least = sum(sizes) if least is None else min(least, sum(sizes))
        shares = [k / n for k, n in zip(wrong, sizes, strict=True)]
        for key, value in zip(keys, (sum(shares), *_interval(wrong, sizes), *shares), strict=True):
            table[key][j][i] = value
    return {"name": name, "n": least, **table, "box": _box_numbers(found, alphas)}


@lru_cache(maxsize=4096)
def _interval(wrong: tuple[int, ...], sizes: tuple[int, ...]) -> Interval:
    low, high = average_interval(wrong, sizes)
    return len(wrong) * low, len(wrong) * high


def _box_numbers(found: Map, alphas: Sequence[float]) -> dict[str, object] | None:
    """Return the mean of ξ where 0 ≤ α ≤ 1, with its interval over examples; None until all of it is known."""
    means = _box_means(found, alphas)
    if means is None:
        return None
    return {"cells": len(_box(alphas)), "n": sum(len(mean) for mean in means), **sum_of_means(means).as_json()}


def _less(maps: Mapping[str, Map], alphas: Sequence[float]) -> list[dict[str, object]]:
    """Return how much less entangled each linearised model is than the model itself, paired, over the same box."""
    plain, found = _box_means(maps[_NON_LINEAR], alphas), []
    for name, other in maps.items():
        means = _box_means(other, alphas)
        if name == _NON_LINEAR or plain is None or means is None:
            continue
        stops = [min(len(a), len(b)) for a, b in zip(plain, means, strict=True)]
        pairs = [a[:n] - b[:n] for a, b, n in zip(plain, means, stops, strict=True)]
        found.append({"name": name, "n": sum(stops), **sum_of_means(pairs).as_json()})
    return found


def _box(alphas: Sequence[float]) -> list[Cell]:
    """Return the cells with 0 ≤ α ≤ 1; none where the grid is so wide that 0 alone is among them."""
    inside = [place for place, alpha in enumerate(alphas) if 0.0 <= alpha <= 1.0]
    return [(i, j) for i in inside for j in inside] if len(inside) > 1 else []


def _box_means(found: Map, alphas: Sequence[float]) -> list[NDArray[numpy.float64]] | None:
    """Return for each example of both tasks how often, over the box, its answer differs; None where cells lack."""
    cells = _box(alphas)
    if not cells or any(cell not in found for cell in cells):
        return None
    terms = [_differs(found, cell, len(alphas) // 2) for cell in cells]
    stops = [min(len(term[place]) for term in terms) for place in (0, 1)]
    return [numpy.mean([term[place][:n] for term in terms], axis=0) for place, n in enumerate(stops)]


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    alphas = cast("list[float]", numbers["alphas"])
    maps = cast("list[dict[str, Any]]", numbers["maps"])
    first, second = (task["title"] for task in cast("list[dict[str, str]]", numbers["tasks"]))
    keys = ("values", "low", "high", "first", "second")
    cells = tuple(
        (found["name"], alphas[i], alphas[j], *(found[key][j][i] for key in keys))
        for found in maps
        for j in range(len(alphas))
        for i in range(len(alphas))
        if found["values"][j][i] is not None
    )
    less = {row["name"]: row for row in cast("list[dict[str, Any]]", numbers["less"])}
    rows = []
    for found in maps:
        box, gap = found["box"], less.get(found["name"])
        if box is not None:
            paired = (None, None, None) if gap is None else (gap["value"], *gap["interval"])
            rows.append((found["name"], box["value"], *box["interval"], box["n"], box["cells"], *paired))
    head = ("model", "mean of ξ", "95 % low", "95 % high", "n", "cells")
    return {
        "cells": Table(
            "Disentanglement error ξ",
            ("model", "α₁", "α₂", "ξ", "95 % low", "95 % high", f"1: {first}", f"2: {second}"),
            cells,
        ),
        "box": Table(
            "Mean of ξ where 0 ≤ α ≤ 1",
            (*head, "less than non-linear", "less, 95 % low", "less, 95 % high"),
            tuple(rows),
        ),
    }


DISENTANGLE = Study(
    name="disentangle",
    title="Weight disentanglement",
    formula="ξ(α₁, α₂) = Σₜ E[ f(x; θ₀ + αₜτₜ) ≠ f(x; θ₀ + α₁τ₁ + α₂τ₂) ],  x of task t",
    summary="How often adding another task vector changes the answers to a task's own examples, for the model and its "
    "linearisation. Models 3 and 4, where given, are linearly fine-tuned experts of the same two tasks.",
    source=Source(
        "Ortiz-Jimenez et al.",
        2023,
        "Task Arithmetic in the Tangent Space: Improved Editing of Pre-Trained Models",
        "https://arxiv.org/abs/2305.12827",
        "section 3",
        "The task of each model is found by its losses, and the grid comes coarse to fine.",
    ),
    parameters=(
        ParameterInfo(
            "range", "Largest α", "number", 3.0, "The grid goes from minus this to this.", 0.5, 10.0, step=0.5
        ),
        ParameterInfo("steps", "Steps to each side", "integer", 6, "How many steps lie between 0 and the ends.", 2, 40),
    ),  # fmt: skip
    group="tangent space",
    models=(2, 4),
    needs_base=True,
    answer=_answer,
    tables=_tables,
)
