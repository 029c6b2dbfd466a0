"""What mergekit's methods on task vectors mean here: a sum or a vote, after a mask or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from merging_core.methods.varying import Number, numbers_of
from merging_core.recipes.mergekit.asked import Asked, Entry, Merge, Value
from merging_core.recipes.mergekit.numbers import combined, shares

__all__ = ["breadcrumbs", "dare", "della", "task_arithmetic", "ties"]

_VOTING = ("ties", "dare_ties", "breadcrumbs_ties", "della")


def task_arithmetic(asked: Asked) -> Merge:
    """θ₀ + λ·Σ wₜτₜ, divided by Σ wₜ with `normalize`: then the same as λ times the way to the weighted average."""
    for name in ("density", "rescale"):
        if asked.is_given(name):
            asked.notes.append(f"{name} has no say in task_arithmetic, which drops nothing")
    weights = asked.each("weight", asked.experts)
    scale = asked.number("lambda")
    if not asked.switch("normalize"):
        return Merge("task_arithmetic", asked.weighted(asked.experts, weights), scale=scale)
    parts = shares([_number(weight) for weight in weights])
    if parts is None:
        return Merge("linear", asked.weighted(asked.experts, weights), scale=scale)
    return Merge("task_arithmetic", asked.weighted(asked.experts, _with(weights, parts)), scale=scale)


def ties(asked: Asked) -> Merge:
    """The largest of each leaf, then the vote."""
    return _made(asked, {"scope": "leaf"}, density=asked.each("density", asked.experts))


def dare(asked: Asked) -> Merge:
    """Coins, then a sum or the vote."""
    return _made(asked, {"rescale": _rescale(asked)}, density=asked.each("density", asked.experts))


def breadcrumbs(asked: Asked) -> Merge:
    """Neither the largest nor the smallest of each leaf, then a sum or the vote."""
    densities, gammas = asked.each("density", asked.experts), asked.each("gamma", asked.experts)
    allowed = []
    for density, gamma, model in zip(densities, gammas, asked.experts, strict=True):
        found = combined([_number(density), _number(gamma)], _outliers)
        if found is None:
            must = "density and gamma add up to at most 1 in every leaf"
            fix = "make gamma smaller; where they vary, let both vary alike"
            asked.refuse(must, f"{density.value} and {gamma.value}", asked.path("gamma", model), fix)
        allowed.append(replace(gamma, value=gamma.value if found is None else found))
    return _made(asked, {"scope": "leaf"}, density=densities, gamma=allowed)


def della(asked: Asked) -> Merge:
    """Coins by rank within each row, then a sum or the vote."""
    densities, spreads = asked.each("density", asked.experts), asked.each("epsilon", asked.experts)
    for density, spread, model in zip(densities, spreads, asked.experts, strict=True):
        if combined([_number(density), _number(spread)], _spread) is None:
            must = "density − epsilon and density + epsilon lie between 0 and 1"
            got = f"{density.value} and {spread.value}"
            asked.refuse(must, got, asked.path("epsilon", model), "make epsilon smaller; let both vary alike")
    settings: dict[str, object] = {"epsilon_is": "half", "scope": "row", "rescale": _rescale(asked)}
    return _made(asked, settings, density=densities, epsilon=spreads)


def _made(asked: Asked, settings: dict[str, object], **each: Sequence[Value]) -> Merge:
    """Put a mask, weights and λ together; `each` are numbers of each model."""
    name = asked.words.name
    here = ("merge_method",)
    if asked.switch("rescale") and "rescale" not in settings:
        must, fix = f"{name} leaves what it keeps as it is", "rescale beside it is not supported yet; leave it out"
        asked.refuse(must, "rescale true", asked.path("rescale"), fix)
    params = {known: Value(value, asked.path(known)) for known, value in settings.items()}
    weights = asked.each("weight", asked.experts)
    normalize = asked.switch("normalize")
    if name in _VOTING:
        params["cancelled"] = Value("positive", ("merge_method",))
        params["combine"] = Value("mean" if normalize else "sum", asked.path("normalize"))
        if normalize:
            _not_negative(asked, weights)
    elif normalize:
        weights = _divided(asked, weights)
    entries = list(asked.weighted(asked.experts, weights))
    for known, values in each.items():
        if all(value.value == values[0].value for value in values):
            params[known] = values[0] if values else Value(1.0, here)
        else:
            entries = [_own(entry, known, value) for entry, value in zip(entries, values, strict=True)]
            params[known] = values[0]
    return Merge(name, tuple(entries), params, asked.number("lambda"))


def _not_negative(asked: Asked, weights: Sequence[Value]) -> None:
    for weight, model in zip(weights, asked.experts, strict=True):
        if min(numbers_of(_number(weight))) < 0.0:
            must = "weights beside normalize: true are 0 or more"
            fix = "mergekit divides by their signed sum there; write normalize: false"
            asked.refuse(must, f"{weight.value}", asked.path("weight", model), fix)


def _divided(asked: Asked, weights: list[Value]) -> list[Value]:
    parts = shares([_number(weight) for weight in weights])
    if parts is not None:
        return _with(weights, parts)
    must = "weights beside normalize: true have one sum other than 0 at every depth and in every leaf"
    asked.refuse(must, "others", asked.path("normalize"), "write normalize: false, or weights that do not vary")
    return weights


def _own(entry: Entry, name: str, value: Value) -> Entry:
    return replace(entry, params={**entry.params, name: value})


def _with(values: Sequence[Value], numbers: Sequence[Number]) -> list[Value]:
    return [replace(value, value=number) for value, number in zip(values, numbers, strict=True)]


def _number(value: Value) -> Number:
    assert not isinstance(value.value, str | bool)
    return value.value  # type: ignore[return-value]


def _rescale(asked: Asked) -> str:
    return "norm" if asked.switch("rescale") else "none"


def _outliers(pair: Sequence[float]) -> float | None:
    """Return which fraction mergekit drops as outliers: at density 1 it drops nothing at all."""
    density, gamma = pair
    if density >= 1.0:
        return 0.0 if density == 1.0 else gamma
    return gamma if density + gamma <= 1.0 + 1e-9 else None


def _spread(pair: Sequence[float]) -> float | None:
    density, epsilon = pair
    return epsilon if density >= 1.0 or (density - epsilon > 0.0 and density + epsilon < 1.0) else None
