"""A recipe in words, for people who do not read YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from merging_core.checkpoints.ref import parse_ref
from merging_core.masks.registry import mask as mask_info
from merging_core.methods.registry import method as method_info
from merging_core.methods.varying import Varying
from merging_core.recipes import Recipe, stages
from merging_core.recipes.canonical import known_from_the_start
from merging_core.scaling.registry import scaling as scaling_info

__all__ = ["in_words", "named"]

_LISTED = 8
_BY_VALUE = ("alpha_rule", "value")


def in_words(recipe: Recipe, quoted: Callable[[str], str] = str) -> str:
    """Return a few plain sentences; `quoted` is put around every name that comes from outside.

    >>> from merging_core.recipes import parse_recipe
    >>> models = [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/letters", "weight": 0.5}]
    >>> method = {"name": "ties"}
    >>> given = {"version": 1, "base": "zoo:tiny/base", "models": models, "method": method, "lambda": 1}
    >>> print(in_words(parse_recipe(given)))  # doctest: +NORMALIZE_WHITESPACE
    TIES of zoo:tiny/digits and zoo:tiny/letters (weight 0.5) on the base zoo:tiny/base, with combine mean,
    density 0.2, scope model. λ is 1. The result is stored as float32.
    """
    entries = [
        quoted(named(entry.ref))
        + _bracketed({"weight": entry.weight} if entry.weight != 1.0 else {}, entry.params, quoted)
        for entry in recipe.models
    ]
    info = method_info(recipe.method.name)
    told = known_from_the_start(info.parameters, recipe.method.params)
    base = f" on the base {quoted(named(recipe.base))}" if recipe.base is not None else ""
    sentences = [f"{info.title} of {_listed(entries)}{base}{_with(told, quoted)}."]
    if recipe.mask.kind != "none":
        mask = mask_info(recipe.mask.kind)
        chosen = known_from_the_start(mask.parameters, recipe.mask.params)
        sentences.append(f"Mask: {mask.title}{_with(chosen, quoted)}.")
    scaling = recipe.layer_scaling
    if scaling.kind != "constant":
        where = "each task vector before the mask" if scaling.applies_to == "each" else "the merged vector"
        sentences.append(
            f"Layer scaling: {scaling_info(scaling.kind).title} on {where}{_with(_told(scaling.params), quoted)}."
        )
    sentences.append(f"λ is {_shown(recipe.lambda_, quoted)}.")
    if recipe.tensors is not None:
        sentences.append("Learned tensors, in recipe.tensors, multiply weights or what is added.")
    if any(entry.statistics is not None for entry in recipe.models):
        sentences.append("What was measured of the models on examples is named by content in the recipe.")
    if stages(recipe).stochastic:
        sentences.append(f"The random masks have seed {recipe.seed}.")
    sentences.append(f"The result is stored as {recipe.dtype}.")
    return " ".join(sentences)


def named(ref: str) -> str:
    """Return how people call a reference: without its pin, and of a file only the last part of its path."""
    return parse_ref(ref).label


def _listed(names: list[str]) -> str:
    if len(names) > _LISTED:
        names = [*names[: _LISTED - 1], f"{len(names) - _LISTED + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _told(params: Mapping[str, object]) -> dict[str, object]:
    """Leave out what is said in other words."""
    return {name: value for name, value in params.items() if (name, value) != _BY_VALUE and name != "applies_to"}


def _with(params: Mapping[str, object], quoted: Callable[[str], str]) -> str:
    return f", with {_pairs(params, quoted)}" if params else ""


def _bracketed(weight: Mapping[str, object], params: Mapping[str, object], quoted: Callable[[str], str]) -> str:
    pairs = _pairs({**weight, **params}, quoted)
    return f" ({pairs})" if pairs else ""


def _pairs(params: Mapping[str, object], quoted: Callable[[str], str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_shown(value, quoted)}" for name, value in params.items())


def _shown(value: object, quoted: Callable[[str], str]) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Varying):
        return f"({value.told('{:g}'.format, quoted)})"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(item, quoted) for item in value)}]"
    return f"{value:g}" if isinstance(value, float | int) else str(value)
