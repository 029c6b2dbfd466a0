"""What a visitor is looking at: a frozen value, and the pure transitions from one to the next.

A state is what a link carries and what every request of the page sends whole. Transitions keep what the visitor had
wherever it still means something, and otherwise take the registry's default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from merging_core.errors import BasinError, Problem, RecipeError, closest
from merging_core.masks.registry import mask as mask_info
from merging_core.methods.contract import MethodInfo
from merging_core.methods.registry import method as method_info
from merging_core.methods.varying import Varying, numbers_of
from merging_core.recipes import Recipe, changes, parse_recipe
from merging_core.scaling.registry import scaling as scaling_info

from .experts import exchanged, first_of
from .families import Family, plain
from .own_family import family_named

__all__ = [
    "METRICS",
    "PathChoice",
    "StudioState",
    "choose_alpha_rule",
    "choose_experts",
    "choose_family",
    "choose_mask",
    "choose_method",
    "choose_path",
    "choose_scaling",
    "default_state",
    "parse_state",
    "reset",
]

METRICS = ("loss", "accuracy")
_VERSION = 1
_KEYS = ("version", "family", "recipe", "path", "metric")


@dataclass(frozen=True)
class PathChoice:
    """Which curve the path chart shows: along λ, or straight between two checkpoints."""

    kind: str = "lambda"
    a: str | None = None
    b: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the form that a state holds."""
        return {"kind": self.kind} if self.kind == "lambda" else {"kind": self.kind, "a": self.a, "b": self.b}


@dataclass(frozen=True)
class StudioState:
    """Everything that decides what the studio shows."""

    family: str
    recipe: Recipe
    path: PathChoice = PathChoice()
    metric: str = "loss"

    def as_json(self) -> dict[str, Any]:
        """Return what a link carries and `parse_state` reads."""
        return {
            "version": _VERSION,
            "family": self.family,
            "recipe": self.recipe.as_json(),
            "path": self.path.as_json(),
            "metric": self.metric,
        }


def parse_state(value: object, families: tuple[Family, ...]) -> StudioState:
    """Read a state that came from a visitor: strictly, and with every problem at once.

    Only checkpoints of the named family are accepted, so that nobody reads files of the server.

    Raises: `RecipeError`.
    """
    if not isinstance(value, Mapping):
        raise RecipeError(Problem("a state is an object", type(value).__name__, "state"))
    problems = [
        Problem(
            "a state's keys are known by name", str(key)[:60], f"state.{str(key)[:60]}", closest(str(key)[:60], _KEYS)
        )
        for key in value
        if key not in _KEYS
    ]
    if value.get("version") != _VERSION or isinstance(value.get("version"), bool):
        problems.append(Problem(f"the state's version is {_VERSION}", _shown(value.get("version")), "state.version"))
    metric = value.get("metric", METRICS[0])
    if not isinstance(metric, str) or metric not in METRICS:
        problems.append(Problem("the metric is loss or accuracy", _shown(metric), "state.metric"))
    family, recipe, path = None, None, PathChoice()
    try:
        family = family_named(families, value.get("family"))
    except RecipeError as error:
        problems += error.problems
    try:
        recipe = parse_recipe(_mapping(value.get("recipe"), "recipe"))
    except BasinError as error:
        problems += error.problems
    if family is not None:
        try:
            path = _parse_path(value.get("path", {"kind": "lambda"}), family)
        except RecipeError as error:
            problems += error.problems
        if recipe is not None:
            problems += _strangers(recipe, family)
    if problems or family is None or recipe is None:
        raise RecipeError(*problems)
    return StudioState(family.name, recipe, path, str(metric))


def default_state(family: Family) -> StudioState:
    """Return the state that the studio opens with: a merge of the family's experts."""
    return StudioState(family.name, parse_recipe(family.start), _parse_path(family.start_path, family))


def reset(state: StudioState, families: tuple[Family, ...]) -> StudioState:
    """Return the family's first state."""
    return default_state(family_named(families, state.family))


def choose_family(state: StudioState, name: object, families: tuple[Family, ...]) -> StudioState:
    """Look at another family, beginning with its first state; the metric stays."""
    return replace(default_state(family_named(families, name)), metric=state.metric)


def choose_method(state: StudioState, name: object, families: tuple[Family, ...], models: object = None) -> StudioState:
    """Merge by another method.

    `models`: those that were merged before a method took fewer or more, as a recipe lists them; the new method is given
    these instead, so that trying a method for two and going back loses nothing.

    Models stay as far as the method takes them: of too many the first that have a weight, too few are joined by the
    family's next. Weights stay where the method has them. Parameters of the same name stay. λ becomes the new method's
    default if it was the old one's, or if one method combines task vectors and the other weights. A method that owns
    the mask takes over the density of the mask that was there.

    Raises: `RecipeError` if the method is unknown, or the family has too few experts for it.
    """
    old, new = method_info(state.recipe.method.name), method_info(_text(name, "method"))
    if models is not None:
        state = _with_former(state, models, families)
    recipe = changes.with_method(state.recipe, new.name, _fitting(state, new, families))
    given = {**state.recipe.mask.params, **state.recipe.method.params}
    recipe = changes.with_method_params(recipe, **_kept(given, new.parameters))
    if state.recipe.lambda_ != old.default_lambda and old.domain == new.domain:
        recipe = changes.with_lambda(recipe, state.recipe.lambda_)
    return replace(state, recipe=recipe)


def choose_mask(state: StudioState, kind: object) -> StudioState:
    """Mask task vectors in another way; the density stays where the new kind has one."""
    info = mask_info(_text(kind, "mask"))
    kept = _kept(state.recipe.mask.params, info.parameters)
    return replace(state, recipe=changes.with_mask(state.recipe, info.name, **kept))


def choose_scaling(state: StudioState, kind: object) -> StudioState:
    """Scale layers in another way; from a line to a curve, the curve begins as that line.

    Raises: `RecipeError` if the kind is unknown or does not fit the number of models.
    """
    old: Mapping[str, Any] = state.recipe.layer_scaling.params
    info = scaling_info(_text(kind, "layer scaling"))
    kept = _kept(old, info.parameters)
    if info.name == "curve" and "points" not in kept:
        low = old.get("alpha", old.get("gamma", 1.0))
        rise = old.get("beta", 1.0 - low if "gamma" in old else 0.0)
        default: Any = next(parameter.default for parameter in info.parameters if parameter.name == "points")
        steps = max(len(default), 2) - 1
        kept["points"] = tuple(round(low + rise * index / steps, 6) for index in range(steps + 1))
    return replace(state, recipe=changes.with_layer_scaling(state.recipe, info.name, **kept))


def choose_alpha_rule(state: StudioState, rule: object) -> StudioState:
    """Take α as a value, or from the models by a rule; with a rule there is no α of one's own."""
    old = state.recipe.layer_scaling
    params: dict[str, Any] = {**old.params, "alpha_rule": rule}
    if rule != "value":
        params.pop("alpha", None)
    return replace(state, recipe=changes.with_layer_scaling(state.recipe, old.kind, **params))


def choose_experts(state: StudioState, refs: object, families: tuple[Family, ...]) -> StudioState:
    """Merge these experts; those that were there keep their weights, new ones get 1. The family's order is kept.

    Where the method does not take so many, one is exchanged: a new one takes the place of the last that was there, and
    the place of one that is left out goes to the family's next.

    Raises: `RecipeError` for a stranger, an expert named twice, or if nothing is left to merge.
    """
    if not isinstance(refs, list) or not all(isinstance(ref, str) for ref in refs):
        raise RecipeError(Problem("experts are a list of references", _shown(refs), "experts"))
    family = family_named(families, state.family)
    unknown = [ref for ref in refs if not family.has(ref)]
    if unknown:
        raise RecipeError(*(_stranger(ref, "experts", family) for ref in unknown))
    wanted = [plain(ref) for ref in refs]
    if len(set(wanted)) < len(wanted):
        raise RecipeError(Problem("each expert is named once", "one twice", "experts"))
    present = {plain(entry.ref): entry.ref for entry in state.recipe.models}
    known = {plain(ref): ref for ref in family.refs}
    takes = method_info(state.recipe.method.name).models
    experts = [plain(expert.ref) for expert in family.experts]
    kept = exchanged(wanted, list(present), experts, takes) if wanted or takes[1] else wanted
    chosen = [present.get(ref, known[ref]) for ref in sorted(kept, key=list(known).index)]
    return replace(state, recipe=changes.with_models(state.recipe, chosen))


def choose_path(state: StudioState, path: object, families: tuple[Family, ...]) -> StudioState:
    """Look along λ, or between two checkpoints of the family."""
    return replace(state, path=_parse_path(path, family_named(families, state.family)))


def _with_former(state: StudioState, models: object, families: tuple[Family, ...]) -> StudioState:
    """Return the state with these models in place of its own; whether its method takes them is not asked."""
    base = {} if state.recipe.base is None else {"base": state.recipe.base}
    free = {"name": "linear", "params": {"normalize": False}} if not base else {"name": "task_arithmetic"}
    plain_models = [
        {key: entry[key] for key in ("ref", "weight") if key in entry} if isinstance(entry, Mapping) else entry
        for entry in models
    ] if isinstance(models, list) else models  # fmt: skip
    former = parse_recipe({"version": 1, **base, "models": plain_models, "method": free})
    strange = _strangers(former, family_named(families, state.family))
    if strange:
        raise RecipeError(*strange)
    return replace(state, recipe=replace(state.recipe, models=former.models))


def _fitting(state: StudioState, method: MethodInfo, families: tuple[Family, ...]) -> list[str] | None:
    """Return what a method merges in place of the models of the state; nothing if it takes them as they are."""
    present = {plain(entry.ref): entry for entry in state.recipe.models}
    fewest, most = method.models
    if fewest <= len(present) <= (most or len(present)):
        return None
    family = family_named(families, state.family)
    known = {plain(ref): ref for ref in family.refs}
    experts = [plain(expert.ref) for expert in family.experts]
    idle = {ref for ref, entry in present.items() if not any(numbers_of(entry.weight))}
    chosen = first_of(list(present), idle, experts, method.models)
    return [present[ref].ref if ref in present else known[ref] for ref in sorted(chosen, key=list(known).index)]


def _parse_path(value: object, family: Family) -> PathChoice:
    path = _mapping(value, "path")
    kind = path.get("kind")
    if kind == "lambda" and set(path) == {"kind"}:
        return PathChoice()
    if kind != "between" or set(path) != {"kind", "a", "b"}:
        must = "a path is along lambda, or between a and b"
        raise RecipeError(Problem(must, _shown(dict(path)), "path", "write {kind: lambda} or {kind: between, a, b}"))
    ends = {name: path[name] for name in ("a", "b")}
    wrong = [_stranger(ref, f"path.{name}", family) for name, ref in ends.items() if not family.has(ref)]
    if wrong:
        raise RecipeError(*wrong)
    if plain(ends["a"]) == plain(ends["b"]):
        raise RecipeError(Problem("a path joins two different checkpoints", f"{ends['a']} twice", "path"))
    return PathChoice("between", ends["a"], ends["b"])


def _strangers(recipe: Recipe, family: Family) -> list[Problem]:
    """Say which references of a recipe are not of the family."""
    named = [(f"models[{place}].ref", entry.ref) for place, entry in enumerate(recipe.models)]
    if recipe.base is not None:
        named.append(("base", recipe.base))
    return [_stranger(ref, where, family) for where, ref in named if not family.has(ref)]


def _stranger(ref: object, where: str, family: Family) -> Problem:
    shown = str(ref)[:80]
    return Problem(
        f"the studio merges checkpoints of the family {family.title}", shown, where, closest(shown, family.refs)
    )


def _kept(given: Mapping[str, Any], parameters: Sequence[Any]) -> dict[str, Any]:
    """Return the given values that these parameters still accept."""
    known = {parameter.name: parameter for parameter in parameters}
    fit = {name: value for name, value in given.items() if name in known and not known[name].problems(value, name)}
    if fit.get("scope", known["scope"].default if "scope" in known else None) == "model":
        # Over the whole model a mask has one density for all leaves.
        fit = {name: value for name, value in fit.items() if not isinstance(value, Varying)}

    def applies(name: str) -> bool:
        condition = known[name].only_when
        return condition is None or fit.get(condition[0], known[condition[0]].default) in condition[1:]

    return {name: value for name, value in fit.items() if applies(name)}


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(Problem("this is an object", type(value).__name__, where))
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise RecipeError(Problem("a name is text", _shown(value), where))
    return value[:80]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
