"""The anytime evaluator: many weights, few tasks, answers at once and then better ones."""

from __future__ import annotations

import copy
import json
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Architecture, Asked, Weights, architecture, fitting, names_in
from merging_core.evaluation.batches import Batches, Cancelled
from merging_core.evaluation.decks import Deck, deck_of, prepared_first
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.metrics import correct, losses
from merging_core.evaluation.report import Report, Subset, TaskScore, joined_score, make_report, make_score
from merging_core.evaluation.stacked import AnyWeights, Stacked
from merging_core.evaluation.tangent import Linearised, beside
from merging_core.evaluation.tangents import Tangents
from merging_core.evaluation.tasks import AnyTask

__all__ = ["BATCH", "Answers", "Evaluator", "Part", "halves", "need_of", "parts_of", "scores"]

BATCH = 48
"""Images a batch on a CPU, about: on two busy cores 32 to 64 took alike, 96 a little longer."""
ACCELERATOR_BATCH = 512
HEAVY_BATCH = 1 << 20
"""Numbers of input a batch at most on a CPU, so that large pictures and long texts can be cancelled soon."""
_ARCHITECTURES = 32
_TOKEN_WEIGHT = 256
"""How many numbers of a picture one number of a text weighs, about."""


@dataclass(frozen=True, eq=False)
class Part:
    """Examples `start` to `stop` of a split of a task, in the split's stratified order."""

    task: AnyTask
    split: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's logits `[n, classes]` on a part, with the labels `[n]`, both on the evaluator's device."""

    part: Part
    logits: torch.Tensor
    labels: torch.Tensor
    examples: NDArray[numpy.int64]


@dataclass(eq=False)
class _Group:
    """Parts that one model answers together: the same function, the same leaves, rows of the same shape."""

    found: Architecture
    leaves: Weights
    places: list[int]


Function = Callable[[_Group], Callable[[torch.Tensor], torch.Tensor]]
"""What gives, for parts that one model answers together, that model as a function of rows."""


class Evaluator:
    """Scores weights on tasks, on one device.

    Inputs are normalised and moved once per task and split and kept as long as the task lives; outputs are not kept.
    Weights are arguments of a pure function, so threads may evaluate different weights at once. All tasks run together
    in batches of about `batch` images, on a CPU `workers` of them at a time (default: one a core); `cancelled()` is
    asked before each.
    """

    def __init__(
        self, device: torch.device | str = "cpu", batch: int | None = None, workers: int | None = None
    ) -> None:
        self.device = torch.device(device)
        size = batch or (BATCH if self.device.type == "cpu" else ACCELERATOR_BATCH)
        self._batches = Batches(self.device, size, workers)
        self._decks: weakref.WeakKeyDictionary[AnyTask, dict[str, Deck]] = weakref.WeakKeyDictionary()
        self._architectures: dict[tuple[str, Asked, int | None], Architecture] = {}
        self._lock = threading.Lock()
        self._base: Weights | None = None

    def linearised(self, base: Weights) -> Evaluator:
        """Return the evaluator of models linearised at `base`: it scores f(x; θ₀) + ∇f(x; θ₀)·(θ − θ₀) of weights θ.

        It shares tasks and threads with this one; its reports say that they are of linearised models. It raises
        EvaluationError for tasks without classes.
        """
        found = copy.copy(self)
        found._base = base
        return found

    def evaluate(
        self,
        config: Mapping[str, Any],
        weights: Weights,
        tasks: Sequence[AnyTask],
        split: str = "validation",
        subset: Subset = "full",
        cancelled: Cancelled | None = None,
        *,
        experts: Mapping[str, TaskScore] | None = None,
        transductive: bool = False,
    ) -> Report:
        """Return the report of `weights` on the preview subset or the whole of a split.

        `config`: the model's config.json; `weights`: leaf name → tensor; `experts`: scores of the tasks' experts, for
        `normalised`. Raises EvaluationError (model, task or split do not fit, all problems at once) and CancelledError.
        """
        parts = parts_of(tasks, split, subset)
        return self._said(self.scores(config, weights, parts, cancelled), subset, experts, transductive)

    def anytime(
        self,
        config: Mapping[str, Any],
        weights: Weights,
        tasks: Sequence[AnyTask],
        split: str = "validation",
        cancelled: Cancelled | None = None,
        *,
        experts: Mapping[str, TaskScore] | None = None,
        transductive: bool = False,
    ) -> Iterator[Report]:
        """Yield the preview's report, then that of the whole split, for which only the rest is computed.

        A split that is no larger than its preview gives one report. Raises as `evaluate` does.
        """
        first = self.evaluate(config, weights, tasks, split, "preview", cancelled)
        if first.partial:
            yield self._said(first.tasks, "preview", experts, transductive)
        yield self.finish(config, weights, tasks, first, cancelled, experts=experts, transductive=transductive)

    def finish(
        self,
        config: Mapping[str, Any],
        weights: Weights,
        tasks: Sequence[AnyTask],
        first: Report,
        cancelled: Cancelled | None = None,
        *,
        experts: Mapping[str, TaskScore] | None = None,
        transductive: bool = False,
    ) -> Report:
        """Return the report of the whole split, given that of its preview by the same weights, computing only the rest.

        Raises EvaluationError if `first` is of other tasks, and as `evaluate` does.
        """
        if [score.task for score in first.tasks] != [task.name for task in tasks]:
            must = "a preview is finished on its own tasks"
            raise EvaluationError(Problem(must, ", ".join(score.task for score in first.tasks), "first"))
        begun = zip(tasks, first.tasks, strict=True)
        rest = [Part(task, score.split, score.n, score.of) for task, score in begun if score.n < score.of]
        later = {score.task: score for score in self.scores(config, weights, rest, cancelled)} if rest else {}
        joined = [joined_score(score, later.get(score.task)) for score in first.tasks]
        return self._said(joined, "full", experts, transductive)

    def scores(
        self, config: Mapping[str, Any], weights: Weights, parts: Sequence[Part], cancelled: Cancelled | None = None
    ) -> tuple[TaskScore, ...]:
        """Return the score of each part, all run together.

        Raises EvaluationError and CancelledError.
        """
        if all(part.task.metric == "accuracy" for part in parts):
            return scores(self.answers(config, weights, parts, cancelled))
        answered = self._outputs(config, partial(self._function, weights), parts, cancelled)
        return tuple(
            token_score(part, output)
            if part.task.metric == "perplexity"
            else scores([self._classified(part, deck, output, projected)])[0]
            for part, (deck, output, projected) in zip(parts, answered, strict=True)
        )

    def stacks(self, config: Mapping[str, Any], parts: Sequence[Part]) -> bool:
        """Say whether many weights are faster answered together on these parts; raises as `scores` does."""
        plain = self._base is None and self.device.type == "cpu"
        return plain and all(group.found.together and not group.leaves for group in self._groups(config, parts)[0])

    def answers(
        self, config: Mapping[str, Any], weights: AnyWeights, parts: Sequence[Part], cancelled: Cancelled | None = None
    ) -> tuple[Answers, ...]:
        """Return the model's logits on each part, all run together; [n, k, classes] for weights that are stacked.

        Raises EvaluationError, also for a task of language modelling, which has no classes, and CancelledError.
        """
        _check_classes(parts)
        answered = self._outputs(config, partial(self._function, weights), parts, cancelled)
        with torch.inference_mode():
            return tuple(
                self._classified(part, deck, output, projected)
                for part, (deck, output, projected) in zip(parts, answered, strict=True)
            )

    def tangents(
        self,
        config: Mapping[str, Any],
        base: Weights,
        vector: Weights,
        parts: Sequence[Part],
        cancelled: Cancelled | None = None,
    ) -> tuple[Tangents, ...]:
        """Return what the model gives for each part at `base` and its derivative along a vector, in one pass.

        A leaf that `vector` lacks, and a task's own head, stand still. Raises as `answers` does.
        """
        _check_classes(parts)
        answered = self._outputs(config, partial(self._beside, base, vector), parts, cancelled)
        halves = [output.chunk(2, dim=-1) for _, output, _ in answered]
        return tuple(
            Tangents(value, slope, deck.head.meeting(projected), deck.labels[part.start : part.stop])
            for part, (value, slope), (deck, _, projected) in zip(parts, halves, answered, strict=True)
        )

    def _said(
        self,
        found: Sequence[TaskScore],
        subset: Subset,
        experts: Mapping[str, TaskScore] | None,
        transductive: bool,
    ) -> Report:
        return make_report(found, subset, experts, transductive, linearised=self._base is not None)

    def _function(self, weights: AnyWeights, group: _Group) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return what a group's model makes of rows; linearised, its own head, if it has one, stands still."""
        if isinstance(weights, Stacked):
            return partial(group.found.together or group.found.forward, weights.fitting(group.found, self.device))
        bound = fitting(group.found, {**weights, **group.leaves} if group.leaves else weights, self.device)
        if self._base is None:
            return partial(group.found.forward, bound)
        base = fitting(group.found, {**self._base, **group.leaves} if group.leaves else self._base, self.device)
        return Linearised(group.found.forward, base).of(bound)

    def _beside(self, base: Weights, vector: Weights, group: _Group) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return what gives a group's output at a base and, beside it, its derivative along a vector."""
        held = {**base, **group.leaves}
        moved = {
            name: vector[file].detach().to(device=self.device, dtype=torch.float32)
            for name, file in names_in(group.found, held).items()
            if file in vector and file not in group.leaves
        }
        return beside(group.found.forward, fitting(group.found, held, self.device), moved)

    def _outputs(
        self, config: Mapping[str, Any], function_of: Function, parts: Sequence[Part], cancelled: Cancelled | None
    ) -> list[tuple[Deck, torch.Tensor, bool]]:
        """Return for each part its deck, what the model gives for its rows, and whether that is projected."""
        groups, decks = self._groups(config, parts)
        found: dict[int, tuple[Deck, torch.Tensor, bool]] = {}
        for group in groups:
            function = function_of(group)
            first = decks[group.places[0]]
            if not first.ready:
                function = partial(prepared_first, function, parts[group.places[0]].task.prepared)
            pieces = [decks[place].inputs[parts[place].task.splits[parts[place].split].rows(
                parts[place].start, parts[place].stop)] for place in group.places]  # fmt: skip
            outputs = self._batches.run(function, pieces, cancelled, self._largest(first.inputs))
            shares = outputs.split_with_sizes([len(piece) for piece in pieces])
            for place, share in zip(group.places, shares, strict=True):
                found[place] = decks[place], share, group.found.projected
        return [found[place] for place in range(len(parts))]

    def _groups(self, config: Mapping[str, Any], parts: Sequence[Part]) -> tuple[list[_Group], list[Deck]]:
        """Put parts together that can be computed together; raise EvaluationError if one cannot be computed at all."""
        asked: dict[tuple[Asked, int | None], Architecture] = {}
        problems: list[Problem] = []
        for task in {id(part.task): part.task for part in parts}.values():
            need = need_of(task)
            if need not in asked:
                asked[need] = self._architecture(config, *need)
            problems += task.misfits(asked[need])
            if self._base is not None and task.metric == "perplexity":
                problems.append(Problem("a linearised model is scored on tasks with classes", task.metric, task.name))
        if problems:
            raise EvaluationError(*problems)
        groups: dict[tuple[object, ...], _Group] = {}
        decks = []
        for place, part in enumerate(parts):
            deck, task = self._deck(part.task, part.split), part.task
            decks.append(deck)
            leaves = task.head.leaves if isinstance(task.head, OwnHead) else {}
            key = (
                need_of(task), id(leaves) if leaves else None, deck.inputs.shape[1:], deck.inputs.dtype,
                None if deck.ready else id(task),
            )  # fmt: skip
            groups.setdefault(key, _Group(asked[need_of(task)], leaves, [])).places.append(place)
        return list(groups.values()), decks

    def _classified(self, part: Part, deck: Deck, output: torch.Tensor, projected: bool) -> Answers:
        rows = slice(part.start, part.stop)
        with torch.inference_mode():
            logits = deck.head.meeting(projected).logits(output)
        return Answers(part, logits, deck.labels[rows], deck.examples[rows])

    def _architecture(self, config: Mapping[str, Any], asked: Asked, classes: int | None) -> Architecture:
        key = json.dumps(config, sort_keys=True), asked, classes
        with self._lock:
            known = self._architectures.get(key)
        if known is None:
            known = architecture(config, asked, classes)
            with self._lock:
                if len(self._architectures) >= _ARCHITECTURES:
                    self._architectures.pop(next(iter(self._architectures)))
                self._architectures[key] = known
        return known

    def _largest(self, inputs: torch.Tensor) -> int:
        """Return how many rows a batch may have; the zoo's images are light enough for any."""
        weight = inputs[0].numel() * (1 if inputs.dim() == 4 else _TOKEN_WEIGHT)
        most = HEAVY_BATCH * (1 if self.device.type == "cpu" else ACCELERATOR_BATCH // BATCH)
        return max(1, min(self._batches.size, most // max(1, weight)))

    def _deck(self, task: AnyTask, split: str) -> Deck:
        with self._lock:
            decks = self._decks.setdefault(task, {})
            if split not in decks:
                decks[split] = deck_of(task, split, self.device)
            return decks[split]


def parts_of(tasks: Sequence[AnyTask], split: str, subset: Subset) -> tuple[Part, ...]:
    """Return one part a task: the preview subset (the first examples of its order) or the whole split."""
    if not tasks:
        raise EvaluationError(Problem("there is a task to evaluate on", "none", "tasks"))
    sizes = [len(task.labels(split)) for task in tasks]
    stops = [
        task.splits[split].preview if subset == "preview" else size for task, size in zip(tasks, sizes, strict=True)
    ]
    return tuple(Part(task, split, 0, stop) for task, stop in zip(tasks, stops, strict=True))


def halves(parts: Sequence[Part]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Return two halves of each part: by the first something is chosen, and the rest is shown."""
    middles = [part.start + (part.stop - part.start) // 2 for part in parts]
    first = tuple(replace(part, stop=middle) for part, middle in zip(parts, middles, strict=True))
    return first, tuple(replace(part, start=middle) for part, middle in zip(parts, middles, strict=True))


def scores(answers: Sequence[Answers]) -> tuple[TaskScore, ...]:
    """Return the score of each answer, with one transfer from the device for all."""
    with torch.inference_mode():
        right = torch.cat([correct(answer.logits, answer.labels) for answer in answers]).cpu().numpy()
        nats = torch.cat([losses(answer.logits, answer.labels) for answer in answers]).cpu().numpy()
    found, start = [], 0
    for answer in answers:
        part, stop = answer.part, start + len(answer.labels)
        task = part.task
        found.append(
            make_score(
                task.name, task.title, part.split, _size(part), answer.examples, right[start:stop], nats[start:stop]
            )
        )
        start = stop
    return tuple(found)


def _check_classes(parts: Sequence[Part]) -> None:
    problems = [
        Problem("a task whose answers are looked at has classes", "language modelling", name)
        for name in {part.task.name for part in parts if part.task.metric == "perplexity"}
    ]
    if problems:
        raise EvaluationError(*problems)


def _size(part: Part) -> int:
    return len(part.task.splits[part.split])


def token_score(part: Part, output: torch.Tensor) -> TaskScore:
    """Return the score of a part of a text, given −log p and hit of every scored token of its rows (NaN elsewhere)."""
    with torch.inference_mode():
        flat = output.flatten(0, 1)
        kept = flat[~(flat[:, 1]).isnan()].cpu().numpy()
    skipped = part.start - part.task.splits[part.split].first_of(part.start)
    kept = kept[skipped : skipped + part.stop - part.start]
    task, places = part.task, numpy.arange(part.start, part.stop, dtype=numpy.int64)
    return make_score(
        task.name, task.title, part.split, _size(part), places, kept[:, 1] == 1, kept[:, 0], metric="perplexity"
    )


def need_of(task: AnyTask) -> tuple[Asked, int | None]:
    """Return what a model must be built to do: features need no number of classes."""
    return task.asks, None if task.asks in ("pictures", "next tokens") else len(task.classes)
