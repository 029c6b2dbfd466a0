"""The one text of a merge, and the hash that is its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from merging_core.errors import Problem, RecipeError
from merging_core.masks.registry import mask
from merging_core.methods.info import ParameterInfo, Parameters, ParameterValue
from merging_core.methods.registry import method
from merging_core.methods.varying import Varying, over, plainest, varying_as_json
from merging_core.recipes.recipe import ModelEntry, Recipe

__all__ = ["canonical", "known_from_the_start", "recipe_hash"]

_LARGEST_PLAIN = 1e16


def canonical(recipe: Recipe, pins: Mapping[str, str]) -> str:
    """Return the canonical JSON of a recipe: two recipes that give the same weights by their settings have one text.

    Defaults are filled in, references pinned by `pins` (reference → pinned reference), keys sorted, numbers short
    (`1`, not `1.0`; a list of equal numbers is one number), text in ASCII. Left out is what cannot matter: the seed of
    a merge without randomness, what a model overrides with the value that it would have anyway, and the default of a
    parameter that a method got later. Where rows are matched by token, `pins` has which way that is (`by token` →
    `by token@…`).

    Raises RecipeError naming every reference that `pins` lacks.

    >>> from merging_core.recipes.parse import parse_recipe
    >>> recipe = parse_recipe({"version": 1, "models": [{"ref": "zoo:a"}], "method": {"name": "linear"}})
    >>> canonical(recipe, {"zoo:a": "zoo:a@0123456789abcdef"})[:64]
    '{"base":null,"dtype":"float32","lambda":1,"layer_scaling":{"kind'
    """
    places = [("base", recipe.base)] if recipe.base is not None else []
    places += [(f"models[{index}].ref", entry.ref) for index, entry in enumerate(recipe.models)]
    missing = [(where, ref) for where, ref in places if ref not in pins]
    if missing:
        fix = "open the checkpoint first"
        raise RecipeError(*(Problem("every reference is pinned", str(ref), where, fix) for where, ref in missing))
    recipe = _plain(recipe)
    content = recipe.as_json()
    content["base"] = pins[recipe.base] if recipe.base is not None else None
    common = Parameters({**recipe.mask.params, **recipe.method.params})
    known = known_from_the_start(method(recipe.method.name).parameters, recipe.method.params)
    content["method"] = {"name": recipe.method.name, "params": known.as_json()}
    masked = known_from_the_start(mask(recipe.mask.kind).parameters, recipe.mask.params)
    content["mask"] = {"kind": recipe.mask.kind, **masked.as_json()}
    if "vocabulary" in content:
        content["vocabulary"] = pins.get(recipe.vocabulary, recipe.vocabulary)
    content["models"] = [_entry(entry, pins, common) for entry in recipe.models]
    if not (method(recipe.method.name).stochastic or mask(recipe.mask.kind).stochastic):
        del content["seed"]
    return _text(content)


def recipe_hash(recipe: Recipe, pins: Mapping[str, str]) -> str:
    """Return the sha256 of the canonical text as 64 hex digits.

    Raises RecipeError naming every reference that `pins` lacks.
    """
    return hashlib.sha256(canonical(recipe, pins).encode()).hexdigest()


def _plain(recipe: Recipe) -> Recipe:
    """Return the recipe with every varying number in its one form: a list of equal numbers is that number."""

    def plain(params: Parameters) -> Parameters:
        values: dict[str, ParameterValue] = {
            name: plainest(value) if isinstance(value, Varying) else value for name, value in params.items()
        }
        return Parameters(values)

    return replace(
        recipe,
        models=tuple(
            replace(entry, weight=plainest(entry.weight), params=plain(entry.params)) for entry in recipe.models
        ),
        mask=replace(recipe.mask, params=plain(recipe.mask.params)),
        method=replace(recipe.method, params=plain(recipe.method.params)),
        lambda_=plainest(recipe.lambda_),
    )


def known_from_the_start(infos: tuple[ParameterInfo, ...], given: Parameters) -> Parameters:
    """Return the parameters without those that came later and have their default.

    >>> from merging_core.methods.registry import method
    >>> known_from_the_start(method("ties").parameters, Parameters(combine="mean", vote="weighted"))
    Parameters(combine='mean')
    """
    later = {info.name: info.default for info in infos if info.later}
    return Parameters({name: value for name, value in given.items() if name not in later or value != later[name]})


def _entry(entry: ModelEntry, pins: Mapping[str, str], common: Parameters) -> dict[str, object]:
    own = {name: _own(value, common, name) for name, value in entry.params.items()}
    own = {name: value for name, value in own.items() if common.get(name) != value}
    known = {"ref": pins[entry.ref], "weight": varying_as_json(entry.weight), "params": Parameters(own).as_json()}
    return known if entry.statistics is None else {**known, "statistics": entry.statistics}


def _own(value: ParameterValue, common: Parameters, name: str) -> ParameterValue:
    return plainest(over(value, common.varying(name))) if isinstance(value, Varying) else value


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_text(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_text(item) for item in value) + "]"
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_PLAIN:
        return str(int(value))
    return json.dumps(value, allow_nan=False)
