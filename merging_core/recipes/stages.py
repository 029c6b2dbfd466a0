"""What a recipe asks of each stage of a merge, in the form in which the engines carry it out."""

from __future__ import annotations

from dataclasses import dataclass

from merging_core.masks.info import MaskSpec
from merging_core.masks.registry import mask
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Parameters, ParameterValue
from merging_core.methods.registry import method
from merging_core.recipes.recipe import LayerScalingSpec, Recipe

__all__ = ["Stages", "stages"]


@dataclass(frozen=True)
class Stages:
    """The numbers of each stage: mask per model → weights and combination → layer scaling → λ."""

    method: MethodInfo
    params: Parameters
    """Of the method."""
    masks: tuple[MaskSpec, ...]
    """The effective mask of each model, owned by the method or free, with the model's own parameters filled in."""
    weights: tuple[float, ...]
    layer_scaling: LayerScalingSpec
    lambda_: float
    seed: int

    @property
    def stochastic(self) -> bool:
        """Whether the seed matters."""
        return any(mask(spec.kind).stochastic for spec in self.masks)


def stages(recipe: Recipe) -> Stages:
    """Return the stages of a recipe.

    >>> from merging_core.recipes.parse import parse_recipe
    >>> found = stages(parse_recipe({"version": 1, "base": "zoo:b", "method": {"name": "ties"},
    ...     "models": [{"ref": "zoo:x"}, {"ref": "zoo:y", "params": {"density": 0.3}}]}))
    >>> [spec.as_json() for spec in found.masks]
    ... # doctest: +NORMALIZE_WHITESPACE
    [{'kind': 'magnitude', 'density': 0.2, 'scope': 'model'}, {'kind': 'magnitude', 'density': 0.3, 'scope': 'model'}]
    """
    info = method(recipe.method.name)
    kind = info.owned_mask or recipe.mask.kind
    common = recipe.method.params if info.owned_mask else recipe.mask.params
    names = [parameter.name for parameter in mask(kind).parameters]
    specs = []
    for entry in recipe.models:
        values: dict[str, ParameterValue] = {name: entry.params.get(name, common[name]) for name in names}
        specs.append(MaskSpec(kind, Parameters(values)))
    return Stages(
        method=info,
        params=recipe.method.params,
        masks=tuple(specs),
        weights=tuple(entry.weight for entry in recipe.models),
        layer_scaling=recipe.layer_scaling,
        lambda_=recipe.lambda_,
        seed=recipe.seed,
    )
