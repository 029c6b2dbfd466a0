"""Batches of every task, and the gradient of the objective by the merged weights.

A batch is a function of (seed, task, number): an epoch's order comes from a generator that is seeded by these names, so
that a run which goes on draws what it would have drawn. On a CPU, tasks are worked on side by side, one core each, and
their gradients are added in the order of the tasks: the same bits for any number of threads.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from merging_core.cores import MAX_WORKERS, cores, single_threaded_pool
from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Architecture, architecture, fitting, names_in
from merging_core.evaluation.evaluator import need_of
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.tangent import Linearised
from merging_core.evaluation.tasks import AnyTask, Task, known_split
from merging_core.learning.attacks import Attack, attacked
from merging_core.learning.looks import Looks
from merging_core.learning.objectives import Objective, objective_loss
from merging_core.learning.robustness import attack_problems, pixels_of, taken

__all__ = ["ROWS", "Gradient", "Source", "TaskBatches", "rows_of_batch", "sources"]

ROWS = 48
"""Rows that are worked on at once on a CPU, about, as the evaluator does."""
ACCELERATOR_ROWS = 64
Weights = Mapping[str, torch.Tensor]
_Found = tuple[list[tuple[int, float]], list[torch.Tensor | None]]
"""What each task of a chunk adds to its loss, by its place, and the gradients by the leaves."""


@dataclass(frozen=True, eq=False)
class Gradient:
    """The objective of each task on its batch, and its gradient by each merged leaf."""

    losses: tuple[float, ...]
    leaves: dict[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Source:
    """The examples of one task, by its place among them."""

    place: int

    task: AnyTask
    inputs: torch.Tensor
    labels: torch.Tensor | None
    found: Architecture
    names: dict[str, str]
    """What the model calls a leaf → what the file calls it."""
    own: dict[str, torch.Tensor]

    def bound(self, leaves: Weights) -> dict[str, torch.Tensor]:
        """Return the leaves of a file by the model's names, with those of the task's own head in their place."""
        found = {name: self.own.get(spelt, leaves.get(spelt)) for name, spelt in self.names.items()}
        return {name: leaf for name, leaf in found.items() if leaf is not None}


@dataclass(frozen=True, eq=False)
class _Piece:
    """The examples `start` to `stop` of each batch of a task; a batch that is too large for one worker is several."""

    source: Source
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class _Batch:
    """Examples of one task."""

    rows: torch.Tensor
    labels: torch.Tensor | None


class TaskBatches:
    """The tasks of one run; `weights` say the names and shapes of the leaves.

    `looks`: in which looks the pictures of each batch are learned from; as they are without.
    `attacks`: by what examples are changed against the weights, each alike, from a random start; None changes nothing.
    `base`: the leaves at which the models are linearised; None where they are not.
    Raises EvaluationError with every task that cannot be learned from.
    """

    def __init__(  # noqa: PLR0913
        self,
        config: Mapping[str, Any],
        weights: Weights,
        tasks: Sequence[AnyTask],
        split: str,
        objective: Objective,
        size: int,
        seed: int,
        looks: Looks | None = None,
        attacks: tuple[Attack | None, ...] = (None,),
        base: Weights | None = None,
    ) -> None:
        problems = attack_problems(tasks) if any(attacks) else []
        if problems:
            raise EvaluationError(*problems)
        self.objective, self._attacks = objective, attacks
        self._size, self._seed, self._looks, self._base = size, seed, looks, base
        self._device = next(iter(weights.values())).device
        found = sources(config, weights, tasks, split, objective, self._device)
        self._sources = tuple(found if base is None else (_linearised(source, base) for source in found))
        on_cpu = self._device.type == "cpu"
        self._chunks = _chunks(self._sources, size, ROWS if on_cpu else ACCELERATOR_ROWS)
        workers = min(MAX_WORKERS, cores(), len(self._chunks))
        self._pool = single_threaded_pool(workers, "basin-learning") if on_cpu else None
        self._workers = workers

    def close(self) -> None:
        """Let go of the worker threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def gradient(self, weights: Weights, number: int, by: Collection[str] | None = None) -> Iterator[Gradient | None]:
        """Yield None after each part of the work, then the gradient on batch `number` of every task.

        `by`: the leaves by which it is taken, or all.
        """
        reached = [name for name in weights if by is None or name in by]
        moved = weights if self._base is None else {name: leaf - self._base[name] for name, leaf in weights.items()}
        leaves = {name: leaf.detach().requires_grad_(by is None or name in by) for name, leaf in moved.items()}
        losses = [0.0] * len(self._sources)
        total: dict[str, torch.Tensor] = {}

        def work(chunk: tuple[_Piece, ...]) -> _Found:
            return self._worked(chunk, leaves, reached, number)

        for own, gradients in _in_order(self._pool, self._workers, work, self._chunks):
            for place, loss in own:
                losses[place] += loss
            for name, gradient in zip(reached, gradients, strict=True):
                if gradient is not None:
                    total[name] = total[name].add_(gradient) if name in total else gradient
            yield None
        yield Gradient(tuple(losses), total)

    def _worked(self, chunk: tuple[_Piece, ...], leaves: Weights, reached: Sequence[str], number: int) -> _Found:
        first = chunk[0].source
        known = first.bound(leaves)
        batches = [self._batch(piece, number) for piece in chunk]
        wanted = [leaves[name] for name in reached]
        losses = [0.0] * len(chunk)
        total: list[torch.Tensor | None] = [None] * len(wanted)
        for attack in self._attacks:
            pairs = zip(chunk, batches, strict=True)
            ready = torch.cat([self._ready(piece, batch, known, attack, number) for piece, batch in pairs])
            with torch.enable_grad():
                outputs = first.found.forward(known, ready).split_with_sizes([len(batch.rows) for batch in batches])
                found = [
                    self._loss(piece, batch, output)
                    for piece, batch, output in zip(chunk, batches, outputs, strict=True)
                ]
                gradients = torch.autograd.grad(torch.stack(found).sum(), wanted, allow_unused=True)
            losses = [loss + own.item() for loss, own in zip(losses, found, strict=True)]
            total = [_added(one, other) for one, other in zip(total, gradients, strict=True)]
        return [(piece.source.place, loss) for piece, loss in zip(chunk, losses, strict=True)], total

    def _batch(self, piece: _Piece, number: int) -> _Batch:
        source = piece.source
        place = rows_of_batch(len(source.inputs), self._size, number, self._seed, source.task.name)
        place = place[piece.start : piece.stop].to(self._device)
        return _Batch(source.inputs[place], None if source.labels is None else source.labels[place])

    def _ready(self, piece: _Piece, batch: _Batch, known: Weights, attack: Attack | None, number: int) -> torch.Tensor:
        """Return the inputs as the model takes them, in new looks and changed against the weights where that is."""
        task, found = piece.source.task, piece.source.found
        ready = task.prepared(batch.rows)
        if self._looks is not None and isinstance(task, Task):
            ready = self._looks.drawn(ready, task.name, number, piece.start)
        if attack is None:
            return ready
        if not isinstance(task, Task) or batch.labels is None:
            raise TypeError("an attack is of labelled pictures")
        held = {name: leaf.detach() for name, leaf in known.items()}
        head, labels = task.head.to(self._device).meeting(found.projected), batch.labels

        def losses(pixels: torch.Tensor) -> torch.Tensor:
            return cross_entropy(head.logits(found.forward(held, taken(task, pixels))), labels, reduction="none")

        chance = _chance("attack", self._seed, task.name, number, piece.start, attack.norm)
        return taken(task, attacked(losses, pixels_of(task, ready), attack, chance))

    def _loss(self, piece: _Piece, batch: _Batch, output: torch.Tensor) -> torch.Tensor:
        head = piece.source.task.head.to(self._device).meeting(piece.source.found.projected)
        loss = objective_loss(self.objective, head.logits(output), batch.labels)
        share = (piece.stop - piece.start) / (self._size * len(self._attacks))
        return loss if share == 1.0 else loss * share


def rows_of_batch(examples: int, size: int, number: int, seed: int, name: str) -> torch.Tensor:
    """Return which examples batch `number` holds: [size], each epoch in an order of its own.

    >>> sorted(torch.cat([rows_of_batch(4, 2, number, 0, "digits") for number in (0, 1)]).tolist())
    [0, 1, 2, 3]
    """
    first, last = number * size, (number + 1) * size
    epochs = range(first // examples, (last - 1) // examples + 1)
    orders = []
    for epoch in epochs:
        orders.append(torch.randperm(examples, generator=_chance("batches", seed, name, epoch)))
    start = first - epochs.start * examples
    return torch.cat(orders)[start : start + size]


def _chance(what: str, *names: object) -> torch.Generator:
    """Return a generator that is a function of names."""
    told = "\n".join(map(str, (f"basin.{what}.1", *names)))
    digest = hashlib.sha256(told.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _added(one: torch.Tensor | None, other: torch.Tensor | None) -> torch.Tensor | None:
    return other if one is None else one if other is None else one.add_(other)


def sources(  # noqa: PLR0913
    config: Mapping[str, Any],
    weights: Weights,
    tasks: Sequence[AnyTask],
    split: str,
    objective: Objective,
    device: torch.device,
) -> Iterator[Source]:
    """Yield the examples of each task for a model of this configuration, with labels where the objective needs them.

    Raises EvaluationError with every task that cannot be learned from.
    """
    problems = [] if tasks else [Problem("there is a task to learn from", "none", "tasks")]
    ready = []
    for task in tasks:
        if task.metric != "accuracy":
            must, fix = "a task that is learned from has classes", "choose tasks of classification"
            problems.append(Problem(must, "language modelling", task.name, fix))
            continue
        found = architecture(config, *need_of(task))
        problems += task.misfits(found)
        known_split(task, split)
        labels = None
        if objective == "cross_entropy":
            order = torch.tensor(task.splits[split].order, dtype=torch.int64)
            labels = task.labels(split)[order].to(device)
        ready.append((task, found, labels))
    if problems:
        raise EvaluationError(*problems)
    for place, (task, found, labels) in enumerate(ready):
        own = dict(task.head.leaves) if isinstance(task.head, OwnHead) else {}
        known = {**weights, **own}
        fitting(found, known, device)
        moved = {name: leaf.to(device=device, dtype=torch.float32) for name, leaf in own.items()}
        yield Source(place, task, task.inputs(split).to(device), labels, found, names_in(found, known), moved)


def _linearised(source: Source, base: Weights) -> Source:
    """Return the source whose model takes how far weights are from the base, and is linear in that.

    Its own head, if it has one, is at no distance.
    """
    at = {name: source.own[spelt] if spelt in source.own else base[spelt] for name, spelt in source.names.items()}
    found = replace(source.found, forward=Linearised(source.found.forward, at).moved)
    return replace(source, found=found, own={name: torch.zeros_like(leaf) for name, leaf in source.own.items()})


def _chunks(sources: Sequence[Source], size: int, rows: int) -> tuple[tuple[_Piece, ...], ...]:
    """Put neighbouring tasks together that one model answers together, up to so many rows; divide what has more."""
    chunks: list[list[_Piece]] = []
    parts = -(-size // rows)
    ends = [size * part // parts for part in range(parts + 1)]
    for source in sources:
        last = chunks[-1] if chunks else []
        if last and (len(last) + 1) * size <= rows and _alike(last[0].source, source):
            last.append(_Piece(source, 0, size))
        else:
            chunks += [[_Piece(source, start, stop)] for start, stop in pairwise(ends)]
    return tuple(tuple(chunk) for chunk in chunks)


def _alike(left: Source, right: Source) -> bool:
    same = need_of(left.task) == need_of(right.task) and not left.own and not right.own
    return same and left.inputs.shape[1:] == right.inputs.shape[1:] and left.inputs.dtype == right.inputs.dtype


def _in_order(
    pool: ThreadPoolExecutor | None,
    workers: int,
    work: Callable[[tuple[_Piece, ...]], _Found],
    chunks: Sequence[tuple[_Piece, ...]],
) -> Iterator[_Found]:
    if pool is None:
        yield from map(work, chunks)
        return
    waiting: deque[Future[_Found]] = deque()
    try:
        for chunk in chunks:
            if len(waiting) > workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, chunk))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
