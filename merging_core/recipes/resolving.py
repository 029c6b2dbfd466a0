"""From a branch or a tag to a commit: once, so that everything after sees the same checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace

from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import BasinError
from merging_core.recipes.recipe import Recipe

__all__ = ["Resolution", "references", "resolve"]

_AT_ONCE = 8


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


def resolve(recipe: Recipe, pin: Callable[[str], Ref], look: Callable[[str], object] | None = None) -> Resolution:
    """Look for the commit of each reference to the Hub, of several at the same time, so that nobody waits for each.

    `pin` is `Catalog.pin`. `look` is asked with each reference at its commit: `Catalog.open`, where a plan follows that
    then finds the answers. What either raises is kept.
    """
    texts = [text for text in dict.fromkeys(references(recipe)) if parse_ref(text).scheme == "hub"]

    def ask(text: str) -> str | BasinError:
        try:
            found = str(pin(text))
            if look is not None:
                look(found)
        except BasinError as error:
            return error
        return found

    found: dict[str, str | BasinError] = {}
    if texts:
        with ThreadPoolExecutor(min(len(texts), _AT_ONCE)) as pool:
            asked = [pool.submit(copy_context().run, ask, text) for text in texts]
            found = {text: one.result() for text, one in zip(texts, asked, strict=True)}

    def named(text: str) -> str:
        answer = found.get(text, text)
        return answer if isinstance(answer, str) else text

    models = tuple(replace(entry, ref=named(entry.ref)) for entry in recipe.models)
    base = named(recipe.base) if recipe.base is not None else None
    refusals = {text: answer for text, answer in found.items() if isinstance(answer, BasinError)}
    return Resolution(replace(recipe, base=base, models=models), refusals)
