"""Recipes of older versions, brought to the present one by pure steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from merging_core.errors import Problem, RecipeError
from merging_core.methods.info import shown
from merging_core.recipes.recipe import VERSION

__all__ = ["Step", "migrate", "steps"]

Step = Callable[[Mapping[str, object]], Mapping[str, object]]


def steps() -> Mapping[int, Step]:
    """Return, for each older version, the function that brings a recipe to the next one.

    Version 1 is the first, so there is none yet.

    >>> dict(steps())
    {}
    """
    return {}


def migrate(
    mapping: Mapping[str, object], table: Mapping[int, Step] | None = None, newest: int = VERSION
) -> Mapping[str, object]:
    """Return the recipe in the newest version; the argument is not changed.

    Raises RecipeError if the version is missing, not a whole number, newer than this Basin, or too old to be known.

    >>> migrate({"version": 1, "models": []})["version"]
    1
    """
    known = steps() if table is None else table
    version = mapping.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        got = shown(version) if "version" in mapping else "nothing"
        raise RecipeError(Problem("version is a whole number", got, "version", f"write version: {newest}"))
    while version != newest:
        if version not in known:
            fix = "update Basin" if version > newest else f"the newest version is {newest}"
            raise RecipeError(Problem("the recipe's version is known", shown(version), "version", fix))
        mapping = {**known[version](mapping), "version": version + 1}
        version += 1
    return mapping
