"""What a mask says about itself, and what it may know of the piece that it is applied to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from merging_core.masks.ranks import magnitudes_at
from merging_core.methods.info import Description, ParameterInfo, Parameters

__all__ = ["MaskContext", "MaskInfo", "MaskSpec", "density_parameter", "never", "whole"]


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
        """`row`, `leaf` or `model`: among what elements are compared; `leaf` for masks that compare none."""
        return str(self.params.get("scope", "leaf"))

    def as_json(self) -> dict[str, object]:
        """Return the form that a recipe holds."""
        return {"kind": self.kind, **self.params.as_json()}


@dataclass(frozen=True)
class MaskContext:
    """What a mask knows of the piece of a leaf that it is applied to."""

    params: Parameters = field(default_factory=Parameters)
    thresholds: torch.Tensor | None = None
    """[R] float32: the magnitudes at the mask's ranks, over the leaf or the model (`MaskInfo.ranks`)."""
    standings: torch.Tensor | None = None
    """[n] float32: where each element of the piece stands by magnitude, in (0, 1); for masks that are `by_standing`."""
    gain: float = 1.0
    """What survives is multiplied by this float32 number; for masks that are `balanced`."""
    key: int = 0
    """64 bits that name (seed, content, leaf); see `merging_core.masks.coins.coin_key`."""
    start: int = 0
    """Index within its leaf of the piece's first element."""
    own: bool = False
    """Whether nobody needs the piece as it is, so that a mask may write to it."""


def never(params: Parameters) -> bool:
    """Say no, whatever the parameters are.

    >>> never(Parameters())
    False
    """
    return False


def whole(params: Parameters) -> bool:
    """Say whether the density is 1.

    >>> whole(Parameters(density=1.0)), whole(Parameters(density=0.5))
    (True, False)
    """
    return params.get("density") == 1.0


@dataclass(frozen=True, kw_only=True)
class MaskInfo(Description):
    """One kind of mask: its record and its pure functions.

    `apply(vector[n] float32, context) -> [n]` works on any piece of one leaf, and leaves it alone unless `context.own`.
    Where `ranks` is present, the magnitudes at `ranks(n, params)` among the n elements of the leaf or of the whole
    model (as `scope` says) are found first; rank 1 is the largest.
    """

    stochastic: bool
    apply: Callable[[torch.Tensor, MaskContext], torch.Tensor]
    ranks: Callable[[int, Parameters], tuple[int, ...]] | None = None
    by_standing: bool = False
    """Whether it must know where each element stands by magnitude within its leaf, or within its row of the leaf."""
    balanced: Callable[[Parameters], bool] = never
    """Whether what survives in a leaf is scaled so that Σ|τ| of the leaf stays."""
    keeps_all: Callable[[Parameters], bool] = whole
    """Whether the mask keeps everything as it is."""

    def thresholds(self, pieces: Iterable[torch.Tensor], params: Parameters) -> torch.Tensor:
        """Return the magnitudes at the mask's ranks: [R] float32; `pieces` is walked up to three times.

        Raises ValueError if the mask has no ranks, or if there are no elements.
        """
        ranks = self.ranks
        if ranks is None:
            raise ValueError(f"{self.name} has no thresholds")
        return magnitudes_at(pieces, lambda size: ranks(size, params))

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
        per_leaf=True,
    )
