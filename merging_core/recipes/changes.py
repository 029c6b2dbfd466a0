"""The next recipe: every change takes a recipe and returns another one, checked like any other.

Each function raises RecipeError, with all problems, where the change would make an invalid recipe; the one in hand
stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from merging_core.masks.info import MaskSpec
from merging_core.masks.registry import mask
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Parameters, ParameterValue
from merging_core.methods.registry import method
from merging_core.methods.varying import Number, Varying
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import LayerScalingSpec, MethodSpec, ModelEntry, Recipe
from merging_core.recipes.rules import weights_problems
from merging_core.scaling.registry import scaling

__all__ = [
    "with_dtype",
    "with_lambda",
    "with_layer_scaling",
    "with_mask",
    "with_method",
    "with_method_params",
    "with_model_params",
    "with_models",
    "with_seed",
    "with_weight",
]


def with_weight(recipe: Recipe, index: int, weight: Number) -> Recipe:
    """Give one model another weight."""
    return _checked(replace(recipe, models=_entries(recipe, index, weight=weight)))


def with_model_params(recipe: Recipe, index: int, **params: ParameterValue) -> Recipe:
    """Let one model override these parameters, and no others."""
    return _checked(replace(recipe, models=_entries(recipe, index, params=Parameters(params))))


def with_models(recipe: Recipe, refs: Sequence[str]) -> Recipe:
    """Merge these models; those that were in the recipe keep their weight, parameters and statistics.

    A layer scaling that does not take that many gives way to `constant`; learned tensors, which are of the models in
    their order, are dropped when these change.
    """
    return _checked(_with_models(recipe, refs))


def with_method(recipe: Recipe, name: str, refs: Sequence[str] | None = None) -> Recipe:
    """Choose a method, with its default parameters and its default λ; what does not apply beside it is dropped.

    A free mask is dropped beside a method that brings its own or has no task vectors; so are parameters of single
    models that nothing reads any more, and learned tensors, which belong to the method they were learned with. Weights
    that the method does not take become those that it does: 1 beside a method without weights, 0 instead of a negative
    one. Statistics stay beside a method that reads the same. `refs`: merge these models instead, as `with_models` does.
    """
    info = method(name)
    if refs is not None:
        recipe = _with_models(recipe, refs)
    free = recipe.mask if info.domain == "task_vector" and not info.owned_mask else MaskSpec()
    changed = replace(
        recipe,
        method=MethodSpec(name, info.defaults()),
        lambda_=info.default_lambda,
        mask=free,
        models=_kept(recipe, info, free),
        tensors=None,
    )
    if info.domain == "weight" and recipe.layer_scaling.applies_to == "each":
        params = recipe.layer_scaling.params.changed(applies_to="merged")
        changed = replace(changed, layer_scaling=replace(recipe.layer_scaling, params=params))
    return _checked(changed)


def with_method_params(recipe: Recipe, **params: ParameterValue) -> Recipe:
    """Change these parameters of the method and keep the others."""
    return _checked(replace(recipe, method=replace(recipe.method, params=recipe.method.params.changed(**params))))


def with_mask(recipe: Recipe, kind: str, **params: ParameterValue) -> Recipe:
    """Choose a free mask; parameters that are not given have their defaults."""
    spec = MaskSpec(kind, mask(kind).defaults().changed(**params))
    return _checked(replace(recipe, mask=spec, models=_kept(recipe, method(recipe.method.name), spec)))


def with_layer_scaling(recipe: Recipe, kind: str, **params: ParameterValue) -> Recipe:
    """Choose a layer scaling; parameters that are not given have their defaults."""
    info = scaling(kind)
    # Defaults depend on each other (no α beside a rule for it), so the recipe's own check fills them in.
    return _checked(replace(recipe, layer_scaling=LayerScalingSpec(info.name, Parameters(params))))


def with_lambda(recipe: Recipe, value: Number) -> Recipe:
    """Choose λ."""
    return _checked(replace(recipe, lambda_=value))


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Choose the seed of random masks."""
    return _checked(replace(recipe, seed=seed))


def with_dtype(recipe: Recipe, dtype: str) -> Recipe:
    """Choose the number format of the merged weights."""
    return _checked(replace(recipe, dtype=dtype))


def _with_models(recipe: Recipe, refs: Sequence[str]) -> Recipe:
    known = {entry.ref: entry for entry in recipe.models}
    entries = tuple(known.get(ref, ModelEntry(ref)) for ref in refs)
    fewest, most = scaling(recipe.layer_scaling.kind).models
    if not fewest <= len(entries) <= (len(entries) if most is None else most):
        recipe = replace(recipe, layer_scaling=LayerScalingSpec())
    same = [entry.ref for entry in recipe.models] == [entry.ref for entry in entries]
    return replace(recipe, models=entries, tensors=recipe.tensors if same else None)


def _taken(weights: tuple[Number, ...], info: MethodInfo, params: Parameters) -> tuple[Number, ...]:
    """Return the weights that a method takes in place of these; all 1 where they would still not go together."""
    if info.weights == "none":
        return (1.0,) * len(weights)
    found = weights if info.weights == "any" else tuple(_not_negative(weight) for weight in weights)
    return (1.0,) * len(weights) if weights_problems(info, found, params, "models") else found


def _not_negative(weight: Number) -> Number:
    if not isinstance(weight, Varying):
        return max(0.0, weight)
    return Varying(
        tuple(replace(case, points=tuple(max(0.0, point) for point in case.points)) for case in weight.cases)
    )


def _checked(recipe: Recipe) -> Recipe:
    return parse_recipe(recipe.as_json())


def _entries(
    recipe: Recipe, index: int, *, weight: Number | None = None, params: Parameters | None = None
) -> tuple[ModelEntry, ...]:
    entries = list(recipe.models)
    entry = entries[index]
    weight = entry.weight if weight is None else weight
    entries[index] = replace(entry, weight=weight, params=entry.params if params is None else params)
    return tuple(entries)


def _kept(recipe: Recipe, info: MethodInfo, free: MaskSpec) -> tuple[ModelEntry, ...]:
    """Return the models with only those overrides that something still reads, and weights that the method takes."""
    readers = (*info.parameters, *mask(free.kind).parameters)
    names = {parameter.name for parameter in readers if parameter.per_model}
    weights = _taken(tuple(entry.weight for entry in recipe.models), info, info.defaults())
    # Over the whole model a mask has one number for all leaves.
    whole = (info.defaults() if info.owned_mask else free.params).get("scope") == "model"

    reads = info.measures != "" and info.measures == method(recipe.method.name).measures

    def kept(name: str, value: ParameterValue) -> bool:
        return name in names and not (whole and isinstance(value, Varying))

    return tuple(
        replace(
            entry,
            weight=weight,
            params=Parameters({name: value for name, value in entry.params.items() if kept(name, value)}),
            statistics=entry.statistics if reads else None,
        )
        for entry, weight in zip(recipe.models, weights, strict=True)
    )
