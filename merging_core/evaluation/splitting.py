"""Dividing labelled examples into splits by seed, class by class."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from merging_core.evaluation.subsets import example_key

__all__ = ["SHARES", "divided", "portion"]

SHARES: Mapping[str, float] = {"train": 0.5, "calibration": 0.1, "validation": 0.2, "test": 0.2}
"""What each split gets of examples that have none; where some are given, the others share in these proportions."""


def divided(labels: Sequence[int], shares: Mapping[str, float], seed: str) -> dict[str, tuple[int, ...]]:
    """Divide examples into disjoint splits of the given shares; indices ascend.

    Each class is divided by itself: its examples are ordered by sha256 of (seed, index), and cut at
    ⌊c · n + u⌋, c being the shares added up, n the size of the class and u in [0, 1) the sha256 of (seed, class). So a
    class of few examples is cut where its own number says, and over many classes the shares are kept.

    >>> found = divided([0] * 10 + [1] * 10, {"train": 0.5, "test": 0.5}, "seed")
    >>> [len(indices) for indices in found.values()], set(found["train"]) & set(found["test"])
    ([10, 10], set())
    """
    classes: dict[int, list[int]] = {}
    for index in sorted(range(len(labels)), key=lambda index: example_key(seed, "example", index)):
        classes.setdefault(labels[index], []).append(index)
    whole = math.fsum(shares.values())
    found: dict[str, list[int]] = {name: [] for name in shares}
    for label, indices in classes.items():
        offset, so_far, start = _fraction(seed, label), 0.0, 0
        for number, (name, share) in enumerate(shares.items(), 1):
            so_far += share / whole
            stop = len(indices) if number == len(shares) else min(len(indices), int(so_far * len(indices) + offset))
            found[name] += indices[start:stop]
            start = max(start, stop)
    return {name: tuple(sorted(indices)) for name, indices in found.items()}


def portion(labels: Sequence[int], most: int, seed: str) -> tuple[int, ...]:
    """Return about `most` examples, never more, in the proportions of their classes; all where there are no more.

    >>> len(portion([0, 1] * 50, 10, "seed")), portion([0, 1], 5, "seed")
    (10, (0, 1))
    """
    if len(labels) <= most:
        return tuple(range(len(labels)))
    share = most / len(labels)
    kept = divided(labels, {"kept": share, "rest": 1.0 - share}, seed)["kept"]
    return tuple(sorted(sorted(kept, key=lambda index: example_key(seed, "kept", index))[:most]))


def _fraction(seed: str, label: int) -> float:
    digest = hashlib.sha256(f"{seed}\nclass\n{label}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
