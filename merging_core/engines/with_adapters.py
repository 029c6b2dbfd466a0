"""LoRA adapters among the experts of a recipe: each becomes the base with the adapter added, for plan and engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from merging_core.checkpoints.adapted import AdaptedCheckpoint, adapted
from merging_core.checkpoints.reader import Checkpoint
from merging_core.engines.pricing import amount
from merging_core.errors import BasinError, Problem

__all__ = ["adapter_json", "adapters_held", "model_words", "with_adapters"]

_WIDE = 8

Found = list[Checkpoint | None]


def with_adapters(
    base: Checkpoint | None, models: Sequence[Checkpoint | None], *, named: bool
) -> tuple[Checkpoint | None, Found, list[Problem]]:
    """Return base and experts with every adapter added to the base, None for what cannot be; and what is wrong.

    `named` says whether the recipe names a base, which may be one that could not be opened.
    """
    problems: list[Problem] = []
    if base is not None and base.adapter is not None:
        problems.append(_alone(base, "base", "the base is a whole model"))
        base = None
    found: Found = []
    for index, model in enumerate(models):
        where = f"models[{index}]"
        if model is None or model.adapter is None:
            found.append(model)
            continue
        found.append(None)
        if not named:
            problems.append(_alone(model, where, "a recipe with a LoRA adapter names its base"))
        elif base is not None:
            try:
                found[-1] = adapted(base, model)
            except BasinError as error:
                problems.extend(error.located(where).problems)
    return base, found, problems


def adapters_held(experts: Sequence[Checkpoint]) -> int:
    """Return the bytes that one worker holds of the factors of adapters: of each its largest layer, in float64."""
    return sum(
        max((_WIDE * product.rank * (product.rows + product.columns) for product in expert.products), default=0)
        for expert in experts
        if isinstance(expert, AdaptedCheckpoint)
    )


def model_words(checkpoint: Checkpoint) -> str:
    """Say how a model is called and how large it is; of an adapter also what it changes."""
    if isinstance(checkpoint, AdaptedCheckpoint):
        return f"{checkpoint.label}  {amount(checkpoint.lora.nbytes)}: {checkpoint.words}"
    return f"{checkpoint.label}  {amount(checkpoint.nbytes)}"


def adapter_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what a plan says of an adapter besides; empty for a whole model."""
    if not isinstance(checkpoint, AdaptedCheckpoint):
        return {}
    return {"adapter": {"leaves": list(checkpoint.changes), "bytes": checkpoint.lora.nbytes}}


def _alone(model: Checkpoint, where: str, must: str) -> Problem:
    known = model.adapter.base if model.adapter is not None else ""
    fix = f"it says that it was trained on {known}: write base: hub:{known}" if known else "name a whole model as base"
    return Problem(must, f"{model.label}, a LoRA adapter,", where, fix)
