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
        title = info.title.removesuffix(" expert")
        experts.append(Expert(ref, title, place, family.expert_task.get(ref), info.description))
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


def _start(family: ZooFamily) -> dict[str, Any]:
    """Return the recipe that a family opens with: all that were fine-tuned from its base, by task arithmetic."""
    shared = len(set(family.expert_task.values())) < len(family.experts)
    refs = family.experts[:2] if shared else family.experts
    method: dict[str, Any] = {"name": "linear"} if shared else {"name": "task_arithmetic"}
    return {"version": 1, "base": family.base, "models": [{"ref": ref} for ref in refs], "method": method}


def _start_path(family: ZooFamily) -> dict[str, Any]:
    """Experts of one task are looked at between the first and the last: two basins, and the barrier between them."""
    shared = len(set(family.expert_task.values())) < len(family.experts)
    return {"kind": "between", "a": family.experts[0], "b": family.experts[-1]} if shared else {"kind": "lambda"}
