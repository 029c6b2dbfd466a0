"""The recipe: the complete, versioned, serialisable description of a merge.

A recipe is a value. It is made by `parse_recipe` (which checks everything) and changed by
`merging_core.recipes.changes`, which returns the next one; so a recipe in hand is a valid recipe.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from merging_core.masks.info import MaskSpec
from merging_core.methods.info import ParameterInfo, Parameters
from merging_core.methods.varying import Number, varying_as_json
from merging_core.scaling.info import LayerScalingSpec

__all__ = [
    "DTYPE",
    "RESERVED",
    "SEED",
    "VERSION",
    "VOCABULARY",
    "WEIGHT",
    "LayerScalingSpec",
    "MaskSpec",
    "MethodSpec",
    "ModelEntry",
    "Recipe",
    "lambda_parameter",
]

VERSION = 1
RESERVED = ("slices", "tokenizer", "before", "after")
"""Names that later versions will use."""

WEIGHT = ParameterInfo(
    "weight",
    "Weight",
    "number",
    1.0,
    "How much of this expert goes into the merge.",
    -1e6,
    1e6,
    slider=(-1.0, 2.0),
    per_leaf=True,
)
SEED = ParameterInfo(
    "seed", "Seed", "integer", 0, "Names the coins of random masks; the same seed gives the same merge.", 0, 2**53 - 1
)
DTYPE = ParameterInfo(
    "dtype",
    "Stored as",
    "choice",
    "float32",
    "The number format that the merged weights are rounded to, once, at the end.",
    choices=("float32", "bfloat16", "float16"),
)

VOCABULARY = ParameterInfo(
    "vocabulary",
    "Vocabulary",
    "choice",
    "same",
    "What becomes of tokens that not all models have: refused, the rows that all have merged, rows matched by the text "
    "of their tokens, or all rows of the base.",
    choices=("same", "common rows", "by token", "base"),
)


def lambda_parameter(default: float) -> ParameterInfo:
    """Return the control of λ with a method's default.

    >>> lambda_parameter(0.3).default
    0.3
    """
    return ParameterInfo(
        "lambda",
        "λ",
        "number",
        default,
        "Scales the whole merged vector.",
        -100.0,
        100.0,
        slider=(0.0, 1.5),
        per_leaf=True,
    )


@dataclass(frozen=True)
class ModelEntry:
    """One expert: where it is, how much of it, and what it overrides of the mask or the method."""

    ref: str
    weight: Number = 1.0
    params: Parameters = field(default_factory=Parameters)
    statistics: str | None = None
    """What was measured of it on examples, by content: `learned:` and 64 hex digits; for a method that `measures`."""

    def as_json(self) -> dict[str, object]:
        """Return the form that a recipe holds; `params` and `statistics` only where there are any."""
        entry: dict[str, object] = {"ref": self.ref, "weight": varying_as_json(self.weight)}
        if self.params:
            entry["params"] = self.params.as_json()
        return {**entry, "statistics": self.statistics} if self.statistics is not None else entry


@dataclass(frozen=True)
class MethodSpec:
    """The name of a method and its parameters, complete and checked."""

    name: str
    params: Parameters = field(default_factory=Parameters)

    def as_json(self) -> dict[str, object]:
        """Return the form that a recipe holds."""
        return {"name": self.name, "params": self.params.as_json()}


@dataclass(frozen=True)
class Recipe:
    """A merge in words and numbers, with every default filled in.

    Weights, λ and those parameters that are `per_leaf` are one number or a `Varying` one.
    `lambda_` is the recipe's `lambda`, which Python keeps for itself.
    """

    base: str | None
    models: tuple[ModelEntry, ...]
    method: MethodSpec
    lambda_: Number
    mask: MaskSpec = MaskSpec()
    layer_scaling: LayerScalingSpec = LayerScalingSpec()
    dtype: str = "float32"
    seed: int = 0
    version: int = VERSION
    tensors: str | None = None
    """Learned masks and coefficients, by content: `learned:` and 64 hex digits."""
    vocabulary: str = "same"
    """What becomes of rows of tokens that not all models have: `same`, `common rows`, `by token` or `base`.

    Behind `by token` may stand, after an @, which way of bringing rows together is meant: 64 hex digits, as
    `Plan.pins` has them.
    """

    def as_json(self) -> dict[str, object]:
        """Return the recipe as JSON values, in the order in which people read it; `parse_recipe` reads it back."""
        return {
            "version": self.version,
            "base": self.base,
            "models": [entry.as_json() for entry in self.models],
            "mask": self.mask.as_json(),
            "method": self.method.as_json(),
            "layer_scaling": self.layer_scaling.as_json(),
            "lambda": varying_as_json(self.lambda_),
            "dtype": self.dtype,
            "seed": self.seed,
            **({"tensors": self.tensors} if self.tensors is not None else {}),
            **({"vocabulary": self.vocabulary} if self.vocabulary != VOCABULARY.default else {}),
        }
