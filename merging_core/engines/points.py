"""Models as points of one space: flat vectors side by side, and the weights of any point between or beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from merging_core.checkpoints.reader import Checkpoint
from merging_core.engines.live import LiveEngine
from merging_core.engines.plan import Survey
from merging_core.errors import BasinError, Problem, SpaceError
from merging_core.recipes.recipe import Recipe
from merging_core.space.parameter_space import ParameterSpace, build_space

__all__ = ["Points", "points_of"]


@dataclass(frozen=True, eq=False)
class Points:
    """Models of one parameter space. `flats`: each [N] float32, shared, not to be written to."""

    flats: tuple[torch.Tensor, ...]
    _engine: LiveEngine
    _survey: Survey

    @property
    def space(self) -> ParameterSpace:
        """The space that all of them share, as the first model names it."""
        return self._survey.space

    @property
    def reference(self) -> Checkpoint:
        """The checkpoint whose names, dtypes and copied leaves all points have: the first model, or its base."""
        return self._survey.reference

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the first model, which says how weights are evaluated."""
        return self._survey.reference.config

    def weights(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return every leaf at a point, [N] float32: views of it, and what is copied of the first model."""
        return self._engine.all_leaves(flat, self._survey)

    def mixed(self, shares: Sequence[float]) -> torch.Tensor:
        """Return Σ shareᵢ·θᵢ, [N] float32: each product rounded, then added in the order of the models.

        A share of 1 beside zeros gives that model's very bits.
        """
        parts = [(share, flat) for share, flat in zip(shares, self.flats, strict=True) if share != 0.0]
        if not parts:
            return torch.zeros_like(self.flats[0])
        (share, flat), *others = parts
        out = flat.clone() if share == 1.0 else torch.mul(flat, share)
        for share, flat in others:
            out.add_(torch.mul(flat, share))
        return out


def points_of(engine: LiveEngine, models: Sequence[Recipe | str], base: str | None = None) -> Points:
    """Return checkpoints and merges as points of one space; `base` is that of adapters.

    Raises SpaceError where they share none, and as `LiveEngine.merge` does.
    """
    if not models:
        raise SpaceError(Problem("there is a model to look at", "none", "models"))
    ends = []
    for place, model in enumerate(models):
        try:
            ends.append(engine.end(model, base))
        except BasinError as error:
            raise error if isinstance(model, str) else error.located(f"models[{place}]") from error
    (_, first), *others = ends
    for _, survey in others:
        build_space(first.reference, [survey.reference])
    return Points(tuple(flat for flat, _ in ends), engine, first)
