"""Statistics of the experts of a small family, drawn at random, as measuring would have written them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from merging_core.checkpoints.learned import LearnedTensors
from merging_core.engines.measured import ABOUT, FISHER, GRAM, SIZE, About
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe
from tests.engines.world import Family

Tensors = dict[str, torch.Tensor]
WITHOUT = "encoder.layers.2.mlp.fc2.bias"
"""A leaf of which nothing was measured."""


def about(kind: str, expert: str, place: int = 0, **changes: Any) -> About:
    form = "exact" if kind == "fisher" else "own"
    given = {"form": form, "task": f"small/{place}", "split": "train", "n": 8, "seed": 0, "data": "0" * 32}
    return About(kind=kind, expert=expert, **{**given, **changes})  # type: ignore[arg-type]


def drawn(kind: str, made: Family, place: int) -> Tensors:
    """Return statistics of one expert: of leaves with at least one element, but not of `WITHOUT`."""
    generator = torch.Generator().manual_seed(100 + place)
    found: Tensors = {}
    for name, leaf in made.base_tensors.items():
        if not leaf.is_floating_point() or name == WITHOUT or not leaf.numel():
            continue
        if kind == "fisher":
            values = torch.rand(leaf.shape, generator=generator) ** 3 * (place + 1)
            found[FISHER + name] = torch.where(torch.rand(leaf.shape, generator=generator) < 0.2, 0.0, values)
        elif leaf.dim() == 2 and "embed" not in name:
            inputs = torch.randn(leaf.shape[1] + 2, leaf.shape[1], generator=generator)
            found[GRAM + name] = inputs.T @ inputs / len(inputs)
    return found


def written(store: LearnedTensors, about: About, tensors: Mapping[str, torch.Tensor]) -> str:
    size = sum(float(tensor.double().square().sum()) for tensor in tensors.values()) ** 0.5
    whole = {**tensors, ABOUT: about.tensor(), SIZE: torch.tensor([size], dtype=torch.float64)}
    return str(store.keep(whole))


def measured(
    store: LearnedTensors, made: Family, contents: Sequence[str], kind: str, draw: Callable[..., Tensors] = drawn
) -> list[str]:
    """Write statistics of every expert and return their references."""
    return [
        written(store, about(kind, content, place), draw(kind, made, place)) for place, content in enumerate(contents)
    ]


def with_statistics(recipe: Recipe, refs: Sequence[str | None]) -> Recipe:
    models = [
        {**entry.as_json(), **({"statistics": ref} if ref is not None else {})}
        for entry, ref in zip(recipe.models, refs, strict=True)
    ]
    return parse_recipe({**recipe.as_json(), "models": models})
