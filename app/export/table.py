"""A plan as the page's table: what is written, what becomes of the leaves, what it asks of this server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from merging_core.checkpoints.shards import shards
from merging_core.engines.plan import Plan
from merging_core.engines.pricing import amount, available_memory
from merging_core.errors import Problem

__all__ = ["Conditions", "conditions_of", "leaves_of", "table_of"]

_ROOM = 1.1
_NAMED = 100
"""Leaves of one kind that the page names."""


@dataclass(frozen=True)
class Conditions:
    """What a merge asks of this server, and what keeps it from being made now."""

    needed: int
    """Bytes of the disk."""
    free: int
    missing: tuple[tuple[str, int], ...]
    """Models that are not here: name, and bytes to download."""
    problems: tuple[Problem, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as the page shows it."""
        return {
            "disk": {"needed": self.needed, "free": self.free},
            "missing": [{"label": label, "bytes": size} for label, size in self.missing],
            "problems": [problem.as_json() for problem in self.problems],
        }


def conditions_of(size: int, largest: int, free: int, missing: Iterable[tuple[str, int]]) -> Conditions:
    """Say what an output of `size` bytes asks of a server where exports have at most `largest` and the disk `free`.

    >>> [problem.got for problem in conditions_of(2_000, 1_000, 100, [("a", 5_000)]).problems]
    ['2.0 kB', '100 B', 'only its description']
    """
    away, needed = tuple(missing), int(size * _ROOM)
    problems = []
    if size > largest:
        must = f"an export has at most {amount(largest)}"
        problems.append(Problem(must, amount(size), "export", "use the command line"))
    if needed > free:
        must, fix = f"the server's disk has {amount(needed)} free", "try again later, or use the command line"
        problems.append(Problem(must, amount(free), "export", fix))
    for label, weights in away:
        must = f"the model's weights ({amount(weights)}) are downloaded before it is merged"
        fix = "open Choose models and press Download, then merge"
        problems.append(Problem(must, "only its description", label, fix))
    return Conditions(needed, free, away, tuple(problems))


def table_of(plan: Plan, shard_bytes: int | None) -> dict[str, Any]:
    """Return what a plan says of its output, its leaves and its cost."""
    parts = shards(plan.outputs, shard_bytes)
    return {
        "dtype": plan.recipe.dtype,
        "bytes": plan.output_bytes,
        "files": [{"name": shard.file, "bytes": shard.nbytes} for shard in parts],
        "leaves": len(plan.outputs),
        "outcomes": leaves_of(plan),
        "memory": {"needed": plan.streaming_bytes, "has": available_memory()},
        "passes": {"reads": plan.passes.reads, "why": list(plan.passes.why)},
        "warnings": list(plan.warnings),
    }


def leaves_of(plan: Plan) -> list[dict[str, Any]]:
    """Return what becomes of the leaves and why, with counts, bytes and the first names of each kind."""
    return [*map(_short, (outcome.as_json() for outcome in plan.outcomes)), *_resized(plan)]


def _resized(plan: Plan) -> Iterator[dict[str, Any]]:
    names: dict[str, list[str]] = {}
    for name, words in plan.resized:
        names.setdefault(words, []).append(name)
    for words, leaves in names.items():
        yield _short({"what": "resized", "reason": words, "count": len(leaves), "bytes": None, "leaves": leaves})


def _short(outcome: dict[str, Any]) -> dict[str, Any]:
    kept = {key: outcome[key] for key in ("what", "reason", "count", "bytes")}
    return {**kept, "leaves": outcome["leaves"][:_NAMED]}
