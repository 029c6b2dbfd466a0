"""From a branch or a tag to a commit: once, so that everything after sees the same checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import BasinError, PlanError, Problem
from merging_core.recipes.recipe import Recipe

__all__ = ["references", "resolved"]


def references(recipe: Recipe) -> tuple[str, ...]:
    """Return every reference of a recipe, the base first."""
    base = (recipe.base,) if recipe.base is not None else ()
    return (*base, *(entry.ref for entry in recipe.models))


def resolved(recipe: Recipe, pin: Callable[[str], Ref]) -> Recipe:
    """Return the recipe with each reference to the Hub at the commit that it means now; others stay as they are.

    `pin` is `Catalog.pin`. Raises what it raises, all problems at once; PlanError where there are several kinds.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    errors: list[BasinError] = []
    names = ["base"] if recipe.base is not None else []
    names += [f"models[{index}]" for index in range(len(recipe.models))]
    for where, text in zip(names, references(recipe), strict=True):
        ref = parse_ref(text)
        found[text] = text
        if ref.scheme != "hub" or ref.commit is not None:
            continue
        try:
            found[text] = str(pin(text))
        except BasinError as error:
            errors.append(error)
            problems.extend(error.located(where).problems)
    if problems:
        kinds = {type(error) for error in errors}
        raise (kinds.pop() if len(kinds) == 1 else PlanError)(*problems)
    models = tuple(replace(entry, ref=found[entry.ref]) for entry in recipe.models)
    return replace(recipe, base=found[recipe.base] if recipe.base is not None else None, models=models)
