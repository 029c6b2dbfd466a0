"""What mergekit's methods are called, which parameters each takes, and what models it works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["KEYS", "LATER", "METHODS", "TOKENS", "Term", "Words", "words"]

KEYS = ("merge_method", "models", "base_model", "parameters", "dtype", "out_dtype")
"""The keys of a recipe that are read."""

LATER = {
    "slices": "merges of single layers are not supported yet; list whole models under models",
    "modules": "merges of parts of multimodal models are not supported yet; list whole models under models",
    "chat_template": "the base's own template is kept; leave it out, and change the file afterwards",
    "name": "several merges in one file are not supported yet; import each alone",
}
"""The keys that mergekit knows and that are refused, each with what to do."""

TOKENS = ("tokenizer_source", "tokenizer")
"""The keys that say whose tokens the merge has: those of the base, as `base` or `{source: base}`."""


@dataclass(frozen=True)
class Term:
    """One parameter: its kind, its default (None: there must be one), and whether each model has its own."""

    name: str
    default: float | bool | None
    each: bool = False
    kind: Literal["number", "switch"] = "number"


@dataclass(frozen=True)
class Words:
    """What a method takes."""

    name: str
    terms: tuple[Term, ...]
    base: Literal["needed", "may be", "one of the models", "no role"]
    models: tuple[int, int | None] = (1, None)
    """The fewest and the most models beside a base; with one that is among them, all."""

    def term(self, name: str) -> Term | None:
        """Return the parameter of this name, if there is one."""
        return next((term for term in self.terms if term.name == name), None)


def _switch(name: str, default: bool) -> Term:
    return Term(name, default, kind="switch")


_WEIGHT, _DENSITY, _LAMBDA = Term("weight", None, True), Term("density", 1.0, True), Term("lambda", 1.0)
_EIGHT_BITS = _switch("int8_mask", False)


def _task_vectors(name: str, normalize: bool, rescale: bool, *more: Term) -> Words:
    switches = (_switch("normalize", normalize), _switch("rescale", rescale), _EIGHT_BITS)
    return Words(name, (*switches, _LAMBDA, _WEIGHT, _DENSITY, *more), "needed")


_GAMMA, _EPSILON = Term("gamma", 0.01, True), Term("epsilon", 0.15, True)
_SMALLEST = Term("epsilon", 1e-5)

METHODS = (
    Words("linear", (_switch("normalize", True), _WEIGHT), "no role"),
    Words("slerp", (Term("t", None),), "one of the models", (2, 2)),
    Words("nuslerp", (_switch("nuslerp_row_wise", False), _switch("nuslerp_flatten", True), _WEIGHT), "may be", (2, 2)),
    Words("multislerp", (_switch("normalize_weights", True), Term("eps", 1e-8), _WEIGHT), "may be", (2, None)),
    Words("karcher", (Term("max_iter", 10.0), Term("tol", 1e-5)), "no role", (2, None)),
    _task_vectors("task_arithmetic", False, False),
    _task_vectors("ties", True, False),
    _task_vectors("dare_ties", False, True),
    _task_vectors("dare_linear", False, True),
    _task_vectors("breadcrumbs", False, False, _GAMMA),
    _task_vectors("breadcrumbs_ties", False, False, _GAMMA),
    _task_vectors("della", True, True, _EPSILON),
    _task_vectors("della_linear", False, True, _EPSILON),
    Words("sce", (_EIGHT_BITS, Term("select_topk", 1.0)), "needed"),
    Words("ram", (_SMALLEST,), "needed"),
    Words("ramplus_tl", (Term("r", 0.1), Term("alpha", 0.2), _SMALLEST), "needed"),
    Words("model_stock", (_switch("filter_wise", False),), "needed", (2, None)),
    Words("nearswap", (Term("t", None),), "needed", (1, 1)),
    Words("arcee_fusion", (), "one of the models", (2, 2)),
    Words("passthrough", (Term("scale", 1.0, True),), "no role", (1, 1)),
)


def words(name: str) -> Words | None:
    """Return what the method of this name takes; None where mergekit has none.

    >>> [term.name for term in words("nearswap").terms]
    ['t']
    """
    return next((method for method in METHODS if method.name == name), None)
