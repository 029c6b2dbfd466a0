"""A plan as the page's table: what is written, what becomes of the leaves, what it asks of this server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from merging_core.checkpoints.shards import shards
from merging_core.engines.plan import Plan
from merging_core.engines.pricing import amount, available_memory
from merging_core.errors import CheckpointError, PlanError, Problem

__all__ = ["Conditions", "leaves_of", "table_of"]

_ROOM = 1.1
_NAMED = 100
"""Leaves of one kind that the page names."""


@dataclass(frozen=True)
class Conditions:
    """What a merge asks of this server, and what keeps it from being made now.

    >>> [problem.got for problem in Conditions(2_000, 1_000, 100, (("a", 5_000),)).problems]
    ['2.0 kB', '100 B', 'only its description']
    """

    size: int
    """Bytes of the output."""
    largest: int
    """Bytes that an export may have."""
    free: int
    """Bytes of the disk; what an earlier process has written of the same counts as free."""
    missing: tuple[tuple[str, int], ...] = ()
    """Models that are not here: name, and bytes to download."""

    @property
    def needed(self) -> int:
        """Bytes of the disk that it needs."""
        return int(self.size * _ROOM)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that keeps it from being made now."""
        problems = []
        if self.size > self.largest:
            must = f"an export has at most {amount(self.largest)}"
            problems.append(Problem(must, amount(self.size), "export", "use the command line"))
        if self.needed > self.free:
            must, fix = f"the server's disk has {amount(self.needed)} free", "try again later, or use the command line"
            problems.append(Problem(must, amount(self.free), "export", fix))
        for label, weights in self.missing:
            must = f"the model's weights ({amount(weights)}) are downloaded before it is merged"
            fix = "open Choose models and press Download, then merge"
            problems.append(Problem(must, "only its description", label, fix))
        return tuple(problems)

    def check(self) -> None:
        """Raise `CheckpointError` or `PlanError` with everything that keeps it from being made now."""
        if self.problems:
            raise (CheckpointError if self.missing else PlanError)(*self.problems)

    def as_json(self) -> dict[str, Any]:
        """Return it as the page shows it."""
        return {
            "disk": {"needed": self.needed, "free": self.free},
            "missing": [{"label": label, "bytes": size} for label, size in self.missing],
            "problems": [problem.as_json() for problem in self.problems],
        }


def table_of(plan: Plan, shard_bytes: int | None) -> dict[str, Any]:
    """Return what a plan says of its output, its leaves and its cost."""
    parts = shards(plan.outputs, shard_bytes)
    return {
        "dtype": plan.recipe.dtype,
        "bytes": plan.output_bytes,
        "files": [{"name": shard.file, "bytes": shard.nbytes} for shard in parts],
        "leaves": len(plan.outputs),
        "outcomes": leaves_of(plan),
        "memory": {"needed": plan.peak_bytes, "has": plan.room.total or available_memory()},
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
