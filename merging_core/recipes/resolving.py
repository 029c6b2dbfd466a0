"""From a branch or a tag to a commit: once, so that everything after sees the same checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import BasinError
from merging_core.recipes.recipe import Recipe

__all__ = ["Resolution", "references", "resolve"]


@dataclass(frozen=True)
class Resolution:
    """A recipe at the commits that its references to the Hub mean now, as far as that could be known."""

    recipe: Recipe
    """References that were refused, and those to elsewhere, stand in it as they were."""
    refusals: Mapping[str, BasinError]
    """By reference, what kept it from being resolved."""


def references(recipe: Recipe) -> tuple[str, ...]:
    """Return every reference of a recipe, the base first."""
    base = (recipe.base,) if recipe.base is not None else ()
    return (*base, *(entry.ref for entry in recipe.models))


def resolve(recipe: Recipe, pin: Callable[[str], Ref]) -> Resolution:
    """Look for the commit of each reference to the Hub; `pin` is `Catalog.pin`, and what it raises is kept."""
    found: dict[str, str] = {}
    refusals: dict[str, BasinError] = {}
    for text in dict.fromkeys(references(recipe)):
        ref = parse_ref(text)
        found[text] = text
        if ref.scheme != "hub" or ref.commit is not None:
            continue
        try:
            found[text] = str(pin(text))
        except BasinError as error:
            refusals[text] = error
    models = tuple(replace(entry, ref=found[entry.ref]) for entry in recipe.models)
    base = found[recipe.base] if recipe.base is not None else None
    return Resolution(replace(recipe, base=base, models=models), refusals)
