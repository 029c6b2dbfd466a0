"""The list of masks, in the order in which they are offered."""

from __future__ import annotations

from merging_core.errors import Problem, RecipeError, closest
from merging_core.masks.breadcrumbs import BREADCRUMBS
from merging_core.masks.dare import DARE
from merging_core.masks.della import DELLA
from merging_core.masks.info import MaskInfo
from merging_core.masks.magnitude import MAGNITUDE
from merging_core.masks.none import NONE
from merging_core.masks.random import RANDOM

__all__ = ["mask", "masks"]


def masks() -> tuple[MaskInfo, ...]:
    """Return every mask.

    >>> [info.name for info in masks()]
    ['none', 'magnitude', 'breadcrumbs', 'random', 'dare', 'della']
    """
    return NONE, MAGNITUDE, BREADCRUMBS, RANDOM, DARE, DELLA


def mask(kind: str) -> MaskInfo:
    """Return the mask of this kind; raise RecipeError with the closest match if there is none.

    >>> mask("magnitude").stochastic
    False
    """
    for info in masks():
        if info.name == kind:
            return info
    known = [info.name for info in masks()]
    raise RecipeError(Problem("a mask is known by its kind", kind, "mask.kind", closest(kind, known)))
