"""Mechanistic similarity: whether two models decide by the same properties of a picture, beside their barrier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, cast

from merging_core.analysis.mechanisms.effects import Effect, agreement, effect_of, said_effect
from merging_core.analysis.mechanisms.interventions import Changed, Intervention, interventions
from merging_core.analysis.mechanisms.outcomes import Outcome, measure, outcome
from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
from merging_core.analysis.studies.measuring import parts_in
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.engines.points import Points
from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.barriers import barrier_of
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.predictions import UNANSWERED
from merging_core.evaluation.report import Subset
from merging_core.evaluation.tasks import AnyTask, Task
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["MECHANISMS", "changes_of"]

_INSIDE = (0.5, 0.25, 0.75)
"""Where between two models the loss is measured, the middle first."""
_SHOWN = 6
"""Examples of each task whose answers are told one by one."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure previews, then whole splits: pictures as they are, each change, then the lines between the models."""
    wrong = [task for task in bench.tasks if not isinstance(task, Task)]
    if wrong:
        must, fix = "what is changed are pictures", "choose tasks of pictures; of texts no change is known here"
        raise EvaluationError(*(Problem(must, "a task of texts", task.name, fix) for task in wrong))
    work = _Work(spec, bench, memory)
    passes: tuple[Subset, ...] = ("preview",) if spec.subset == "preview" else ("preview", "full")
    steps = list(work.steps)
    for turn, subset in enumerate(passes):
        for place, step in enumerate(steps):
            bench.heed()
            step(subset)
            share = (turn * len(steps) + place + 1) / (len(passes) * len(steps))
            if turn or place >= 2 * len(spec.models) - 1:
                yield Finding(work.numbers(), share)


def changes_of(spec: StudySpec) -> tuple[Intervention, ...]:
    """Return the changes that a specification asks for."""
    kept = str(spec.params["keeps"])
    return tuple(one for one in interventions() if kept in ("both", one.keeps))


class _Work:
    """One answer: what is measured step by step, and what it comes to."""

    def __init__(self, spec: StudySpec, bench: StudyBench, memory: Memory) -> None:
        self._spec, self._bench, self._memory = spec, bench, memory
        self._points: Points = bench.points(spec)
        self._models = range(len(spec.models))
        self._known: dict[tuple[str, str], _Told] = {}
        self._changes = changes_of(spec)
        self._changed = {
            (task.name, change.name): Changed.of(cast(Task, task), change, spec.seed)
            for task in bench.tasks
            for change in self._changes
        }

    @property
    def steps(self) -> Iterator[Callable[[Subset], None]]:
        """What is measured: every model on pictures as they are, then changed, then between every two models."""
        for change in (None, *self._changes):
            for place in self._models:
                yield partial(self._look, change, place)
        for pair in combinations(self._models, 2):
            for share in _INSIDE:
                yield partial(self._between, pair, share)

    def numbers(self) -> dict[str, object]:
        """Return what is known: effects of each change, how alike they are, and barriers."""
        splits, pairs = self._spec.splits, list(combinations(self._models, 2))
        known = [
            told for change in self._changes for split in splits if (told := self._told(split, change)) is not None
        ]
        barriers = [self._barrier(split, pair) for pair in pairs for split in splits]
        n = {split: self._seen(split) for split in splits}
        where = ", ".join(f"{split} n {count}" for split, count in n.items())
        names = {told.intervention.name for told in known}
        whole = len(known) == len(self._changes) * len(splits) and all(told.whole for told in known)
        return {
            "sentence": f"How changed pictures change what {len(self._models)} models answer, and how alike; {where}.",
            "n": n,
            "partial": not (whole and all(one is not None and one["whole"] for one in barriers)),
            "models": self._spec.labels,
            "interventions": [change.as_json() for change in self._changes if change.name in names],
            "effects": [row for told in known for row in told.effects],
            "pairs": [
                {
                    "first": pair[0],
                    "second": pair[1],
                    "barriers": [one for one in barriers[len(splits) * place :][: len(splits)] if one is not None],
                    "agreements": [told.agreements[place] for told in known],
                    "similarity": [_similarity(split, place, known) for split in splits],
                }
                for place, pair in enumerate(pairs)
            ],
            "examples": [row for part in self._parts(splits[0]) for row in self._examples(part)],
        }

    def _examples(self, part: Part) -> list[dict[str, object]]:
        """Return what models answer to the first examples of a task, as they are and as each change makes them."""
        known = {
            change: [found for place in self._models if (found := self._outcome(change, place, part)) is not None]
            for change in (None, *self._changes)
        }
        seen = {change: found for change, found in known.items() if len(found) == len(self._models)}
        if None not in seen:
            return []
        classes, order = part.task.classes, part.task.splits[part.split].order
        rows: list[dict[str, object]] = []
        for place in range(min(_SHOWN, *(one.n for found in seen.values() for one in found))):
            answers = {
                "" if change is None else change.name: [_named(classes, int(one.answers[place])) for one in found]
                for change, found in seen.items()
            }
            label = classes[int(seen[None][0].labels[place])]
            where = {"task": part.task.name, "split": part.split, "example": int(order[place])}
            rows.append({**where, "label": label, "answers": answers})
        return rows

    def _parts(self, split: str) -> tuple[Part, ...]:
        return parts_in(self._bench, (split,), "full")

    def _outcome(self, change: Intervention | None, place: int, part: Part) -> Outcome | None:
        return outcome(self._memory, _seen_by(change, place), part)

    def _told(self, split: str, change: Intervention) -> _Told | None:
        """Return what one change does, worked out once for the same examples; nothing before all are known."""
        found = self._effects(split, change)
        if not found:
            return None
        sizes = [effect.n for effect in found[0]]
        known = self._known.get((split, change.name))
        if known is None or known.sizes != sizes:
            known = self._known[split, change.name] = _Told.of(split, change, found, self._bench.tasks)
        return known

    def _look(self, change: Intervention | None, place: int, subset: Subset) -> None:
        parts = [self._part(part, change) for part in parts_in(self._bench, self._spec.splits, subset)]
        points, flat = self._points, self._points.flats[place]
        name = _seen_by(change, place)
        measure(self._bench, self._memory, points.config, name, lambda: points.weights(flat), parts)

    def _between(self, pair: tuple[int, int], share: float, subset: Subset) -> None:
        points, shares = self._points, [0.0 for _ in self._models]
        shares[pair[0]], shares[pair[1]] = 1.0 - share, share
        parts = parts_in(self._bench, self._spec.splits, subset)
        weights = partial(_mixed, points, shares)
        measure(self._bench, self._memory, points.config, _between(pair, share), weights, parts)

    def _part(self, part: Part, change: Intervention | None) -> Part:
        """Return the same examples as a change makes them."""
        if change is None:
            return part
        return Part(self._changed[part.task.name, change.name], part.split, part.start, part.stop)

    def _effects(self, split: str, change: Intervention) -> list[list[Effect]]:
        """Return the effect on every model on each task, on the same examples; nothing before all are measured."""
        found: list[list[Effect]] = [[] for _ in self._models]
        for part in self._parts(split):
            pairs = [(self._outcome(None, place, part), self._outcome(change, place, part)) for place in self._models]
            known = [(before, after) for before, after in pairs if before is not None and after is not None]
            if len(known) < len(pairs):
                return []
            n = min(min(before.n, after.n) for before, after in known)
            for effects, (before, after) in zip(found, known, strict=True):
                effects.append(effect_of(before.first(n), after.first(n)))
        return found

    def _barrier(self, split: str, pair: tuple[int, int]) -> dict[str, Any] | None:
        """Return the barrier of the mean loss over tasks between two models; nothing before all points are there."""
        names = {0.0: _seen_by(None, pair[0]), 1.0: _seen_by(None, pair[1])}
        names |= {share: _between(pair, share) for share in _INSIDE}
        means: dict[float, list[float]] = {share: [] for share in sorted(names)}
        n, whole = 0, True
        for part in self._parts(split):
            found = {share: outcome(self._memory, name, part) for share, name in names.items()}
            known = {share: one for share, one in found.items() if one is not None}
            if len(known) < len(found):
                return None
            least = min(one.n for one in known.values())
            n, whole = n + least, whole and least == part.stop
            for share, one in known.items():
                means[share].append(float(one.losses[:least].mean()))
        losses = [sum(row) / len(row) for row in means.values()]
        return {"split": split, "n": n, "whole": whole, **barrier_of(losses, list(means)).as_json()}

    def _seen(self, split: str) -> int:
        """Return how many pictures all models have answered as they are."""
        found = [[self._outcome(None, place, part) for place in self._models] for part in self._parts(split)]
        return sum(min(0 if one is None else one.n for one in row) for row in found)


@dataclass(frozen=True, eq=False)
class _Told:
    """What one change does on one split, as plain values: to each model, and how alike for each pair."""

    intervention: Intervention
    split: str
    sizes: list[int]
    whole: bool
    effects: list[dict[str, object]]
    agreements: list[dict[str, object]]

    @classmethod
    def of(cls, split: str, change: Intervention, found: list[list[Effect]], tasks: Sequence[AnyTask]) -> _Told:
        """Say what effects come to: for each model one for each task."""
        where = {"intervention": change.name, "split": split}
        effects: list[dict[str, object]] = []
        for place, own in enumerate(found):
            rows = [{"task": task.name, **said_effect([one])} for task, one in zip(tasks, own, strict=True)]
            effects.append({**where, "model": place, "tasks": rows, "mean": said_effect(own)})
        alike = [{**where, **agreement(one, other)} for one, other in combinations(found, 2)]
        sizes = [effect.n for effect in found[0]]
        whole = sizes == [len(task.splits[split]) for task in tasks]
        return cls(change, split, sizes, whole, effects, alike)


def _similarity(split: str, place: int, known: Sequence[_Told]) -> dict[str, object]:
    """Return the mean correlation of one pair of models over the changes of each kind, and over all."""
    row: dict[str, object] = {"split": split}
    for keeps in ("shape", "texture", "both"):
        own = [told for told in known if told.split == split and keeps in ("both", told.intervention.keeps)]
        values = [cast("dict[str, Any]", told.agreements[place]["correlation"])["value"] for told in own]
        numbers = [value for value in values if value is not None]
        row[keeps] = sum(numbers) / len(numbers) if numbers else None
    return row


def _named(classes: Sequence[str], answer: int) -> str | None:
    """Return the name of an answer; nothing for a model that answers nothing."""
    return None if answer == UNANSWERED else classes[answer]


def _mixed(points: Points, shares: Sequence[float]) -> Weights:
    return points.weights(points.mixed(shares))


def _seen_by(change: Intervention | None, place: int) -> str:
    return f"{'as it is' if change is None else change.name} {place}"


def _between(pair: tuple[int, int], share: float) -> str:
    return f"{pair[0]} to {pair[1]} at {share!r}"


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    labels = cast("list[str]", numbers["models"])
    changes = cast("list[dict[str, str]]", numbers["interventions"])
    named = {one["name"]: (one["title"], one["keeps"]) for one in changes}
    effects = tuple(
        (labels[row["model"]], *named[row["intervention"]], task, row["split"],
         *_flat(one["loss"]), *_flat(one["accuracy"]), *_flat(one["flips"]), one["n"])
        for row in cast("list[dict[str, Any]]", numbers["effects"])
        for task, one in [*((each["task"], each) for each in row["tasks"]), ("mean over tasks", row["mean"])]
    )  # fmt: skip
    pairs = cast("list[dict[str, Any]]", numbers["pairs"])
    alike = tuple(
        (labels[pair["first"]], labels[pair["second"]], *named[row["intervention"]], row["split"],
         *_flat(row["correlation"]), *_flat(row["same"]), row["kappa"], row["n"])
        for pair in pairs
        for row in pair["agreements"]
    )  # fmt: skip
    barriers = tuple(
        (labels[pair["first"]], labels[pair["second"]], row["split"], row["height"], row["at"], similar["shape"],
         similar["texture"], similar["both"], row["n"])
        for pair in pairs
        for row in pair["barriers"]
        for similar in pair["similarity"]
        if similar["split"] == row["split"]
    )  # fmt: skip
    ends = ("95 % low", "95 % high")
    found = {
        "effects": Table(
            "What changes of pictures do to answers",
            ("model", "change", "keeps", "task", "split", "loss added (nats)", *(f"loss {end}" for end in ends),
             "accuracy added", *(f"accuracy {end}" for end in ends), "answers changed",
             *(f"answers {end}" for end in ends), "n"),
            effects,
        ),
        "alike": Table(
            "How alike the effects on two models are",
            ("model", "other", "change", "keeps", "split", "rank correlation", *(f"correlation {end}" for end in ends),
             "same answers change", *(f"same {end}" for end in ends), "kappa", "n"),
            alike,
        ),
    }  # fmt: skip
    if barriers:
        header = ("model", "other", "split", "barrier (nats)", "at", "correlation, shape kept",
                  "correlation, texture kept", "correlation, all", "n")  # fmt: skip
        found["barriers"] = Table("Barrier and mechanistic similarity", header, barriers)
    return found


def _flat(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return one["value"], *one["interval"]


MECHANISMS = Study(
    name="mechanisms",
    title="Mechanistic similarity",
    formula="ρ between models of ΔLᵢ = L(change(xᵢ)) − L(xᵢ)",
    summary="Whether two models decide by the same properties of a picture, its shape or its texture, beside the "
    "barrier between them.",
    source=Source(
        "Lubana, Bigelow, Dick, Krueger and Tanaka",
        2023,
        "Mechanistic Mode Connectivity",
        "https://arxiv.org/abs/2211.08422",
        "section 3",
        "Similarity is a degree: the rank correlation of what each change does to each example. The barrier is the "
        "highest of three points between the models, so a lower bound.",
    ),
    parameters=(
        ParameterInfo(
            "keeps", "Changes", "choice", "both", "Which changes are made: those that keep the shape, those that keep "
            "the texture, or both.", choices=("both", "shape", "texture"),
        ),
    ),
    group="behaviour",
    models=(2, 8),
    answer=_answer,
    tables=_tables,
)  # fmt: skip
