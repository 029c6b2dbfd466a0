"""What a recipe asks of each stage of a merge, in the form in which the engines carry it out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from merging_core.masks.info import MaskSpec
from merging_core.masks.registry import mask
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Parameters, ParameterValue
from merging_core.methods.registry import method
from merging_core.methods.varying import Number, Varying, over
from merging_core.recipes.recipe import LayerScalingSpec, ModelEntry, Recipe
from merging_core.space.depth import Depth

__all__ = ["Stages", "stages"]


@dataclass(frozen=True)
class Stages:
    """The numbers of each stage: mask per model → weights and combination → layer scaling → λ.

    Where numbers vary, `of_leaf` gives the stages of one leaf, in which none does.
    """

    method: MethodInfo
    params: Parameters
    """Of the method; in the stages of a leaf, one number for each model where some model has its own."""
    masks: tuple[MaskSpec, ...]
    """The effective mask of each model, owned by the method or free, with the model's own parameters filled in."""
    weights: tuple[Number, ...]
    layer_scaling: LayerScalingSpec
    lambda_: Number
    seed: int
    own: tuple[Parameters, ...] = ()
    """For each model its own numbers of the method, beside those of the mask; nothing in the stages of a leaf."""
    varying: tuple[Varying, ...] = ()
    """Every number that varies, each once."""

    @property
    def stochastic(self) -> bool:
        """Whether the seed matters."""
        return any(mask(spec.kind).stochastic for spec in self.masks)

    def of_leaf(self, name: str, depth: Depth) -> Stages:
        """Return the stages of one leaf: every number is one number.

        >>> from merging_core.recipes.parse import parse_recipe
        >>> found = stages(parse_recipe({"version": 1, "models": [{"ref": "zoo:x", "weight": [0, 1]}],
        ...     "base": "zoo:b", "method": {"name": "task_arithmetic"}}))
        >>> found.of_leaf("layers.1.weight", Depth("blocks", 1, 3, "inside")).weights
        (0.5,)
        """
        return self.with_numbers({number: number.at(name, depth) for number in self.varying})

    def with_numbers(self, numbers: Mapping[Varying, float]) -> Stages:
        """Return these stages with each varying number replaced by one number."""

        def one(value: ParameterValue) -> ParameterValue:
            return numbers[value] if isinstance(value, Varying) else value

        def number(value: Number) -> float:
            return numbers[value] if isinstance(value, Varying) else value

        if not numbers and not self.own:
            return self
        params = {name: one(value) for name, value in self.params.items()}
        for name in self.own[0] if self.own else ():
            params[name] = tuple(number(own.varying(name)) for own in self.own)
        return replace(
            self,
            params=Parameters(params),
            masks=tuple(
                MaskSpec(spec.kind, Parameters({name: one(value) for name, value in spec.params.items()}))
                for spec in self.masks
            ),
            weights=tuple(number(weight) for weight in self.weights),
            lambda_=number(self.lambda_),
            own=(),
            varying=(),
        )


def stages(recipe: Recipe) -> Stages:
    """Return the stages of a recipe; where no number varies, they are those of every leaf.

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
    given = {name for entry in recipe.models for name in entry.params if name not in names}
    overridden = [parameter.name for parameter in info.per_model() if parameter.name in given]
    found = Stages(
        method=info,
        params=recipe.method.params,
        masks=tuple(MaskSpec(kind, _of_model(entry, names, common)) for entry in recipe.models),
        weights=tuple(entry.weight for entry in recipe.models),
        layer_scaling=recipe.layer_scaling,
        lambda_=recipe.lambda_,
        seed=recipe.seed,
        own=tuple(_of_model(entry, overridden, recipe.method.params) for entry in recipe.models) if overridden else (),
    )
    varying = tuple(dict.fromkeys(value for value in _values(found) if isinstance(value, Varying)))
    return replace(found, varying=varying) if varying else found.with_numbers({})


def _values(found: Stages) -> Iterator[ParameterValue]:
    yield from found.weights
    yield found.lambda_
    for params in (found.params, *found.own, *(spec.params for spec in found.masks)):
        yield from params.values()


def _of_model(entry: ModelEntry, names: Iterable[str], common: Parameters) -> Parameters:
    """Return these numbers of one model: its own where it has them, in the leaves that they are for."""
    values: dict[str, ParameterValue] = {}
    for name in names:
        own = entry.params.get(name, common[name])
        values[name] = over(own, common.varying(name)) if isinstance(own, Varying) else own
    return Parameters(values)
