"""What a mask says about itself, and what it may know of the piece that it is applied to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from merging_core.methods.info import Description, ParameterInfo, Parameters

__all__ = ["MaskContext", "MaskInfo", "MaskSpec", "density_parameter"]


@dataclass(frozen=True)
class MaskSpec:
    """The kind of a mask and its settings, complete and checked; hashable, so it can be part of a cache key.

    >>> MaskSpec("magnitude", Parameters(density=0.2, scope="leaf")).as_json()
    {'kind': 'magnitude', 'density': 0.2, 'scope': 'leaf'}
    """

    kind: str = "none"
    params: Parameters = field(default_factory=Parameters)

    @property
    def scope(self) -> str:
        """`leaf` or `model`: over what a threshold is taken; `leaf` for masks without a threshold."""
        return str(self.params.get("scope", "leaf"))

    def as_json(self) -> dict[str, object]:
        """Return the form that a recipe holds."""
        return {"kind": self.kind, **self.params.as_json()}


@dataclass(frozen=True)
class MaskContext:
    """What a mask knows of the piece of a leaf that it is applied to."""

    params: Parameters = field(default_factory=Parameters)
    threshold: torch.Tensor | None = None
    """0-dim float32: the smallest magnitude that survives, over the leaf or the model (`MaskInfo.threshold`)."""
    key: int = 0
    """64 bits that name (seed, content, leaf); see `merging_core.masks.coins.coin_key`."""
    start: int = 0
    """Index within its leaf of the piece's first element."""


@dataclass(frozen=True, kw_only=True)
class MaskInfo(Description):
    """One kind of mask: its record and its pure functions.

    `apply(vector[n] float32, context) -> [n]` works on any piece of one leaf. Where `threshold` is present, it is
    called first, with the pieces of the leaf or of the whole model (as `scope` says); it walks them up to three times
    and returns a 0-dim tensor.
    """

    stochastic: bool
    apply: Callable[[torch.Tensor, MaskContext], torch.Tensor]
    threshold: Callable[[Iterable[torch.Tensor], Parameters], torch.Tensor] | None = None

    def as_json(self) -> dict[str, object]:
        """Return the record without its functions."""
        return {**self.describe(), "stochastic": self.stochastic}


def density_parameter(default: float, help_text: str) -> ParameterInfo:
    """Return the density knob that every mask, and every method that owns one, shares.

    >>> density_parameter(0.2, "Fraction kept.").range()
    '(0, 1]'
    """
    return ParameterInfo(
        name="density",
        title="Density",
        kind="number",
        default=default,
        help=help_text,
        minimum=0.0,
        maximum=1.0,
        minimum_excluded=True,
        slider=(0.01, 1.0),
        unit="fraction kept",
        per_model=True,
    )
