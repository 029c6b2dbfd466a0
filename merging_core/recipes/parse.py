"""From a mapping to a recipe: strict, and with every problem at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar, cast

from merging_core.checkpoints.ref import LEARNED, parse_ref
from merging_core.errors import CheckpointError, Problem, RecipeError, closest
from merging_core.masks.info import MaskInfo, MaskSpec
from merging_core.masks.registry import mask, masks
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import (
    Description,
    ParameterInfo,
    Parameters,
    ParameterValue,
    check_parameters,
    shown,
)
from merging_core.methods.registry import method, methods
from merging_core.methods.varying import Number, numbers_of
from merging_core.recipes.migrate import migrate
from merging_core.recipes.recipe import (
    DTYPE,
    RESERVED,
    SEED,
    VOCABULARY,
    WEIGHT,
    LayerScalingSpec,
    MethodSpec,
    ModelEntry,
    Recipe,
    lambda_parameter,
)
from merging_core.recipes.rules import rules
from merging_core.scaling.info import ScalingInfo
from merging_core.scaling.registry import scaling, scalings

__all__ = ["parse_recipe"]

_LATER_KEYS = ("tensors", "vocabulary")
_KEYS = ("version", "base", "models", "mask", "method", "layer_scaling", "lambda", "dtype", "seed", *_LATER_KEYS)
_MATCHED = re.compile(r"by token@[0-9a-f]{64}")
_SMALLEST_WEIGHT = 1e-12
_LISTED = 40
"""Problems that are told one by one; the rest are counted."""
_Info = TypeVar("_Info", bound=Description)


def parse_recipe(given: object) -> Recipe:
    """Check a mapping, as JSON or YAML gives it, and return the recipe with every default filled in.

    Old versions are migrated first. Booleans are not numbers, and numbers are finite and in range.

    Raises RecipeError with all problems, each with its place, such as `models[2].weight`.

    >>> recipe = parse_recipe({"version": 1, "base": "zoo:tiny/base", "models": [{"ref": "zoo:tiny/digits"}],
    ...                        "method": {"name": "ties"}})
    >>> recipe.lambda_, recipe.method.params["density"], recipe.models[0].weight
    (1.0, 0.2, 1.0)
    """
    if not isinstance(given, Mapping):
        raise RecipeError(Problem("a recipe is a mapping", shown(given), "recipe", "start with version: 1"))
    mapping = migrate(given)
    problems = _key_problems(mapping)
    base = _reference(mapping["base"], "base", problems) if mapping.get("base") is not None else None
    method_info, method_spec = _method(mapping, problems)
    mask_info, mask_spec = _mask(mapping, problems)
    scaling_info, scaling_spec = _layer_scaling(mapping, problems)
    entries = _models(mapping, method_info, mask_info, problems)
    default_lambda = method_info.default_lambda if method_info else 1.0
    scale = _number(mapping.get("lambda", default_lambda), lambda_parameter(default_lambda), "lambda", problems)
    dtype = _value(mapping, DTYPE, problems)
    seed = _value(mapping, SEED, problems)
    vocabulary = _vocabulary(mapping, problems)
    tensors = _learned(mapping["tensors"], "tensors", problems) if mapping.get("tensors") is not None else None
    if method_info and mask_info and scaling_info:
        # Rules about what goes together hold for what could be read; whatever could not is a problem already.
        recipe = Recipe(
            base=base,
            models=tuple(entry for entry in entries if entry is not None),
            method=method_spec,
            lambda_=scale,
            mask=mask_spec,
            layer_scaling=scaling_spec,
            dtype=str(dtype),
            seed=int(cast(int, seed)),
            tensors=tensors,
            vocabulary=vocabulary,
        )
        problems += rules(
            recipe, method_info, mask_info, scaling_info, len(entries), base_is_given=mapping.get("base") is not None
        )
        if not problems:
            return recipe
    more = len(problems) - _LISTED
    rest = [Problem(f"at most {_LISTED} problems are listed", f"{more} more", "recipe")] if more > 0 else []
    raise RecipeError(*problems[:_LISTED], *rest)


def _key_problems(mapping: Mapping[str, object]) -> list[Problem]:
    problems = []
    for name in mapping:
        if name in RESERVED:
            problems.append(Problem("only supported keys are used", str(name), str(name), "it is not supported yet"))
        elif name not in _KEYS:
            got = shown(name, quoted=False)
            problems.append(Problem("keys are known by name", got, got, closest(str(name)[:80], _KEYS)))
    return problems


def _reference(given: object, where: str, problems: list[Problem]) -> str | None:
    try:
        ref = parse_ref(given)
    except CheckpointError as error:
        problems += [replace(problem, where=where) for problem in error.problems]
        return None
    if ref.scheme == LEARNED:
        problems.append(Problem("a model is a checkpoint", "learned tensors", where, "write them as tensors"))
    return str(ref)


def _learned(given: object, where: str, problems: list[Problem]) -> str | None:
    try:
        ref = parse_ref(given)
    except CheckpointError as error:
        problems += [replace(problem, where=where) for problem in error.problems]
        return None
    if ref.scheme != LEARNED:
        must, fix = "what was learned is named by content", "write learned: and the 64 digits of its content"
        problems.append(Problem(must, shown(str(ref)), where, fix))
    elif ref.pin is not None:
        problems.append(Problem("what was learned is named by content alone", "a pin too", where, "leave the pin out"))
    return str(ref)


def _value(mapping: Mapping[str, object], info: ParameterInfo, problems: list[Problem]) -> ParameterValue:
    value = mapping.get(info.name, info.default)
    problem = info.problem(value, info.name)
    if problem is None:
        return info.coerced(value)
    problems.append(problem)
    return info.default


def _vocabulary(mapping: Mapping[str, object], problems: list[Problem]) -> str:
    """Read what becomes of tokens; behind `by token` may stand a digest."""
    given = mapping.get(VOCABULARY.name)
    if isinstance(given, str) and _MATCHED.fullmatch(given):
        return given
    return str(_value(mapping, VOCABULARY, problems))


def _number(given: object, info: ParameterInfo, where: str, problems: list[Problem]) -> Number:
    """Read a number that may vary; the default where it cannot be read, and in the leaves that no case takes."""
    wrong = info.problems(given, where)
    problems += wrong
    return cast(Number, info.default if wrong else info.filled(info.coerced(given)))


def _section(mapping: Mapping[str, object], key: str, default: object, problems: list[Problem]) -> dict[str, object]:
    section = mapping.get(key, default)
    if isinstance(section, Mapping):
        return {str(name): value for name, value in section.items()}
    example = {"method": "{name: ties}", "mask": "{kind: none}"}.get(key, "{kind: constant}")
    problems.append(
        Problem(f"{key} is a mapping", shown(section) if key in mapping else "nothing", key, f"write {key}: {example}")
    )
    return {}


def _found(
    section: dict[str, object],
    key: str,
    where: str,
    find: Callable[[str], _Info],
    known: tuple[_Info, ...],
    problems: list[Problem],
) -> _Info | None:
    """Look up the record that a section names, or add the problem."""
    name = section.get(key)
    names = [info.name for info in known]
    if isinstance(name, str) and name in names:
        return find(name)
    if section:
        got, fix = shown(name) if key in section else "nothing", closest(str(name)[:80], names)
        problems.append(Problem(f"{where} names a known {key}", got, f"{where}.{key}", fix))
    return None


def _method(mapping: Mapping[str, object], problems: list[Problem]) -> tuple[MethodInfo | None, MethodSpec]:
    section = _section(mapping, "method", None, problems)
    if isinstance(mapping.get("method"), Mapping) and not section:
        problems.append(Problem("method has a name", "nothing", "method.name", "write method: {name: ties}"))
    for name in section:
        if name not in ("name", "params"):
            got, fix = shown(name, quoted=False), closest(name[:80], ("name", "params"))
            problems.append(Problem("a method has name and params", got, f"method.{got}", fix))
    info = _found(section, "name", "method", method, methods(), problems)
    params = section.get("params", {})
    if not isinstance(params, Mapping):
        problems.append(Problem("params is a mapping", shown(params), "method.params", "write params: {density: 0.2}"))
        params = {}
    if info is None:
        return None, MethodSpec("")
    values, wrong = check_parameters(params, info.parameters, "method.params")
    problems += wrong
    return info, MethodSpec(info.name, Parameters(values))


def _mask(mapping: Mapping[str, object], problems: list[Problem]) -> tuple[MaskInfo | None, MaskSpec]:
    section = _section(mapping, "mask", {"kind": "none"}, problems)
    info, values = _kind(section, mapping.get("mask"), "mask", mask, masks(), problems)
    return info, MaskSpec(info.name, values) if info else MaskSpec()


def _layer_scaling(
    mapping: Mapping[str, object], problems: list[Problem]
) -> tuple[ScalingInfo | None, LayerScalingSpec]:
    section = _section(mapping, "layer_scaling", {"kind": "constant"}, problems)
    info, values = _kind(section, mapping.get("layer_scaling"), "layer_scaling", scaling, scalings(), problems)
    return info, LayerScalingSpec(info.name, values) if info else LayerScalingSpec()


def _kind(
    section: dict[str, object],
    given: object,
    where: str,
    find: Callable[[str], _Info],
    known: tuple[_Info, ...],
    problems: list[Problem],
) -> tuple[_Info | None, Parameters]:
    if isinstance(given, Mapping) and not section:
        problems.append(Problem(f"{where} has a kind", "nothing", f"{where}.kind", f"write kind: {known[0].name}"))
    info = _found(section, "kind", where, find, known, problems)
    if info is None:
        return None, Parameters()
    given_params = {name: value for name, value in section.items() if name != "kind"}
    values, wrong = check_parameters(given_params, info.parameters, where)
    problems += wrong
    return info, Parameters(values)


def _models(
    mapping: Mapping[str, object], method_info: MethodInfo | None, mask_info: MaskInfo | None, problems: list[Problem]
) -> list[ModelEntry | None]:
    models = mapping.get("models")
    if not isinstance(models, list | tuple):
        got = shown(models) if "models" in mapping else "nothing"
        problems.append(Problem("models is a list", got, "models", "add {ref: zoo:tiny/digits}"))
        return []
    if not models:
        problems.append(Problem("models is not empty", "[]", "models", "add an expert"))
    overridable: tuple[ParameterInfo, ...] | None = None
    if method_info is not None and mask_info is not None:
        free = mask_info.parameters if method_info.domain == "task_vector" and not method_info.owned_mask else ()
        overridable = (*method_info.per_model(), *(parameter for parameter in free if parameter.per_model))
    entries = [_entry(model, f"models[{index}]", overridable, problems) for index, model in enumerate(models)]
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if entry is None:
            continue
        ref = parse_ref(entry.ref)
        name = str(ref if ref.scheme == "hub" else ref.unpinned)
        if name in first:
            where, fix = f"models[{index}].ref", f"remove one, and give models[{first[name]}] more weight"
            problems.append(Problem("each model stands in the list once", f"{shown(name)} again", where, fix))
        first.setdefault(name, index)
    return entries


def _entry(
    given: object, where: str, overridable: tuple[ParameterInfo, ...] | None, problems: list[Problem]
) -> ModelEntry | None:
    if not isinstance(given, Mapping):
        problems.append(Problem("a model is a mapping", shown(given), where, "write {ref: zoo:tiny/digits, weight: 1}"))
        return None
    keys = ("ref", "weight", "params", "statistics")
    for name in given:
        if name not in keys:
            got = shown(name, quoted=False)
            problems.append(
                Problem("a model has ref, weight, params and statistics", got, f"{where}.{got}", closest(got, keys))
            )
    ref = None
    if "ref" in given:
        ref = _reference(given["ref"], f"{where}.ref", problems)
    else:
        problems.append(Problem("a model has a ref", "nothing", f"{where}.ref", "write ref: zoo:tiny/digits"))
    weight = _weight(given.get("weight", WEIGHT.default), f"{where}.weight", problems)
    params = _overrides(given.get("params", {}), f"{where}.params", overridable, problems)
    measured = given.get("statistics")
    statistics = _learned(measured, f"{where}.statistics", problems) if measured is not None else None
    return None if ref is None else ModelEntry(ref, weight, params, statistics)


def _weight(given: object, where: str, problems: list[Problem]) -> Number:
    weight = _number(given, WEIGHT, where, problems)
    tiny = [number for number in numbers_of(weight) if number != 0.0 and abs(number) < _SMALLEST_WEIGHT]
    if tiny:
        must = f"a weight is 0 or at least {_SMALLEST_WEIGHT:g} in size"
        problems.append(Problem(must, shown(tiny[0]), where, "use 0 to leave the model out"))
    return weight


def _overrides(
    given: object, where: str, overridable: tuple[ParameterInfo, ...] | None, problems: list[Problem]
) -> Parameters:
    if not isinstance(given, Mapping):
        problems.append(Problem("params is a mapping", shown(given), where, "write params: {density: 0.3}"))
        return Parameters()
    if overridable is None:
        return Parameters()
    infos = {info.name: info for info in overridable}
    values: dict[str, ParameterValue] = {}
    for name, value in given.items():
        place = f"{where}.{shown(name, quoted=False)}"
        if name not in infos:
            fix = closest(str(name)[:80], infos) if infos else "leave it out: this merge has none"
            must = "only parameters that may differ between models stand here"
            problems.append(Problem(must, shown(name, quoted=False), place, fix))
            continue
        wrong = infos[name].problems(value, place)
        problems += wrong
        if not wrong:
            values[name] = infos[name].coerced(value)
    return Parameters(values)
