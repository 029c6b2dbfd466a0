"""Recipes that the registries admit, over method, mask and layer scaling, so that what is registered is covered."""

from __future__ import annotations

from typing import Any

from merging_core.errors import RecipeError
from merging_core.masks.registry import masks
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Description, ParameterInfo
from merging_core.methods.registry import methods
from merging_core.recipes.parse import parse_recipe
from merging_core.scaling.registry import scalings

DTYPES = ("float32", "bfloat16", "float16")
WEIGHTS = (1.0, -0.5, 0.7)
THOROUGH = ("linear", "model_stock", "task_arithmetic", "ties", "wise_ft")


def variants(info: Description) -> list[dict[str, Any]]:
    """Return the settings of a record to test: its defaults, and one change per choice, switch and density."""
    found: list[dict[str, Any]] = [{}]
    for parameter in info.parameters:
        found += [{parameter.name: value} for value in _others(parameter)]
    return found


def weights_for(method: MethodInfo) -> tuple[float, ...]:
    """Return weights that differ as far as the method lets them."""
    if method.weights == "none":
        return (1.0,) * len(WEIGHTS)
    return WEIGHTS if method.weights == "any" else tuple(abs(weight) for weight in WEIGHTS)


def few_steps(method: MethodInfo, params: dict[str, Any]) -> dict[str, Any]:
    """Return a number of steps that a test can take, for a method that takes steps."""
    steps = next((parameter for parameter in method.parameters if parameter.name == "steps"), None)
    if steps is None or steps.only_when is None or params.get(steps.only_when[0], "adam") != steps.only_when[1]:
        return {}
    return {"steps": 5}


def _others(parameter: ParameterInfo) -> list[Any]:
    if parameter.kind == "choice":
        return [choice for choice in parameter.choices if choice != parameter.default]
    if parameter.kind == "switch":
        return [not parameter.default]
    if parameter.name == "density":
        return [0.35, 1.0]
    if parameter.name in ("gamma", "epsilon") and parameter.unit:
        return [0.0, 0.3]
    small = {"experts": [0, 1, 3], "start": [1, 2], "every": [2], "end": [1], "last": [1, 2], "parallel": [1, 3]}
    if parameter.name in small:
        return small[parameter.name]
    if parameter.name == "select":
        return [1.0]
    if parameter.name == "decay":
        return [0.0, 0.9]
    if parameter.name == "t":
        return [0.0, 0.3, 1.0]
    if parameter.kind == "curve":
        return [[0.25, 1.5, 0.75]]
    return []


def recipes(base: str, experts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return complete recipes (as JSON) by a readable name; combinations that the rules refuse are left out."""
    found: dict[str, dict[str, Any]] = {}
    for method in methods():
        if method.measures:
            continue  # their own tests measure first: test_measured
        most = method.models[1] or len(experts)
        for given_params in variants(method):
            for mask in masks():
                for mask_params in variants(mask):
                    for scaling in scalings():
                        for scaling_params in variants(scaling):
                            # Every pair of stages meets, and one thing at a time differs from its default.
                            plain = method.name == "task_arithmetic", mask.name == "none", scaling.name == "constant"
                            if sum(map(bool, (given_params, mask_params, scaling_params))) > 1 or not any(plain):
                                continue
                            if (given_params or mask_params) and not plain[2]:
                                continue
                            # Stages know nothing of each other: a few methods meet every setting, the others the kinds.
                            if method.name not in THOROUGH and (
                                mask.name not in ("none", "magnitude") or mask_params or scaling_params
                            ):
                                continue
                            params = {**few_steps(method, given_params), **given_params}
                            count = min(most, scaling.models[1] or most)
                            given = {
                                "version": 1,
                                "base": base,
                                "models": [
                                    {"ref": ref, "weight": weight}
                                    for ref, weight in zip(experts[:count], weights_for(method), strict=False)
                                ],
                                "method": {"name": method.name, "params": params},
                                "mask": {"kind": mask.name, **mask_params},
                                "layer_scaling": {"kind": scaling.name, **scaling_params},
                                "lambda": 0.37,
                                "seed": 3,
                            }
                            try:
                                complete = parse_recipe(given).as_json()
                            except RecipeError:
                                continue
                            changed = {**given_params, **mask_params, **scaling_params}
                            found[f"{method.name}-{mask.name}-{scaling.name}-{changed or 'defaults'}"] = complete
    return found
