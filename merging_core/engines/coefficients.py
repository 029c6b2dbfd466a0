"""From layer scaling and λ to the one float32 number per leaf that a stage multiplies by."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from merging_core.engines.kernel import coefficients
from merging_core.methods.varying import one_number
from merging_core.recipes.stages import Stages
from merging_core.scaling.registry import factors
from merging_core.space.depth import Depth

__all__ = ["after_combine", "before_mask", "lambda_of", "profile", "weight_tensor"]


def profile(stages: Stages, depths: Sequence[Depth], alpha: float | None = None) -> tuple[float, ...]:
    """Return λ(ℓ) per leaf as float64, without λ, wherever it applies; `alpha` where norms decide about it.

    >>> from merging_core.recipes.parse import parse_recipe
    >>> from merging_core.recipes.stages import stages
    >>> recipe = parse_recipe({"version": 1, "models": [{"ref": "zoo:a"}], "method": {"name": "linear"}})
    >>> profile(stages(recipe), [Depth("blocks", 0, 2, "inside")])
    (1.0,)
    """
    spec = stages.layer_scaling
    if spec.needs_alpha and alpha is not None:
        spec = spec.with_alpha(alpha)
    return factors(spec, depths)


def before_mask(stages: Stages, depths: Sequence[Depth]) -> tuple[float, ...]:
    """Return what each task vector is multiplied by before its mask, per leaf: 1 unless scaling applies to each."""
    if stages.layer_scaling.applies_to != "each":
        return (1.0,) * len(depths)
    return coefficients(profile(stages, depths), (1.0,) * len(depths))


def after_combine(
    stages: Stages, depths: Sequence[Depth], lambdas: Sequence[float], alpha: float | None = None
) -> tuple[float, ...]:
    """Return λ(ℓ)·λ per leaf, multiplied in float64 and rounded once to float32; λ alone if scaling applies to each.

    `lambdas` is λ in each leaf.
    """
    each = stages.layer_scaling.applies_to == "each"
    scales = (1.0,) * len(depths) if each else profile(stages, depths, alpha)
    return coefficients(scales, lambdas)


def weight_tensor(stages: Stages, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return the weights wₜ of stages in which none varies, each rounded once to float32: [T]."""
    weights = [one_number(weight) for weight in stages.weights]
    return torch.tensor(weights, dtype=torch.float64).to(torch.float32).to(device)


def lambda_of(stages: Stages) -> float:
    """Return λ of stages in which it does not vary."""
    return one_number(stages.lambda_)
