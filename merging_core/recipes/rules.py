"""What goes together in a recipe: the rules between its parts, all of which hold before any checkpoint is opened."""

from __future__ import annotations

from collections.abc import Sequence

from merging_core.errors import Problem
from merging_core.masks.info import MaskInfo
from merging_core.masks.registry import mask
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Parameters
from merging_core.methods.varying import Number, Varying, numbers_of
from merging_core.recipes.recipe import Recipe
from merging_core.scaling.info import ScalingInfo

__all__ = ["rules", "weights_problems"]


def rules(
    recipe: Recipe,
    method_info: MethodInfo,
    mask_info: MaskInfo,
    scaling_info: ScalingInfo,
    listed: int,
    *,
    base_is_given: bool,
) -> list[Problem]:
    """Return every rule between parts that a recipe breaks; `listed` counts the models that it names, valid or not."""
    counted = _how_many(method_info.title, method_info.models, listed)
    problems = [
        *counted,
        *_how_many(scaling_info.title, scaling_info.models, listed),
        *_mask_rules(method_info, mask_info),
    ]
    if not base_is_given:
        problems += _base_rules(recipe, method_info)
    applies_to = "layer_scaling.applies_to"
    if recipe.layer_scaling.applies_to == "each" and method_info.domain == "weight":
        must = f"{method_info.title} has no task vectors to scale one by one"
        problems.append(Problem(must, "each", applies_to, "write merged"))
    elif recipe.layer_scaling.applies_to == "each" and recipe.layer_scaling.alpha_rule != "value":
        must = "an α that follows from the merged vector applies to the merged vector"
        problems.append(Problem(must, "each", applies_to, "write merged, or give alpha a value"))
    # Weights are judged where every model could be read; whatever could not is a problem already.
    readable = len(recipe.models) == listed > 0
    wrong = _weight_rules(recipe, method_info) if readable else []
    problems += wrong
    problems += _statistics_rules(recipe, method_info)
    problems += _varying_rules(recipe, method_info, mask_info)
    if readable and not wrong and not counted:
        problems += weights_problems(
            method_info, [entry.weight for entry in recipe.models], recipe.method.params, "models"
        )
    return problems


def weights_problems(info: MethodInfo, weights: Sequence[Number], params: Parameters, where: str) -> list[Problem]:
    """Say why weights do not go together beside a method, if they do not; weights that vary are the plan's to judge."""
    numbers = tuple(weight for weight in weights if not isinstance(weight, Varying))
    if info.weights_problem is None or len(numbers) != len(weights):
        return []
    broken = info.weights_problem(numbers, params)
    if broken is None:
        return []
    must, fix = broken
    return [Problem(must, ", ".join(f"{weight:g}" for weight in numbers[:8]), where, fix)]


def _statistics_rules(recipe: Recipe, method_info: MethodInfo) -> list[Problem]:
    """Say which models have statistics that the method does not read."""
    if method_info.measures:
        return []
    must, fix = f"{method_info.title} reads no statistics", "leave them out, or choose the method that they are for"
    return [
        Problem(must, "some", f"models[{index}].statistics", fix)
        for index, entry in enumerate(recipe.models)
        if entry.statistics is not None
    ]


def _varying_rules(recipe: Recipe, method_info: MethodInfo, mask_info: MaskInfo) -> list[Problem]:
    """Say which numbers of a mask vary although it looks at the whole model at once."""
    names = [parameter.name for parameter in mask(method_info.owned_mask or mask_info.name).parameters]
    common, where = (recipe.method.params, "method.params") if method_info.owned_mask else (recipe.mask.params, "mask")
    if common.get("scope") != "model":
        return []
    places = [(where, common), *((f"models[{at}].params", entry.params) for at, entry in enumerate(recipe.models))]
    must = "a mask over the whole model has one {} for all leaves"
    return [
        Problem(must.format(name), f"{params[name]}", f"{place}.{name}", "set scope to leaf")
        for place, params in places
        for name in names
        if isinstance(params.get(name), Varying)
    ]


def _how_many(title: str, models: tuple[int, int | None], listed: int) -> list[Problem]:
    fewest, most = models
    if listed == 0 or (listed >= fewest and (most is None or listed <= most)):
        return []
    exactly = f"exactly {fewest}" if most == fewest else f"{fewest} to {most}"
    wanted = f"at least {fewest}" if most is None else exactly
    noun = "model" if wanted.endswith(" 1") else "models"
    fix = "add models" if listed < fewest else "remove models, or choose another"
    return [Problem(f"{title} takes {wanted} {noun}", str(listed), "models", fix)]


def _weight_rules(recipe: Recipe, method_info: MethodInfo) -> list[Problem]:
    title, problems = method_info.title, []
    for index, entry in enumerate(recipe.models):
        where = f"models[{index}].weight"
        if method_info.weights == "none" and entry.weight != 1.0:
            problems.append(Problem(f"{title} has no weights", f"{entry.weight:g}", where, "leave weight out"))
        if method_info.weights == "not negative" and min(numbers_of(entry.weight)) < 0.0:
            must, fix = f"the weights of {title} are 0 or more", "use 0 to leave the model out"
            problems.append(Problem(must, f"{entry.weight:g}", where, fix))
    return problems


def _mask_rules(method_info: MethodInfo, mask_info: MaskInfo) -> list[Problem]:
    if mask_info.name == "none":
        return []
    if method_info.owned_mask:
        names = " and ".join(parameter.name for parameter in mask_info.parameters)
        fix = f"leave mask out and set {names} in method.params"
        return [Problem(f"{method_info.title} brings its own mask", mask_info.name, "mask.kind", fix)]
    if method_info.domain == "weight":
        fix = "leave mask out, or use task_arithmetic"
        return [Problem(f"{method_info.title} has no task vectors to mask", mask_info.name, "mask.kind", fix)]
    return []


def _base_rules(recipe: Recipe, method_info: MethodInfo) -> list[Problem]:
    if method_info.needs_base:
        must = f"{method_info.title} needs the base that its experts started from"
        return [Problem(must, "nothing", "base", "write base: zoo:tiny/base")]
    problems = []
    if recipe.lambda_ != 1.0:
        must = "λ other than 1 needs a base, because it scales the difference to it"
        problems.append(Problem(must, f"{recipe.lambda_:g} without a base", "lambda", "name a base, or write 1"))
    if recipe.layer_scaling.kind != "constant":
        must = "layer scaling needs a base, because it scales the difference to it"
        got = f"{recipe.layer_scaling.kind} without a base"
        problems.append(Problem(must, got, "layer_scaling.kind", "name a base, or write constant"))
    return problems
