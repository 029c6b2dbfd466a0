"""The zoo's families as the studio shows them, with the state that each opens with."""

from __future__ import annotations

from typing import Any

from app.families import Expert, Family
from merging_core.checkpoints.zoo import Zoo, ZooFamily

__all__ = ["families_of"]


def families_of(zoo: Zoo) -> tuple[Family, ...]:
    """Return the families in the zoo's order; experts keep the manifest's order, which gives their colours."""
    return tuple(_family(zoo, family) for family in zoo.families)


def _family(zoo: Zoo, family: ZooFamily) -> Family:
    experts = []
    for place, ref in enumerate(family.experts):
        info = zoo.checkpoint(ref.removeprefix("zoo:"))
        experts.append(Expert(ref, _short_title(ref), place, family.expert_task.get(ref), info.description))
    return Family(
        name=family.name,
        title=family.title,
        description=family.description,
        base=family.base,
        experts=tuple(experts),
        tasks=family.tasks,
        start=_start(family),
        start_path=_start_path(family),
    )


def _short_title(ref: str) -> str:
    """Return the last part of a reference's path as a title that fits beside a slider.

    >>> _short_title("zoo:basins/stranger-1")
    'Stranger 1'
    """
    return ref.rpartition("/")[2].replace("-", " ").capitalize()


def _start(family: ZooFamily) -> dict[str, Any]:
    """Return the recipe that a family opens with.

    Experts of different tasks: all of them, by the recipe that did best on validation among those which the zoo's
    manifest lists (`merges`): TIES with the sum. Experts of one task: the average of the first two.
    """
    shared = len(set(family.expert_task.values())) < len(family.experts)
    refs = family.experts[:2] if shared else family.experts
    start: dict[str, Any] = {"version": 1, "base": family.base, "models": [{"ref": ref} for ref in refs]}
    if shared:
        return {**start, "method": {"name": "linear"}}
    return {**start, "method": {"name": "ties", "params": {"density": 0.1, "combine": "sum"}}, "lambda": 0.8}


def _start_path(family: ZooFamily) -> dict[str, Any]:
    """Experts of one task are looked at between the first and the last: two basins, and the barrier between them."""
    shared = len(set(family.expert_task.values())) < len(family.experts)
    return {"kind": "between", "a": family.experts[0], "b": family.experts[-1]} if shared else {"kind": "lambda"}
