"""Measuring the merges of pairs on the own tasks of their two experts: previews first, then whole splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from merging_core.analysis.studies.measuring import parts_in, scores_at, stands
from merging_core.analysis.studies.spec import StudySpec
from merging_core.analysis.vectors.effects import EFFECTS, Effect
from merging_core.analysis.vectors.pair_accuracy import Merges, drawn_merges, entry_of, own_tasks
from merging_core.analysis.vectors.pair_scores import Pair, PairScores
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.report import Subset, TaskScore

__all__ = ["PairMerges", "Piece"]

Piece = tuple[Effect | None, tuple[int, ...], Subset]
"""What is measured at once: a merge of a pair, or one model alone, on the own tasks of these models."""


class PairMerges:
    """What was measured of models and of the merges of pairs, for one answer."""

    def __init__(self, spec: StudySpec, scores: PairScores, pairs: Sequence[Pair]) -> None:
        self._spec, self._scores, self._pairs = spec, scores, pairs
        self._bench, self._memory, self._ground = scores.bench, scores.memory, scores.ground
        self._models = range(len(spec.models))
        self._passes: tuple[Subset, ...] = ("preview",) if spec.subset == "preview" else ("preview", "full")
        splits = spec.splits if self._bench.tasks else ()
        self._everywhere = parts_in(self._bench, splits, "preview")
        self._parts = {subset: parts_in(self._bench, splits, subset) for subset in self._passes}
        self._own: tuple[int, ...] | None = None
        self._known: dict[tuple[str, int, str, int], TaskScore] = {}
        self._entries: dict[tuple[object, ...], dict[str, object]] = {}
        self._drawn: dict[tuple[str, int], Merges] = {}

    @property
    def possible(self) -> bool:
        """Whether there are tasks, and merges that can be measured."""
        return self._ground.whole and bool(self._bench.tasks)

    @property
    def own(self) -> tuple[int, ...] | None:
        """The place of the own task of each model, once every model was measured on every preview."""
        if self._own is None and all(stands(self._memory, _name(None, (t,)), self._everywhere) for t in self._models):
            first = parts_in(self._bench, self._spec.splits[:1], "preview")
            self._own = own_tasks([self._measured(_name(None, (t,)), first) for t in self._models])
        return self._own

    def look_around(self, model: int) -> bool:
        """Measure a model on the previews of all tasks; returns whether that was missing."""
        return self._measure(None, (model,), self._everywhere)

    def pieces(self) -> list[Piece]:
        """Return all that is measured beside that, coarse first."""
        alone: list[Piece] = []
        for subset in self._passes:
            alone += [(None, (t,), subset) for t in self._models]
            alone += [(effect, pair, subset) for effect in EFFECTS for pair in self._pairs]
        return alone

    def measure(self, piece: Piece) -> bool:
        """Measure one piece; returns whether something was missing."""
        effect, models, subset = piece
        return self._measure(effect, models, self._parts_of(models, subset))

    def share(self) -> float:
        """Return which share of everything is measured."""
        around = sum(stands(self._memory, _name(None, (t,)), self._everywhere) for t in self._models)
        pieces = self.pieces()
        known = 0
        if self.own is not None:
            known = sum(
                stands(self._memory, _name(effect, models), self._parts_of(models, subset))
                for effect, models, subset in pieces
            )
        return (around + known) / (len(self._models) + len(pieces))

    def entries(self) -> list[dict[str, object]]:
        """Return what each merge keeps, split by split, of those that were measured."""
        rows = []
        for split in self._spec.splits if self.own is not None else ():
            for effect in EFFECTS:
                for place, pair in enumerate(self._pairs):
                    merged, experts = self._on_own(effect, pair, split), self._experts(pair, split)
                    if merged is None or experts is None:
                        continue
                    key = (split, effect.name, place, *(score.n for score in (*merged, *experts)))
                    if key not in self._entries:
                        self._entries[key] = entry_of(merged, experts)
                    rows.append({"split": split, "method": effect.name, "pair": place, **self._entries[key]})
        return rows

    def merges(self, split: str) -> Merges | None:
        """Return what all merges keep on the same examples; nothing before all of them were measured."""
        if self.own is None:
            return None
        rows = [[self._on_own(effect, pair, split) for pair in self._pairs] for effect in EFFECTS]
        experts = self._experts(tuple(self._models), split)
        if experts is None or any(row is None for every in rows for row in every):
            return None
        known = cast("list[list[list[TaskScore]]]", rows)
        key = (split, min(score.n for every in known for row in every for score in row))
        if key not in self._drawn:
            self._drawn[key] = drawn_merges(self._pairs, self.own, known, experts, self._spec.seed)
        return self._drawn[key]

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return on how many examples of the own tasks the experts were measured, and of how many, by split."""
        found = {}
        for split in self._spec.splits if self.own is not None else ():
            experts = self._experts(tuple(self._models), split)
            if experts is not None:
                tasks = {score.task: score for score in experts}.values()
                found[split] = sum(score.n for score in tasks), sum(score.of for score in tasks)
        return found

    def _measure(self, effect: Effect | None, models: tuple[int, ...], parts: tuple[Part, ...]) -> bool:
        name = _name(effect, models)
        if stands(self._memory, name, parts):
            return False
        config = self._ground.engine.opened(self._ground.base).config
        scores_at(self._bench, self._memory, config, name, lambda: self._weights(effect, models), parts)
        return True

    def _weights(self, effect: Effect | None, models: tuple[int, ...]) -> Weights:
        engine = self._ground.engine
        if effect is None:
            return engine.checkpoint(self._ground.models[models[0]], self._ground.base)
        pair = (models[0], models[1])
        recipe = self._scores.recipe(effect, pair)
        if self._spec.params["strength"] == "equal":
            sums = self._scores.sums(effect, pair)
            recipe = replace(recipe, lambda_=sums.usual / sums.length if sums.length else 0.0)
        return engine.merge(recipe).weights

    def _parts_of(self, models: tuple[int, ...], subset: Subset) -> tuple[Part, ...]:
        """Return the parts of the own tasks of some models, each task once."""
        wanted = {self._bench.tasks[self.own[t]].name for t in models} if self.own is not None else set[str]()
        return tuple(part for part in self._parts[subset] if part.task.name in wanted)

    def _on_own(self, effect: Effect, pair: Pair, split: str) -> list[TaskScore] | None:
        return self._scores_of(_name(effect, pair), pair, split)

    def _experts(self, models: tuple[int, ...], split: str) -> list[TaskScore] | None:
        rows = [self._scores_of(_name(None, (t,)), (t,), split) for t in models]
        return None if any(row is None for row in rows) else [row[0] for row in rows if row is not None]

    def _scores_of(self, name: str, models: tuple[int, ...], split: str) -> list[TaskScore] | None:
        """Return how a model did on the own tasks of some models, on as much as was measured; nothing without any."""
        found = []
        for t in models:
            for subset in reversed(self._passes):
                parts = tuple(part for part in self._parts_of((t,), subset) if part.split == split)
                if stands(self._memory, name, parts):
                    break
            else:
                return None
            (part,) = parts
            key = (name, t, split, part.stop)
            if key not in self._known:
                self._known[key] = self._measured(name, parts)[0]
            found.append(self._known[key])
        return found

    def _measured(self, name: str, parts: tuple[Part, ...]) -> tuple[TaskScore, ...]:
        """Return scores that the memory has."""
        return scores_at(self._bench, self._memory, {}, name, dict, parts)


def _name(effect: Effect | None, models: Sequence[int]) -> str:
    return f"model {models[0]}" if effect is None else f"merge {effect.name} {models[0]} {models[1]}"
