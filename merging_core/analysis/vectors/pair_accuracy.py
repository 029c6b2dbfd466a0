"""What merges of pairs keep of their experts' accuracy, and whether the scores of the pairs tell it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from merging_core.evaluation.intervals import average_interval, pair_counts, ratio
from merging_core.evaluation.report import TaskScore
from merging_core.evaluation.resampling import Drawn, percentiles, resampled

__all__ = ["Merges", "drawn_merges", "entry_of", "own_tasks", "permuted", "relation", "spearman"]

Pair = tuple[int, int]
Floats = NDArray[numpy.float64]
_PERMUTATIONS = 1_000
_EXACT = 7
"""Models up to which all permutations are tried."""


def own_tasks(scores: Sequence[Sequence[TaskScore]]) -> tuple[int, ...]:
    """Return for each model the place of the task on which it is farthest above the mean of the other models.

    `scores`: of each model, on the same tasks. The first such task where several are.
    """
    accuracies = numpy.array([[score.accuracy for score in row] for row in scores])
    others = (accuracies.sum(axis=0) - accuracies) / max(1, len(scores) - 1)
    return tuple(int(place) for place in numpy.argmax(accuracies - others, axis=1))


def entry_of(merged: Sequence[TaskScore], experts: Sequence[TaskScore]) -> dict[str, object]:
    """Return what the merge of a pair keeps: `merged` on the own task of each of the two, `experts` likewise.

    `normalised`: the mean over both of merged ÷ expert accuracy, on the examples that both have seen; its interval is a
    bootstrap over them. Nothing where an expert has no example right.
    """
    n = [min(ours.n, theirs.n) for ours, theirs in zip(merged, experts, strict=True)]
    ours = [score.first(size) for score, size in zip(merged, n, strict=True)]
    theirs = [score.first(size) for score, size in zip(experts, n, strict=True)]
    both = [pair_counts(one.correct, other.correct) for one, other in zip(ours, theirs, strict=True)]
    distinct = {score.task: score for score in merged}.values()
    found = ratio(both)
    return {
        "accuracy": sum(score.accuracy for score in distinct) / len(distinct),
        "interval": list(
            average_interval([int(score.correct.sum()) for score in distinct], [score.n for score in distinct])
        ),
        "normalised": None if found is None else found.value,
        "normalised_interval": None if found is None else list(found.interval),
        "n": sum(score.n for score in distinct),
        "partial": any(score.partial for score in distinct),
        "tasks": [score.task for score in distinct],
    }


@dataclass(frozen=True, eq=False)
class Merges:
    """Normalised accuracies of merges of P pairs by M methods: `values` [M, P], `draws` [R, M, P]."""

    values: Floats
    draws: Floats


def drawn_merges(
    pairs: Sequence[Pair],
    own: Sequence[int],
    merged: Sequence[Sequence[Sequence[TaskScore]]],
    experts: Sequence[TaskScore],
    seed: int,
) -> Merges:
    """Resample the examples of each task once for all merges and experts.

    `merged[method][pair]`: the scores of one merge on the own tasks of its first and its second model. All scores of
    one task are cut to the same examples.
    """
    methods = len(merged)
    rows: dict[int, list[tuple[int, int, int, TaskScore]]] = {}
    for method, place in itertools.product(range(methods), range(len(pairs))):
        for side, score in enumerate(merged[method][place]):
            rows.setdefault(own[pairs[place][side]], []).append((method, place, side, score))
    shares, draws = numpy.zeros((methods, len(pairs))), numpy.zeros((1, methods, len(pairs)))
    for task, merges in rows.items():
        owners = [t for t, place in enumerate(own) if place == task]
        every = [*(score for *_, score in merges), *(experts[t] for t in owners)]
        n = min(score.n for score in every)
        values = numpy.array([score.correct[:n] for score in every], dtype=numpy.float64)
        _, whole = resampled(values, seed, f"{every[0].task} {every[0].split}", runs=every[0].metric == "perplexity")
        if draws.shape[0] == 1:
            draws = numpy.zeros((len(whole.draws), methods, len(pairs)))
        for row, (method, place, side, _) in enumerate(merges):
            expert = len(merges) + owners.index(pairs[place][side])
            value, drawn = _ratio(whole, row, expert)
            shares[method, place] += value / 2
            draws[:, method, place] += drawn / 2
    return Merges(shares, draws)


def spearman(first: Floats, second: Floats) -> Floats:
    """Return Spearman's ρ of rows [P] and [R, P]: [R]; nan where all are equal.

    >>> spearman(numpy.array([1.0, 2.0, 3.0]), numpy.array([[10.0, 20.0, 30.0], [3.0, 2.0, 1.0]])).tolist()
    [1.0, -1.0]
    """
    x, y = _ranks(first[None, :]), _ranks(second)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    lengths = numpy.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    with numpy.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (x * y).sum(axis=1) / lengths
    return found.clip(-1.0, 1.0)


def permuted(models: int, pairs: Sequence[Pair], seed: int) -> list[list[int]]:
    """Return where each pair goes when models change places: every way for at most 7 models, else 1 000 drawn ones.

    >>> permuted(2, [(0, 1)], 0)
    [[0], [0]]
    """
    index = {pair: place for place, pair in enumerate(pairs)}
    if models <= _EXACT:
        ways = [list(way) for way in itertools.permutations(range(models))]
    else:
        generator = numpy.random.Generator(numpy.random.PCG64(seed))
        ways = [list(range(models)), *(generator.permutation(models).tolist() for _ in range(_PERMUTATIONS - 1))]
    return [[index[min(way[i], way[j]), max(way[i], way[j])] for i, j in pairs] for way in ways]


def relation(
    scores: Sequence[float | None], merges: Merges, method: int, models: int, pairs: Sequence[Pair], seed: int
) -> dict[str, object] | None:
    """Return how a score of pairs goes with what merges of a method keep: Spearman's ρ, its interval, and p.

    The interval is a bootstrap over examples only: these are the pairs that there are. p: how often a relation as
    strong comes of models that change places (Mantel's test), which pairs that share models need. Nothing for fewer
    than four models, or where a score or ρ does not exist.
    """
    if models < 4 or any(score is None for score in scores):  # noqa: PLR2004
        return None
    x, kept = numpy.array(scores, dtype=numpy.float64), merges.values[method]
    value = float(spearman(x, kept[None, :])[0])
    others = spearman(x, kept[numpy.array(permuted(models, pairs, seed))])
    if not numpy.isfinite(value) or not numpy.isfinite(others).all():
        return None
    drawn = spearman(x, merges.draws[:, method])
    interval = percentiles(drawn)
    return {
        "spearman": value,
        "interval": None if interval is None else list(interval),
        "p": float((numpy.abs(others) >= abs(value) - 1e-12).mean()),
        "pairs": len(pairs),
        "models": models,
    }


def _ratio(drawn: Drawn, row: int, expert: int) -> tuple[float, Floats]:
    """Return merged ÷ expert; resamples in which the expert has none right count as what was seen."""
    ours, theirs = float(drawn.means[row]), float(drawn.means[expert])
    value = ours / theirs if theirs else float("nan")
    with numpy.errstate(invalid="ignore", divide="ignore"):
        draws = drawn.draws[:, row] / drawn.draws[:, expert]
    return value, numpy.where(numpy.isfinite(draws), draws, value)


def _ranks(rows: Floats) -> Floats:
    """Return the ranks within each row [R, P]; equal values share the mean of theirs."""
    below = (rows[:, :, None] > rows[:, None, :]).sum(axis=2)
    equal = (rows[:, :, None] == rows[:, None, :]).sum(axis=2)
    found: Floats = below + (equal - 1) / 2
    return found
