"""What a plan says of numbers that vary: where they do, filters that decide about no leaf, weights that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from merging_core.engines.settings import Settings
from merging_core.errors import Problem, closest, legible
from merging_core.methods.info import Parameters
from merging_core.methods.varying import Varying
from merging_core.recipes.differences import name_of
from merging_core.recipes.recipe import Recipe
from merging_core.recipes.rules import weights_problems
from merging_core.recipes.stages import Stages
from merging_core.space.parameter_space import SpaceLeaf

__all__ = ["idle_filters", "leaf_problems", "varying_numbers", "what_varies"]


def varying_numbers(recipe: Recipe) -> Iterator[tuple[str, str, Varying]]:
    """Yield each number of a recipe that varies: its place in the recipe, what people call it, and itself."""
    for index, entry in enumerate(recipe.models):
        if isinstance(entry.weight, Varying):
            yield f"models[{index}].weight", f"weight of {name_of(entry.ref)}", entry.weight
        for name, own in _varying(entry.params):
            yield f"models[{index}].params.{name}", f"{name} of {name_of(entry.ref)}", own
    for where, params in (("mask", recipe.mask.params), ("method.params", recipe.method.params)):
        for name, common in _varying(params):
            yield f"{where}.{name}", name, common
    if isinstance(recipe.lambda_, Varying):
        yield "lambda", "λ", recipe.lambda_


def what_varies(recipe: Recipe) -> tuple[str, ...]:
    """Say which numbers of a recipe vary, and how.

    >>> from merging_core.recipes.parse import parse_recipe
    >>> given = {"version": 1, "base": "zoo:b", "models": [{"ref": "zoo:tiny/digits", "weight": [0, 1]}]}
    >>> what_varies(parse_recipe({**given, "method": {"name": "task_arithmetic"}}))
    ('weight of digits: 0 … 1',)
    """
    return tuple(f"{legible(title)}: {number:g}" for _, title, number in varying_numbers(recipe))


def idle_filters(recipe: Recipe, leaves: Sequence[SpaceLeaf]) -> tuple[str, ...]:
    """Say which filters decide about no leaf, with the leaf whose name is closest."""
    texts = []
    names = [leaf.name for leaf in leaves]
    for where, _, number in varying_numbers(recipe):
        deciding = {next((case.filter for case in number.cases if case.filter in name), "") for name in names}
        for part in number.filters:
            if part in deciding:
                continue
            if any(part in name for name in names):
                texts.append(
                    f"{where}: filter {legible(part)} decides about no leaf, because earlier ones take its leaves"
                )
            else:
                texts.append(f"{where}: filter {legible(part)} is part of no leaf’s name; {_nearest(part, names)}")
    return tuple(texts)


def _nearest(part: str, names: Sequence[str]) -> str:
    words = list(dict.fromkeys(word for name in names for word in name.split(".") if not word.isdecimal()))
    near = closest(part, words)
    return legible(near if near.endswith("?") else f"names are such as {', '.join(names[:3])}")


def leaf_problems(stages: Stages, settings: Settings, leaves: Sequence[SpaceLeaf]) -> list[Problem]:
    """Say where weights that vary do not go together, naming the first leaf of each kind."""
    if not any(isinstance(weight, Varying) for weight in stages.weights):
        return []
    problems: dict[str, Problem] = {}
    for run in settings.runs(lambda own: (own.weights, own.params)):
        weights, params = run.value
        for problem in weights_problems(stages.method, weights, params, f"models at {leaves[run.first].name}"):
            problems.setdefault(problem.must, problem)
    return list(problems.values())


def _varying(params: Parameters) -> Iterator[tuple[str, Varying]]:
    return ((name, value) for name, value in params.items() if isinstance(value, Varying))
