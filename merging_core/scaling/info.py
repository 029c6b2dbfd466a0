"""What a layer scaling says about itself, and the settings that a recipe holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from merging_core.methods.info import Description, ParameterInfo, Parameters

__all__ = ["LayerScalingSpec", "Profile", "ScalingInfo", "placement_parameters"]


@dataclass(frozen=True)
class Profile:
    """Factors over the depth of the blocks, and what leaves outside them get.

    `inside(t)` takes the relative depth t = ℓ/(L−1) in [0, 1] (1 if there is one block).
    """

    inside: Callable[[float], float]
    before: float
    after: float


@dataclass(frozen=True)
class LayerScalingSpec:
    """The kind of a layer scaling and its settings, complete and checked; hashable, so it can be part of a cache key.

    >>> LayerScalingSpec("lines", Parameters(alpha=0.5, beta=1.0)).as_json()
    {'kind': 'lines', 'alpha': 0.5, 'beta': 1.0}
    """

    kind: str = "constant"
    params: Parameters = field(default_factory=Parameters)

    @property
    def applies_to(self) -> str:
        """`merged`, or `each`: before the mask, on every task vector."""
        return str(self.params.get("applies_to", "merged"))

    @property
    def alpha_rule(self) -> str:
        """`value`, or the convention (`sum`, `mean`) by which α follows from norms that only the engine knows."""
        return str(self.params.get("alpha_rule", "value"))

    @property
    def needs_alpha(self) -> bool:
        """Whether α must still be computed from norms (`alpha_from_norms`) and filled in (`with_alpha`)."""
        return self.kind == "lines" and "alpha" not in self.params

    def with_alpha(self, alpha: float) -> LayerScalingSpec:
        """Return the same scaling with α filled in.

        >>> LayerScalingSpec("lines", Parameters(alpha_rule="sum", beta=1.0)).with_alpha(0.25).needs_alpha
        False
        """
        return replace(self, params=self.params.changed(alpha=alpha))

    def as_json(self) -> dict[str, object]:
        """Return the form that a recipe holds."""
        return {"kind": self.kind, **self.params.as_json()}


@dataclass(frozen=True, kw_only=True)
class ScalingInfo(Description):
    """One kind of layer scaling: its record and the pure function from settings to a profile."""

    profile: Callable[[Parameters], Profile]
    models: tuple[int, int | None] = (1, None)
    """The fewest and the most models that it takes."""

    def as_json(self) -> dict[str, object]:
        """Return the record without its function."""
        return {**self.describe(), "models": list(self.models)}


def placement_parameters() -> tuple[ParameterInfo, ParameterInfo]:
    """Return the two choices that all scalings but `constant` share.

    >>> [parameter.default for parameter in placement_parameters()]
    ['alpha', 'merged']
    """
    outside = ParameterInfo(
        "outside",
        "Outside the blocks",
        "choice",
        "alpha",
        "Whether leaves outside the blocks all get the first factor, or those after the blocks the last one.",
        choices=("alpha", "depth"),
    )
    applies_to = ParameterInfo(
        "applies_to",
        "Applies to",
        "choice",
        "merged",
        "Whether the merged vector is scaled, or each task vector before its mask.",
        choices=("merged", "each"),
    )
    return outside, applies_to
