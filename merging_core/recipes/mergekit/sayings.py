"""How each of our methods is said in mergekit's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from merging_core.errors import Problem
from merging_core.methods.info import Parameters, ParameterValue
from merging_core.methods.registry import method
from merging_core.methods.varying import Case, Number, Varying, numbers_of, over
from merging_core.recipes.mergekit.numbers import combined
from merging_core.recipes.recipe import Recipe

__all__ = ["SAYINGS", "Said"]

_KNOWN = frozenset(
    {"normalize", "combine", "rescale", "scope", "density", "gamma", "epsilon", "epsilon_is", "granularity"}
    | {"iterations", "tolerance", "outlier", "select", "weigh_by", "merged", "r", "alpha", "counted", "mean_of"}
    | {"t", "angle", "cancelled", "below_zero", "quartiles", "straight"}
)
"""The parameters of methods that are said below, or refused where they cannot be."""


class Said:
    """What is said so far, and what cannot be said."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.params = recipe.method.params
        self.name = recipe.method.name
        self.base: str | None = recipe.base
        self.of_models: list[dict[str, Number]] = [{} for _ in recipe.models]
        self.of_all: dict[str, Number | bool] = {}
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def wrong(self, must: str, got: object, where: str, fix: str = "") -> None:
        """Add what mergekit has no words for."""
        self.problems.append(Problem(f"mergekit {must}", str(got), where, fix))

    def weights(self) -> None:
        """Say the weight of each model."""
        for own, entry in zip(self.of_models, self.recipe.models, strict=True):
            own["weight"] = entry.weight

    def alike(self) -> None:
        """Weights cannot be said: all are 1, or what they are does not matter as long as they are equal."""
        if any(entry.weight != 1.0 for entry in self.recipe.models):
            self.wrong("has no weights in this method", "others than 1", "models", "give each model the weight 1")

    def unknown(self) -> None:
        """Refuse what the method was asked for beyond the parameters that are known here."""
        for info in method(self.recipe.method.name).parameters:
            if info.name not in _KNOWN and self.params.get(info.name, info.default) != info.default:
                self.chosen(info.name, str(info.default), f"knows nothing of {info.name}")

    def each(self, name: str, common: Parameters) -> None:
        """Say a number that models may have of their own."""
        value = common[name]
        found = [_over(entry.params.get(name, value), value) for entry in self.recipe.models]
        if all(number == found[0] for number in found):
            self.of_all[name] = found[0]
            return
        for own, number in zip(self.of_models, found, strict=True):
            own[name] = number

    def common(self, name: str, theirs: str) -> None:
        """Say a number that is the same for all models."""
        if any(name in entry.params for entry in self.recipe.models):
            self.wrong(f"has one {theirs} for all models", "one of a model", "models", "leave it out of params")
        value = self.params[name]
        self.of_all[theirs] = value if isinstance(value, Varying) else self.params.number(name)

    def chosen(self, name: str, wanted: str, why: str, common: Parameters | None = None) -> None:
        """A choice that mergekit does not offer must be as it does it."""
        params = self.params if common is None else common
        if params.get(name) != wanted:
            where = f"method.params.{name}" if common is None else f"mask.{name}"
            self.wrong(why, params.get(name), where, f"set {name} to {wanted}")

    def scale(self) -> None:
        """Say λ, with the layer scaling in it."""
        found = self._scale()
        if found is not None:
            self.of_all["lambda"] = found

    def unscaled(self) -> None:
        """λ cannot be said."""
        found = self._scale()
        if found is not None and found != 1.0:
            self.wrong("has no λ and no layer scaling in this method", found, "lambda", "set λ to 1")

    def _scale(self) -> Number | None:
        scaling, whole = self.recipe.layer_scaling, self.recipe.lambda_
        if scaling.kind == "constant":
            return whole
        where, params = "layer_scaling", scaling.params
        if scaling.applies_to == "each" or scaling.needs_alpha or isinstance(whole, Varying):
            must = "scales the merged vector alone, by numbers that are known"
            self.wrong(must, scaling.kind, where, "let it apply to the merged vector, with an α and one λ")
            return None
        if params.get("outside") != "alpha":
            self.wrong("gives leaves outside the blocks the first factor", "depth", f"{where}.outside", "write alpha")
        points = params.get("points")
        if scaling.kind == "curve" and isinstance(points, tuple):
            return Varying((Case("", tuple(whole * point for point in points)),))
        first = params.number("gamma" if scaling.kind == "lines_gamma" else "alpha")
        last = 1.0 if scaling.kind == "lines_gamma" else first + params.number("beta")
        return Varying((Case("", (whole * first, whole * last)),))


def _over(value: ParameterValue, common: ParameterValue) -> Number:
    number = value if isinstance(value, Varying) else float(value)  # type: ignore[arg-type]
    rest = common if isinstance(common, Varying) else float(common)  # type: ignore[arg-type]
    return over(number, rest)


def _average(said: Said) -> None:
    recipe = said.recipe
    normalize = bool(said.params.get("normalize", True))
    said.weights()
    if recipe.base is None or (recipe.lambda_ == 1.0 and recipe.layer_scaling.kind == "constant"):
        said.name, said.base = "linear", None
        said.of_all["normalize"] = normalize
        return
    # λ·(Σ wθ/Σ w − θ₀) is λ·Σ wτ/Σ w.
    said.name = "task_arithmetic"
    said.of_all["normalize"] = True
    said.scale()
    if not normalize:
        said.wrong("has no λ beside a plain sum of weights", "normalize false", "method.params.normalize", "set λ to 1")


def _task_arithmetic(said: Said) -> None:
    said.weights()
    said.scale()
    kind, params = said.recipe.mask.kind, said.recipe.mask.params
    if kind in ("random", "dare"):
        said.name = "dare_linear"
        said.each("density", params)
        _rescale(said, params)
    elif kind == "breadcrumbs":
        said.name = "breadcrumbs"
        _crumbs(said, params)
    elif kind == "della":
        said.name = "della_linear"
        _della_mask(said, params)
    elif kind != "none":
        said.wrong("has no such mask before a plain sum", kind, "mask.kind", "take the mask none, or the method ties")


def _sparse(said: Said) -> None:
    """DARE, Breadcrumbs, DELLA and TIES: the mask is the method's own."""
    kind = method(said.name).owned_mask
    said.weights()
    said.scale()
    if "combine" in said.params:
        _vote(said)
    if kind == "magnitude":
        said.chosen("scope", "leaf", "trims within each leaf")
        said.each("density", said.params)
    elif kind == "dare":
        said.each("density", said.params)
        _rescale(said, said.params)
    elif kind == "breadcrumbs":
        _crumbs(said, said.params)
    else:
        _della_mask(said, said.params)


def _vote(said: Said) -> None:
    mean = said.params["combine"] == "mean"
    said.of_all["normalize"] = mean
    if mean and any(min(numbers_of(entry.weight)) < 0.0 for entry in said.recipe.models):
        fix = "combine by sum, or use weights of 0 or more"
        said.wrong("divides by the signed sum of weights", "a negative weight", "models", fix)
    if said.params["cancelled"] != "positive":
        said.notes.append("where weighted changes cancel exactly, mergekit takes the positive ones")


def _rescale(said: Said, params: Parameters) -> None:
    rescale = params.get("rescale")
    said.of_all["rescale"] = rescale == "norm"
    if rescale == "probability":
        said.chosen("rescale", "norm", "keeps Σ|τ| of a leaf", None if params is said.params else params)


def _crumbs(said: Said, params: Parameters) -> None:
    said.chosen("scope", "leaf", "counts within each leaf", None if params is said.params else params)
    said.each("density", params)
    said.each("gamma", params)


def _della_mask(said: Said, params: Parameters) -> None:
    common = None if params is said.params else params
    said.chosen("scope", "row", "ranks within each row", common)
    said.chosen("epsilon_is", "half", "takes ε as half of the range", common)
    said.each("density", params)
    said.each("epsilon", params)
    _rescale(said, params)


def _wise(said: Said) -> None:
    said.name = "task_arithmetic"
    said.weights()
    said.scale()
    if said.recipe.mask.kind != "none":
        said.wrong("has no mask before an interpolation", said.recipe.mask.kind, "mask.kind", "take the mask none")


def _unmasked(said: Said) -> None:
    if said.recipe.mask.kind != "none":
        said.wrong("has no mask before this method", said.recipe.mask.kind, "mask.kind", "take the mask none")


def _from_first(said: Said) -> None:
    """SLERP and Arcee Fusion: the first of two models is called the base."""
    recipe = said.recipe
    if recipe.base is not None:
        said.unscaled()
    said.base = recipe.models[0].ref
    if said.name == "arcee_fusion":
        if said.params["outlier"] != 1.5:  # noqa: PLR2004
            said.wrong("takes what lies 1.5 quartile distances out", said.params["outlier"], "method.params.outlier")
        if said.params["quartiles"] != "below":
            said.notes.append("a quartile is an element of the leaf in mergekit, and does not lie between two")
        return
    said.chosen("angle", "leaf", "takes the angle within each leaf")
    if said.params["straight"] == "exactly":
        _arc_of_weights(said)
        return
    said.common("t", "t")


def _arc_of_weights(said: Said) -> None:
    """SLERP that is straight only where it must be is NuSLERP without a base: with weights 1 − t and t."""
    said.name, said.base = "nuslerp", None
    first, second = said.of_models
    t = said.params["t"]
    number = t if isinstance(t, Varying) else said.params.number("t")
    rest = combined([number], lambda only: 1.0 - only[0])
    first["weight"], second["weight"] = 1.0 if rest is None else rest, number


def _nuslerp(said: Said) -> None:
    _unmasked(said)
    if said.params["straight"] != "exactly":
        said.notes.append("changes that are nearly parallel are joined by a line here, and by their arc in mergekit")
    said.weights()
    said.unscaled()
    granularity = said.params["granularity"]
    said.of_all["nuslerp_flatten"] = granularity == "leaf"
    if granularity != "leaf":
        said.of_all["nuslerp_row_wise"] = granularity == "column"


def _multislerp(said: Said) -> None:
    _unmasked(said)
    said.weights()
    said.unscaled()
    said.of_all["normalize_weights"] = bool(said.params["normalize"])


def _karcher(said: Said) -> None:
    if said.recipe.base is not None:
        said.unscaled()
    said.base = None
    if said.params["iterations"] == 1 and said.params["tolerance"] == 1.0:
        said.name = "multislerp"
        said.weights()
        return
    first = said.recipe.models[0].weight
    if isinstance(first, Varying) or any(entry.weight != first for entry in said.recipe.models):
        said.wrong("has no weights in this mean", "different ones", "models", "give all models one weight")
    said.of_all["max_iter"] = said.params.number("iterations")
    said.common("tolerance", "tol")


def _sce(said: Said) -> None:
    _of_task_vectors(said)
    said.chosen("merged", "selected", "merges selected elements alone")
    said.chosen("weigh_by", "squares", "weighs experts by the mean square")
    said.common("select", "select_topk")


def _ram(said: Said) -> None:
    _of_task_vectors(said)
    for name in ("epsilon", "r", "alpha"):
        if name in said.params:
            said.common(name, name)
    if said.name == "ramplus_tl":
        said.chosen("counted", "leaf", "counts within each leaf")


def _model_stock(said: Said) -> None:
    _of_task_vectors(said)
    said.chosen("mean_of", "cosines", "takes the mean of cosines")
    if said.params["below_zero"] != "beyond":
        said.notes.append("where experts have a mean cosine below 0, mergekit goes to the other side of the base")
    said.of_all["filter_wise"] = said.params["granularity"] == "filter"


def _nearswap(said: Said) -> None:
    _of_task_vectors(said)
    said.common("t", "t")


def _of_task_vectors(said: Said) -> None:
    _unmasked(said)
    said.alike()
    said.unscaled()


SAYINGS: Mapping[str, Callable[[Said], None]] = MappingProxyType(
    {
        "linear": _average,
        "uniform_soup": _average,
        "rewarded_soup": _average,
        "wise_ft": _wise,
        "task_arithmetic": _task_arithmetic,
        "ties": _sparse,
        "dare_linear": _sparse,
        "dare_ties": _sparse,
        "breadcrumbs": _sparse,
        "breadcrumbs_ties": _sparse,
        "della": _sparse,
        "della_linear": _sparse,
        "slerp": _from_first,
        "arcee_fusion": _from_first,
        "nuslerp": _nuslerp,
        "multislerp": _multislerp,
        "karcher": _karcher,
        "sce": _sce,
        "ram": _ram,
        "ramplus_tl": _ram,
        "model_stock": _model_stock,
        "nearswap": _nearswap,
    }
)
