"""Connectivity in a subspace: the loss in what models span, and the best place in it, chosen and judged apart."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy
from numpy.typing import NDArray

from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
from merging_core.analysis.studies.measuring import parts_in, scores_at
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.analysis.subspaces.places import Place, directions, drawn, inside, named, rounded
from merging_core.analysis.subspaces.told import against, chosen_by, held_out, told
from merging_core.engines.points import Points, points_of
from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.report import Subset, TaskScore
from merging_core.methods.info import ParameterInfo, Source
from merging_core.search.compass import compass

__all__ = ["SUBSPACE"]

_UNDONE = 0.999
"""The share of an answer whose search may still go on."""
_STEP, _LEAST = 0.25, 0.01
"""The first step of the search, and the last, in weights."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure named places and some by chance, on previews and then whole; then search around the best of them."""
    around = spec.params["within"] == "span"
    if around and spec.base is None:
        raise EvaluationError(Problem("a span lies around a base", "none", "base", "name a base, or look in the hull"))
    work = _Work(spec, bench, memory, around)
    count = len(spec.models)
    places = [*named(count, around), *drawn(count, int(spec.params.number("points")), spec.seed, around)]
    passes: tuple[Subset, ...] = ("preview",) if spec.subset == "preview" else ("preview", "full")
    done, steps = 0, len(places) * len(passes) + int(spec.params.number("tries"))
    for subset in passes:
        for place in places:
            work.look(place, subset)
            done += 1
            if len(work.found) > count:
                yield Finding(work.numbers(), min(done / steps, _UNDONE))
    start = work.best()
    search = compass(numpy.array(start.place.weights), start.value, directions(count, around), _STEP, _LEAST)
    asked = next(search, None)
    while asked is not None:
        weights, value = rounded(asked, around), math.inf
        if inside(weights):
            if weights not in work.found:
                if done == steps:
                    break
                work.look(Place("search", weights), passes[-1])
                done += 1
                yield Finding(work.numbers(), min(done / steps, _UNDONE))
            value = work.found[weights].value
        asked = _next(search, value)
    yield Finding(work.numbers(done=True), 1.0)


def _next(search: Generator[NDArray[numpy.float64], float, None], value: float) -> NDArray[numpy.float64] | None:
    try:
        return search.send(value)
    except StopIteration:
        return None


def _lowest(value: float) -> float:
    """Order what is not finite behind everything else."""
    return value if math.isfinite(value) else math.inf


@dataclass(frozen=True, eq=False)
class _Found:
    """A place that is measured. `value`: the loss that it is chosen by."""

    place: Place
    scores: tuple[TaskScore, ...]
    parts: tuple[Part, ...]
    value: float

    def held_out(self, split: str) -> tuple[TaskScore, ...]:
        """Return the scores on the half that no place is chosen by."""
        return held_out(self.scores, self.parts, split)

    def as_json(self, splits: Sequence[str]) -> dict[str, object]:
        """Return plain values: where it is, and how it does on the half that no place is chosen by."""
        return {
            "kind": self.place.kind,
            "models": list(self.place.models),
            "weights": list(self.place.weights),
            "chosen_by": self.value if math.isfinite(self.value) else None,
            "held_out": [{"split": split, **told(self.held_out(split))} for split in splits],
        }

    def tasks(self) -> list[dict[str, object]]:
        """Return the same of each task."""
        splits = dict.fromkeys(score.split for score in self.scores)
        return [
            {"task": score.task, "split": split, **told([score])} for split in splits for score in self.held_out(split)
        ]


class _Work:
    """One answer: the places that are measured, and what they come to."""

    def __init__(self, spec: StudySpec, bench: StudyBench, memory: Memory, around: bool) -> None:
        self._spec, self._bench, self._memory, self._around = spec, bench, memory, around
        models = (spec.base, *spec.models) if around and spec.base is not None else spec.models
        self._points: Points = points_of(bench.engine, models, spec.base)
        self._named = sum(1 for _ in named(len(spec.models), around))
        self._found: dict[Subset, dict[tuple[float, ...], _Found]] = {"preview": {}, "full": {}}

    @property
    def found(self) -> dict[tuple[float, ...], _Found]:
        """The places that are measured on the same examples: whole splits, once enough places have them."""
        fine, coarse = self._found["full"], self._found["preview"]
        return fine if len(fine) >= min(len(coarse), self._named) else coarse

    def look(self, place: Place, subset: Subset) -> None:
        """Measure a place, or take what is known of it."""
        self._bench.heed()
        name = f"at {' '.join(map(repr, place.weights))}"
        parts = parts_in(self._bench, self._spec.splits, subset)
        weights = partial(self._weights, place.weights)
        scores = scores_at(self._bench, self._memory, self._points.config, name, weights, parts)
        value = chosen_by(scores, parts, self._spec.splits[0])
        self._found[subset][place.weights] = _Found(place, scores, parts, value)

    def best(self) -> _Found:
        """Return the place that is lowest on the examples that it is chosen by."""
        return min(self.found.values(), key=lambda one: _lowest(one.value))

    def numbers(self, *, done: bool = False) -> dict[str, object]:
        """Return what is known: every place, how the best one does beside named ones, and the recipe that makes it."""
        spec, best = self._spec, self.best()
        alike = list(self.found.values())
        models = [one for one in alike if one.place.kind == "model"]
        others = [*models, *(one for one in alike if one.place.kind in ("base", "centroid", "sum"))]
        n = {split: sum(part.stop for part in best.parts if part.split == split) for split in spec.splits}
        judged = {split: sum(score.n for score in best.held_out(split)) for split in spec.splits}
        where = ", ".join(f"{split} n {count}, of which {judged[split]} judge" for split, count in n.items())
        single = min(models, key=lambda one: _lowest(one.value), default=None)
        return {
            "sentence": f"The best of {len(alike)} places in the {spec.params['within']} of {len(spec.models)} models, "
            f"chosen on one half of {spec.splits[0]} and judged on the other; {where}.",
            "n": n,
            "partial": not done or any(score.partial for score in best.scores),
            "models": spec.labels,
            "within": spec.params["within"],
            "judged": judged,
            "places": [one.as_json(spec.splits) for one in alike],
            "best": {**best.as_json(spec.splits), "tasks": best.tasks()},
            "others": [{**one.as_json(spec.splits), "tasks": one.tasks()} for one in others if one is not best],
            "gains": [
                {"over": one.place.kind, "models": list(one.place.models), "split": split,
                 **against(best.held_out(split), one.held_out(split))}
                for one in (single, *(one for one in alike if one.place.kind in ("centroid", "sum")))
                if one is not None and one is not best
                for split in spec.splits
            ],
            "recipe": self._recipe(best.place.weights),
        }  # fmt: skip

    def _weights(self, weights: tuple[float, ...]) -> Weights:
        shares = (1.0 - math.fsum(weights), *weights) if self._around else weights
        return self._points.weights(self._points.mixed(shares))

    def _recipe(self, weights: tuple[float, ...]) -> dict[str, object] | None:
        """Return the recipe that gives the weights of a place; nothing where a model is a merge itself."""
        refs = [model for model in self._spec.models if isinstance(model, str)]
        if len(refs) < len(weights):
            return None
        models = [{"ref": ref, "weight": weight} for ref, weight in zip(refs, weights, strict=True)]
        method: dict[str, object] = {"method": {"name": "linear"}}
        if self._around:
            method = {"method": {"name": "task_arithmetic"}, "lambda": 1.0}
        return {"version": 1, "base": self._spec.base, "models": models, **method}


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    labels = cast("list[str]", numbers["models"])
    ends = ("95 % low", "95 % high")
    measured = ("loss (nats)", *(f"loss {end}" for end in ends), "accuracy", *(f"accuracy {end}" for end in ends), "n")
    weights = tuple(f"weight of {place} {label}" for place, label in enumerate(labels, 1))
    best, others = cast("dict[str, Any]", numbers["best"]), cast("list[dict[str, Any]]", numbers["others"])
    named = tuple(
        (_title(one, labels, best), row["task"], row["split"], *_row(row))
        for one in [best, *others]
        for row in [*({"task": "mean over tasks", **mean} for mean in one["held_out"]), *one["tasks"]]
    )
    places = tuple(
        (_title(one, labels), *one["weights"], one["chosen_by"], row["split"], *_row(row))
        for one in cast("list[dict[str, Any]]", numbers["places"])
        for row in one["held_out"]
    )
    gains = tuple(
        (_title(row, labels, kind="over"), row["split"], *_flat(row["loss"]), *_flat(row["accuracy"]))
        for row in cast("list[dict[str, Any]]", numbers["gains"])
    )
    found = {
        "best": Table(
            "The best place beside others, on held-out examples", ("place", "task", "split", *measured), named
        ),
        "places": Table("Every place", ("place", *weights, "loss that chooses (nats)", "split", *measured), places),
    }
    if gains:
        header = ("over", "split", "loss added (nats)", *(f"loss {end}" for end in ends), "accuracy added",
                  *(f"accuracy {end}" for end in ends))  # fmt: skip
        found["gains"] = Table("What the best place gains, paired", header, gains)
    return found


def _title(one: Mapping[str, Any], labels: Sequence[str], best: object = None, kind: str = "kind") -> str:
    if one is best:
        return "best"
    if one[kind] in ("model", "middle"):
        return " and ".join(labels[model] for model in one["models"])
    return str(one[kind])


def _row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["loss"], *row["loss_interval"], row["accuracy"], *row["interval"], row["n"]


def _flat(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return one["value"], *one["interval"]


SUBSPACE = Study(
    name="subspace",
    title="Subspace",
    formula="min over a of L(Σ aᵢθᵢ), Σ aᵢ = 1; or of L(θ₀ + Σ aᵢτᵢ)",
    summary="How low the loss is in what several models span, and the best place there, chosen on one half of the "
    "examples and judged on the other.",
    source=Source(
        "Wortsman, Horton, Guestrin, Farhadi and Rastegari",
        2021,
        "Learning Neural Network Subspaces",
        "https://arxiv.org/abs/2102.10472",
        "section 3",
        "The models are given, not learned together; the best place is searched without gradients.",
    ),
    parameters=(
        ParameterInfo(
            "within", "Within", "choice", "hull", "Where one looks: among mixes of the models whose weights add up to "
            "1, or among all sums of task vectors on the base.", choices=("hull", "span"),
        ),
        ParameterInfo(
            "points", "Places by chance", "integer", 12, "Places drawn by chance.", 0, 500, slider=(0, 100),
        ),
        ParameterInfo(
            "tries", "Tries", "integer", 30, "Places that the search for the best may try.", 0, 500, slider=(0, 100),
        ),
    ),
    group="planes",
    models=(2, 6),
    answer=_answer,
    tables=_tables,
)  # fmt: skip
