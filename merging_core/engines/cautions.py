"""What a person should know of a merge although it is no mistake; a plan lists it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from merging_core.checkpoints.dtypes import dtype_name
from merging_core.checkpoints.reader import Checkpoint
from merging_core.methods.varying import numbers_of
from merging_core.recipes.recipe import Recipe

__all__ = ["cautions"]


def cautions(recipe: Recipe, models: Sequence[Checkpoint], experts: Sequence[Checkpoint]) -> tuple[str, ...]:
    """Return a sentence for each; `models` are base and experts, the first of them the one that names all leaves."""
    texts = []
    target = dtype_name(getattr(torch, recipe.dtype))
    wider = {leaf.dtype for model in models for leaf in model.leaves.values()}
    lossy = sorted(wider & {"F64", "F32", "F16", "BF16"} - {target}) if target != "F32" else sorted(wider & {"F64"})
    if lossy:
        texts.append(f"weights stored as {', '.join(lossy)} are rounded to {recipe.dtype}, once, at the end")
    idle = [
        model.label for model, entry in zip(experts, recipe.models, strict=True) if not any(numbers_of(entry.weight))
    ]
    if idle:
        texts.append(f"{', '.join(idle)} {'has' if len(idle) == 1 else 'have'} weight 0 and no say in the merge")
    for model in models:
        named = next((twin for twin in model.twins if twin.named), None)
        if named is not None:
            of = models[0].label
            texts.append(f"{model.label} calls {named.leaf} {named.stored.name}, and all else so; named as in {of}")
    contents: dict[str, str] = {}
    for model in models:
        if model.known_content is None:
            continue
        if model.known_content in contents:
            texts.append(f"{model.label} holds the same weights as {contents[model.known_content]}")
        contents.setdefault(model.known_content, model.label)
    return tuple(texts)
