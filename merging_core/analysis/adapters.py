"""LoRA adapters among the models that are looked at: each stands for its base with the adapter added."""

from __future__ import annotations

from collections.abc import Sequence

from merging_core.checkpoints.adapted import adapted
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import BasinError, CheckpointError, Problem

__all__ = ["added_to"]


def added_to(base: Checkpoint | None, models: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Return the models, and in the place of each adapter the base with it, from headers alone.

    Raises CheckpointError with every adapter that has no base or does not fit it, and where the base is an adapter.
    """
    problems, found = list[Problem](), list[Checkpoint]()
    if base is not None and base.adapter is not None:
        problems.append(
            Problem("the base is a whole model", "a LoRA adapter", base.label, "name what it was trained on")
        )
        base = None
        models = [model for model in models if model.adapter is None]
    for model in models:
        if model.adapter is None:
            found.append(model)
        elif base is None:
            known = f"hub:{model.adapter.base}" if model.adapter.base else "what it was trained on"
            must = "a LoRA adapter is looked at on its base"
            problems.append(Problem(must, "an adapter alone", model.label, f"name {known} as base"))
        else:
            try:
                found.append(adapted(base, model))
            except BasinError as error:
                problems.extend(error.problems)
    if problems:
        raise CheckpointError(*problems)
    return tuple(found)
