"""The list of layer scalings, and the factors that one gives to leaves."""

from __future__ import annotations

from collections.abc import Iterable

from merging_core.errors import Problem, RecipeError, closest
from merging_core.scaling.info import LayerScalingSpec, Profile, ScalingInfo
from merging_core.scaling.profiles import CONSTANT, CURVE, LINES, LINES_GAMMA
from merging_core.space.depth import Depth

__all__ = ["factors", "scaling", "scalings"]


def scalings() -> tuple[ScalingInfo, ...]:
    """Return every layer scaling.

    >>> [info.name for info in scalings()]
    ['constant', 'lines', 'lines_gamma', 'curve']
    """
    return CONSTANT, LINES, LINES_GAMMA, CURVE


def scaling(kind: str) -> ScalingInfo:
    """Return the layer scaling of this kind; raise RecipeError with the closest match if there is none.

    >>> scaling("lines").title
    'LiNeS'
    """
    for info in scalings():
        if info.name == kind:
            return info
    known = [info.name for info in scalings()]
    raise RecipeError(Problem("a layer scaling is known by its kind", kind, "layer_scaling.kind", closest(kind, known)))


def factors(spec: LayerScalingSpec, depths: Iterable[Depth]) -> tuple[float, ...]:
    """Return λ(ℓ) for each leaf, as float64, in the order of `depths`.

    A leaf in block ℓ of a stack of L blocks has relative depth ℓ/(L−1), or 1 if L = 1.

    Raises ValueError if α is still to be computed (`spec.needs_alpha`), RecipeError for an unknown kind.

    >>> from merging_core.methods.info import Parameters
    >>> spec = LayerScalingSpec("lines", Parameters(alpha=0.5, beta=1.0, outside="alpha"))
    >>> factors(spec, [Depth("vision", None, 3, "before"), Depth("vision", 1, 3, "inside")])
    (0.5, 1.0)
    """
    if spec.needs_alpha:
        raise ValueError("α must be computed from norms before the factors")
    profile = scaling(spec.kind).profile(spec.params)
    return tuple(_factor(profile, depth) for depth in depths)


def _factor(profile: Profile, depth: Depth) -> float:
    if depth.side == "inside":
        return profile.inside(depth.position)
    return profile.before if depth.side == "before" else profile.after
