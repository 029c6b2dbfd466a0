"""A short search among the settings of one method, one coordinate after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from merging_core.errors import RecipeError
from merging_core.methods.contract import MethodInfo
from merging_core.methods.registry import method
from merging_core.recipes import Recipe
from merging_core.recipes.changes import with_lambda, with_method_params

__all__ = ["BUDGET", "LAMBDA_FACTORS", "Searched", "search", "settings_changed"]

BUDGET = 12
"""Settings of a method that are tried at most, its defaults included."""
LAMBDA_FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
"""λ is tried at so many times the method's own default."""

Score = Callable[[Recipe], float | None]
"""The accuracy of a recipe, higher is better; None where it cannot be merged."""

Axis = Callable[[Recipe], Iterator[Recipe]]
"""All that one coordinate offers, with everything else as in the recipe that it is given."""


@dataclass(frozen=True)
class Searched:
    """What a search found: the best setting, how it did on the examples it was chosen by, and how many were tried."""

    recipe: Recipe
    score: float
    tried: int


def search(start: Recipe, score: Score, budget: int = BUDGET) -> Searched | None:
    """Return the best of at most `budget` settings, beginning with `start`; None where that cannot be merged.

    λ is tried first, then each parameter of `MethodInfo.searched`, then λ once more, each from the best setting so far.
    Of settings that do alike the earliest is kept, so nothing is changed without a gain.
    """
    first = score(start)
    if first is None:
        return None
    best, best_score, tried = start, first, {start}
    for axis in _axes(method(start.method.name), start):
        for candidate in axis(best):
            if candidate in tried:
                continue
            if len(tried) >= budget:
                return Searched(best, best_score, len(tried))
            tried.add(candidate)
            found = score(candidate)
            if found is not None and found > best_score:
                best, best_score = candidate, found
    return Searched(best, best_score, len(tried))


def settings_changed(start: Recipe, found: Recipe) -> dict[str, object]:
    """Return λ and the method's parameters where a recipe found has others than the one that it began with.

    >>> from merging_core.recipes import parse_recipe
    >>> start = parse_recipe({"version": 1, "base": "zoo:tiny/base", "models": [{"ref": "zoo:tiny/digits"}],
    ...                       "method": {"name": "ties"}})
    >>> settings_changed(start, with_lambda(start, 1.5))
    {'lambda': 1.5}
    """
    before, after = start.method.params.as_json(), found.method.params.as_json()
    changed: dict[str, object] = {"lambda": found.lambda_} if found.lambda_ != start.lambda_ else {}
    return {**changed, **{name: value for name, value in after.items() if before.get(name) != value}}


def _axes(info: MethodInfo, start: Recipe) -> Iterator[Axis]:
    """Yield the coordinates in the order of the search; without a base there is no λ to choose."""
    scales = [round(factor * info.default_lambda, 6) for factor in LAMBDA_FACTORS]
    along_lambda = partial(_at_each, with_lambda, scales)
    if start.base is not None:
        yield along_lambda
    for name, values in info.searched:
        yield partial(_at_each, partial(_with_param, name), values)
    if start.base is not None and info.searched:
        yield along_lambda


def _at_each(change: Callable[[Recipe, Any], Recipe], values: Sequence[Any], recipe: Recipe) -> Iterator[Recipe]:
    """Yield the recipe with each of the values that it may have beside its others."""
    for value in values:
        with suppress(RecipeError):
            yield change(recipe, value)


def _with_param(name: str, recipe: Recipe, value: Any) -> Recipe:
    return with_method_params(recipe, **{name: value})
