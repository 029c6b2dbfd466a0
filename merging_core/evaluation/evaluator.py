"""The anytime evaluator: many weights, few tasks, answers at once and then better ones."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Architecture, Weights, architecture, fitting
from merging_core.evaluation.batches import Batches, Cancelled
from merging_core.evaluation.heads import Head
from merging_core.evaluation.metrics import correct, losses
from merging_core.evaluation.report import Report, Subset, TaskScore, make_report, make_score
from merging_core.evaluation.subsets import PREVIEW
from merging_core.evaluation.tasks import Task

__all__ = ["BATCH", "Answers", "Evaluator", "Part", "parts_of", "scores"]

BATCH = 48
"""Images a batch on a CPU, about: on two busy cores 32 to 64 took alike, 96 a little longer."""
ACCELERATOR_BATCH = 512


@dataclass(frozen=True, eq=False)
class Part:
    """Examples `start` to `stop` of a split of a task, in the split's stratified order."""

    task: Task
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


@dataclass(frozen=True, eq=False)
class _Deck:
    """A split on the device, in stratified order."""

    inputs: torch.Tensor
    labels: torch.Tensor
    examples: NDArray[numpy.int64]
    head: Head


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
        self._decks: weakref.WeakKeyDictionary[Task, dict[str, _Deck]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def evaluate(
        self,
        config: Mapping[str, Any],
        weights: Weights,
        tasks: Sequence[Task],
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
        return make_report(scores(self.answers(config, weights, parts, cancelled)), subset, experts, transductive)

    def anytime(
        self,
        config: Mapping[str, Any],
        weights: Weights,
        tasks: Sequence[Task],
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
            yield make_report(first.tasks, "preview", experts, transductive)
        yield self.finish(config, weights, tasks, first, cancelled, experts=experts, transductive=transductive)

    def finish(
        self,
        config: Mapping[str, Any],
        weights: Weights,
        tasks: Sequence[Task],
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
        later = {score.task: score for score in scores(self.answers(config, weights, rest, cancelled))} if rest else {}
        return make_report(
            [_joined(score, later.get(score.task)) for score in first.tasks], "full", experts, transductive
        )

    def answers(
        self, config: Mapping[str, Any], weights: Weights, parts: Sequence[Part], cancelled: Cancelled | None = None
    ) -> tuple[Answers, ...]:
        """Return the model's logits on each part, all run together.

        Raises EvaluationError and CancelledError.
        """
        found = architecture(config)
        _check(found, parts)
        bound = fitting(found, weights, self.device)
        decks = [self._deck(part.task, part.split) for part in parts]
        slices = [slice(part.start, part.stop) for part in parts]
        pieces = [deck.inputs[rows] for deck, rows in zip(decks, slices, strict=True)]
        outputs = self._batches.run(partial(found.forward, bound), pieces, cancelled)
        with torch.inference_mode():
            shares = outputs.split_with_sizes([len(piece) for piece in pieces])
            return tuple(
                Answers(part, deck.head.logits(share), deck.labels[rows], deck.examples[rows])
                for part, deck, rows, share in zip(parts, decks, slices, shares, strict=True)
            )

    def _deck(self, task: Task, split: str) -> _Deck:
        with self._lock:
            decks = self._decks.setdefault(task, {})
            if split not in decks:
                decks[split] = _deck(task, split, self.device)
            return decks[split]


def parts_of(tasks: Sequence[Task], split: str, subset: Subset) -> tuple[Part, ...]:
    """Return one part a task: the preview subset (the first PREVIEW examples) or the whole split."""
    if not tasks:
        raise EvaluationError(Problem("there is a task to evaluate on", "none", "tasks"))
    sizes = [len(task.labels(split)) for task in tasks]
    stops = [min(size, PREVIEW) if subset == "preview" else size for size in sizes]
    return tuple(Part(task, split, 0, stop) for task, stop in zip(tasks, stops, strict=True))


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


def _size(part: Part) -> int:
    return len(part.task.splits[part.split])


def _joined(first: TaskScore, rest: TaskScore | None) -> TaskScore:
    if rest is None:
        return first
    return make_score(
        first.task,
        first.title,
        first.split,
        first.of,
        numpy.concatenate((first.examples, rest.examples)),
        numpy.concatenate((first.correct, rest.correct)),
        numpy.concatenate((first.losses, rest.losses)),
    )


def _deck(task: Task, split: str, device: torch.device) -> _Deck:
    labels, found = task.labels(split), task.splits[split]
    order = torch.tensor(found.order, dtype=torch.int64)
    inputs = task.pixels(found.images[order]).contiguous().to(device)
    return _Deck(inputs, labels[order].to(device), order.numpy(), task.head.to(device))


def _check(found: Architecture, parts: Sequence[Part]) -> None:
    """Raise EvaluationError with every task that the architecture cannot be asked."""
    problems = []
    for task in {part.task.name: part.task for part in parts}.values():
        if task.input_shape != found.input_shape:
            must = f"{found.name} reads images of shape {list(found.input_shape)}"
            problems.append(Problem(must, str(list(task.input_shape)), task.name))
        wanted = "logits" if task.head.width is None else "features"
        width = len(task.classes) if task.head.width is None else task.head.width
        if wanted != found.gives:
            must = f"{found.name} gives {found.gives}"
            problems.append(Problem(must, f"a task whose head takes {wanted}", task.name))
        elif width != found.width:
            problems.append(Problem(f"{found.name} gives {found.width} {wanted}", f"a head for {width}", task.name))
    if problems:
        raise EvaluationError(*problems)
