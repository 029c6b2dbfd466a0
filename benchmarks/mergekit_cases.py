"""Recipes of mergekit that are carried out on both sides: every method, over plain folders `base`, `a`, `b` and `c`."""

from __future__ import annotations

from typing import Any

__all__ = ["NAMES", "RECIPES", "recipe"]

NAMES = ("base", "a", "b", "c")
SLOPE = [0.2, 0.9]
CASES = [{"filter": "mlp", "value": [0.3, 0.8]}, {"filter": "norm", "value": 1}, {"value": 0.6}]


def recipe(method: str, *weights: Any, base: bool = True, each: dict[str, list[Any]] | None = None, **rest: Any) -> Any:
    """A recipe of the first models with these weights; None leaves a model's weight out."""
    entries = []
    for place, weight in enumerate(weights):
        own = {} if weight is None else {"weight": weight}
        own |= {name: values[place] for name, values in (each or {}).items() if values[place] is not None}
        entries.append({"model": f"./{NAMES[place + 1]}", **({"parameters": own} if own else {})})
    parameters = {"parameters": rest} if rest else {}
    return {"merge_method": method, **({"base_model": "./base"} if base else {}), "models": entries, **parameters}


RECIPES: dict[str, Any] = {
    "linear": recipe("linear", 1, 0.5, 2, base=False),
    "linear over depth": recipe("linear", SLOPE, CASES, 0.5, base=False),
    "linear, plain sum": recipe("linear", 1, 0.5, 2, base=False, normalize=False),
    "linear, one weight for all but one": recipe("linear", None, SLOPE, None, base=False, weight=0.7),
    "slerp": recipe("slerp", None, t=0.3),
    "slerp over depth": recipe("slerp", None, t=CASES),
    "nuslerp": recipe("nuslerp", 0.7, 0.3),
    "nuslerp by rows": recipe("nuslerp", 0.7, 0.3, nuslerp_flatten=False),
    "nuslerp by columns": recipe("nuslerp", 0.7, 0.3, nuslerp_flatten=False, nuslerp_row_wise=True),
    "nuslerp without a base": recipe("nuslerp", [0.9, 0.2], [0.1, 0.8], base=False),
    "multislerp": recipe("multislerp", 1, 0.5, 2),
    "multislerp, weights as they are": recipe("multislerp", 0.5, 0.5, 1, normalize_weights=False),
    "multislerp without a base": recipe("multislerp", 1, 0.5, 2, base=False),
    "karcher": recipe("karcher", None, None, None, base=False, max_iter=50, tol=1e-5),
    "task_arithmetic": recipe("task_arithmetic", 1, -0.5, CASES, **{"lambda": 0.7}),
    "task_arithmetic, normalized": recipe("task_arithmetic", 1, 0.5, 2, normalize=True, **{"lambda": SLOPE}),
    "task_arithmetic, normalized over depth": recipe("task_arithmetic", SLOPE, 1, 2, normalize=True),
    "ties": recipe("ties", 1, 0.5, 2, density=0.35),
    "ties, densities of their own": recipe("ties", 1, SLOPE, 2, each={"density": [0.5, CASES, None]}, density=0.3),
    "ties, a sum": recipe("ties", 1, -0.5, 2, density=0.35, normalize=False, **{"lambda": 0.4}),
    "ties, two experts of one weight": recipe("ties", 1, 1, density=0.5),
    "ties, all": recipe("ties", 1, 0.5, 2),
    "dare_ties, all": recipe("dare_ties", 1, 0.5, 2, **{"lambda": 0.5}),
    "dare_linear, all, normalized": recipe("dare_linear", 1, 0.5, 2, normalize=True),
    "breadcrumbs": recipe("breadcrumbs", 1, 0.5, 2, density=0.5, gamma=0.05),
    "breadcrumbs, all": recipe("breadcrumbs", 1, 0.5, 2),
    "breadcrumbs, some all": recipe(
        "breadcrumbs", 1, 0.5, 2, density=[{"filter": "mlp", "value": 0.6}, {"filter": "lm", "value": 0.5}]
    ),
    "breadcrumbs, normalized": recipe("breadcrumbs", 1, 0.5, 2, density=0.5, gamma=0.05, normalize=True),
    "breadcrumbs_ties": recipe("breadcrumbs_ties", 1, 0.5, 2, density=0.5, each={"gamma": [0.05, 0.1, 0.02]}),
    "della, all": recipe("della", 1, 0.5, 2),
    "della_linear, all": recipe("della_linear", 1, 0.5, SLOPE),
    "sce": recipe("sce", None, None, None),
    "sce, selected": recipe("sce", None, None, None, select_topk=[0.3, 0.6]),
    "ram": recipe("ram", None, None, None),
    "ramplus_tl": recipe("ramplus_tl", None, None, None, r=0.3, alpha=0.5, epsilon=[1e-5, 0.01]),
    "model_stock": recipe("model_stock", None, None, None),
    "model_stock by rows": recipe("model_stock", None, None, None, filter_wise=True),
    "nearswap": recipe("nearswap", None, t=[0.01, 0.05]),
    "arcee_fusion": recipe("arcee_fusion", None),
    "passthrough": recipe("passthrough", None, base=False),
    "passthrough, scaled": recipe("passthrough", None, base=False, scale=[{"filter": "q_proj", "value": SLOPE}]),
}
