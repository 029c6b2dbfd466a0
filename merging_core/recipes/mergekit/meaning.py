"""What each of mergekit's methods means here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from merging_core.methods.varying import Number
from merging_core.recipes.mergekit.asked import Asked, Entry, Merge, Value
from merging_core.recipes.mergekit.numbers import shares
from merging_core.recipes.mergekit.task_vectors import breadcrumbs, dare, della, task_arithmetic, ties

__all__ = ["MEANINGS"]

_SMALLEST_LENGTH = 1e-8
_EXACTLY = Value("exactly", ("merge_method",))


def _linear(asked: Asked) -> Merge:
    _base_is_listed(asked)
    weights = asked.each("weight", asked.models)
    params = {"normalize": Value(asked.switch("normalize"), asked.path("normalize"))}
    return Merge("linear", asked.weighted(asked.models, weights), params, base=False)


def _passthrough(asked: Asked) -> Merge:
    _base_is_listed(asked)
    weights = asked.each("scale", asked.models)
    params = {"normalize": Value(False, ("merge_method",))}
    return Merge("linear", asked.weighted(asked.models, weights), params, base=False)


def _karcher(asked: Asked) -> Merge:
    entries = asked.plain(asked.models)
    if asked.base is not None and len(asked.experts) == len(asked.models):
        asked.notes.append("base_model is one more model of the mean, as karcher has no base")
        entries = (*entries, Entry(asked.base, ("base_model",)))
    params = {"iterations": asked.number("max_iter"), "tolerance": asked.number("tol")}
    return Merge("karcher", entries, params, base=False)


def _slerp(asked: Asked) -> Merge:
    return Merge("slerp", _from_base(asked), {"t": asked.number("t")}, base=False)


def _arcee_fusion(asked: Asked) -> Merge:
    params = {"quartiles": Value("below", ("merge_method",))}
    return Merge("arcee_fusion", _from_base(asked), params, base=False)


def _nuslerp(asked: Asked) -> Merge:
    weights = asked.each("weight", asked.experts)
    whole, by_column = asked.switch("nuslerp_flatten"), asked.switch("nuslerp_row_wise")
    if whole and by_column:
        asked.notes.append("nuslerp_row_wise has no say where nuslerp_flatten is true")
    if asked.base is not None:
        granularity = "leaf" if whole else "column" if by_column else "row"
        params = {"granularity": Value(granularity, asked.path("nuslerp_flatten")), "straight": _EXACTLY}
        return Merge("nuslerp", asked.weighted(asked.experts, weights), params)
    if not whole:
        fix = "name a base_model, or leave it out"
        must = "nuslerp without a base turns whole leaves"
        asked.refuse(must, "nuslerp_flatten false", asked.path("nuslerp_flatten"), fix)
    parts = shares([_number(weight) for weight in weights]) if len(weights) == 2 else None  # noqa: PLR2004
    if parts is None:
        must = "weights of nuslerp without a base have one sum other than 0 at every depth and in every leaf"
        asked.refuse(must, "others", asked.path("weight"), "write weights that do not vary, or use slerp and its t")
        parts = [0.5, 0.5]
    t = Value(parts[1], asked.path("weight", asked.experts[-1]))
    return Merge("slerp", asked.plain(asked.experts), {"t": t, "straight": _EXACTLY}, base=False)


def _multislerp(asked: Asked) -> Merge:
    eps = asked.number("eps")
    if eps.value != _SMALLEST_LENGTH:
        asked.refuse(f"eps is {_SMALLEST_LENGTH:g}", f"{eps.value}", eps.path, "leave it out: no other is supported")
    entries = asked.weighted(asked.experts, asked.each("weight", asked.experts))
    normalize = asked.switch("normalize_weights")
    if asked.base is not None:
        return Merge("multislerp", entries, {"normalize": Value(normalize, asked.path("normalize_weights"))})
    if not normalize:
        must, fix = "weights of multislerp without a base are normalized", "leave normalize_weights out"
        asked.refuse(must, "false", asked.path("normalize_weights"), fix)
    # The search for the Karcher mean begins where multislerp ends; with this tolerance it ends there too.
    params = {"iterations": Value(1, ("merge_method",)), "tolerance": Value(1.0, ("merge_method",))}
    return Merge("karcher", entries, params, base=False)


def _sce(asked: Asked) -> Merge:
    return Merge("sce", asked.plain(asked.experts), {"select": asked.number("select_topk")})


def _ram(asked: Asked) -> Merge:
    return Merge("ram", asked.plain(asked.experts), {"epsilon": asked.number("epsilon")})


def _ramplus(asked: Asked) -> Merge:
    params = {name: asked.number(name) for name in ("r", "alpha", "epsilon")}
    params["counted"] = Value("leaf", ("merge_method",))
    return Merge("ramplus_tl", asked.plain(asked.experts), params)


def _model_stock(asked: Asked) -> Merge:
    granularity = Value("filter" if asked.switch("filter_wise") else "leaf", asked.path("filter_wise"))
    params = {"granularity": granularity, "below_zero": Value("beyond", ("merge_method",))}
    return Merge("model_stock", asked.plain(asked.experts), params)


def _nearswap(asked: Asked) -> Merge:
    return Merge("nearswap", asked.plain(asked.experts), {"t": asked.number("t")})


def _from_base(asked: Asked) -> tuple[Entry, ...]:
    """Return the two models in mergekit's order, the base first."""
    listed = next((model for model in asked.models if model.ref == asked.base), None)
    path = (*listed.path, "model") if listed is not None else ("base_model",)
    return (Entry(asked.base or "", path), *asked.plain(asked.experts))


def _base_is_listed(asked: Asked) -> None:
    if asked.base is not None and len(asked.experts) == len(asked.models):
        must = f"{asked.words.name} has no base: it takes the models of its list alone"
        fix = "leave base_model out, or put it into the list"
        asked.refuse(must, "one beside the list", ("base_model",), fix)


def _number(value: Value) -> Number:
    return value.value  # type: ignore[return-value]


MEANINGS: Mapping[str, Callable[[Asked], Merge]] = MappingProxyType(
    {
        "linear": _linear,
        "slerp": _slerp,
        "nuslerp": _nuslerp,
        "multislerp": _multislerp,
        "karcher": _karcher,
        "task_arithmetic": task_arithmetic,
        "ties": ties,
        "dare_ties": dare,
        "dare_linear": dare,
        "breadcrumbs": breadcrumbs,
        "breadcrumbs_ties": breadcrumbs,
        "della": della,
        "della_linear": della,
        "sce": _sce,
        "ram": _ram,
        "ramplus_tl": _ramplus,
        "model_stock": _model_stock,
        "nearswap": _nearswap,
        "arcee_fusion": _arcee_fusion,
        "passthrough": _passthrough,
    }
)
