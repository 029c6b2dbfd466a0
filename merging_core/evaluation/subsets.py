"""Which examples are looked at first: a fixed, stratified order of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["PREVIEW", "example_key", "stratified_order"]

PREVIEW = 20
"""Examples a task that are evaluated while a slider moves."""


def stratified_order(labels: Sequence[int], seed: str) -> tuple[int, ...]:
    """Return an order of the examples whose every beginning holds the classes as evenly as they allow.

    Examples of one class are ordered by sha256 of (seed, index) and dealt one class after the other, classes being
    ordered by sha256 of (seed, class) too; a class that runs out is passed over. Hence subsets of any size are nested,
    two classes that have examples left differ by at most one, and nothing depends on a generator's version.

    `labels`: one class index an example. `seed`: any text; the evaluator uses the names of task and split.

    >>> order = stratified_order([0, 0, 0, 1, 1, 1], "tiny/digits validation")
    >>> sorted(order), sorted([0, 0, 0, 1, 1, 1][i] for i in order[:4])
    ([0, 1, 2, 3, 4, 5], [0, 0, 1, 1])
    """
    queues: dict[int, list[int]] = {}
    for index in sorted(range(len(labels)), key=lambda index: example_key(seed, "example", index)):
        queues.setdefault(labels[index], []).append(index)
    classes = sorted(queues, key=lambda label: example_key(seed, "class", label))
    rounds = max((len(queue) for queue in queues.values()), default=0)
    return tuple(queues[label][turn] for turn in range(rounds) for label in classes if turn < len(queues[label]))


def example_key(seed: str, kind: str, number: int) -> bytes:
    """Return the sha256 of (seed, kind, number), by which examples and classes are ordered."""
    return hashlib.sha256(f"{seed}\n{kind}\n{number}".encode()).digest()
