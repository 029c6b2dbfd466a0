"""Averages that need the checkpoints' span: SWAG's samples, and weights that are trained between checkpoints (TWA)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from merging_core.learning.contract import Draw, Values
from merging_core.learning.experts.averages import (
    WEIGHTS,
    Average,
    counted,
    every_of,
    none,
    number,
    start_of,
)
from merging_core.learning.leaves import wide
from merging_core.learning.relaxation import uniform
from merging_core.methods.info import ParameterInfo

__all__ = ["COEFFICIENTS", "SWAG_PARAMETERS", "TWA_PARAMETERS", "SwagSample", "TrainedAverage", "normal", "orthonormal"]

COEFFICIENTS = "coefficients"
_LEAST_VARIANCE = 1e-30

SWAG_PARAMETERS = (
    start_of("swag"),
    every_of("swag", 5),
    counted("swag", "rank", "Rank", 20, "How many of the last checkpoints' deviations are held.", 2, 256),
    number(
        "swag", "scale", "Scale", 0.5, "What the covariance is multiplied by; the paper's is one half.", 0.0, 10.0,
        slider=(0.0, 1.0),
    ),
    counted("swag", "draw", "Draw", 0, "Which of the samples of this seed is taken.", 0, 1_000_000),
)  # fmt: skip
TWA_PARAMETERS = (
    every_of("twa", 10),
    number(
        "twa", "share", "Share for the weights", 0.7, "The share of the steps in which weights are trained, not their "
        "average.", 0.05, 0.95, slider=(0.3, 0.9),
    ),
    counted("twa", "last", "Last", 10, "How many of the last checkpoints are averaged.", 2, 64),
    ParameterInfo(
        "twa_rate", "Rate of the average", "number", 0.1, "How far a step goes in the span of the checkpoints.", 0.0,
        100.0, minimum_excluded=True, step=0.001, slider=(0.001, 1.0), only_when=("average", "twa"),
    ),
)  # fmt: skip


def normal(seed: int, draw: int, name: str, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return standard normal numbers that are functions of their names: [count] float64.

    >>> normal(0, 0, "w", 2).tolist() == normal(0, 0, "w", 2).tolist() != normal(0, 1, "w", 2).tolist()
    True
    """
    found: torch.Tensor = torch.special.ndtri(uniform(seed, draw, f"normal {name}", count, device))
    return found


class SwagSample(Average):
    """A draw from a normal distribution around the mean: its variances, and the deviations of the last checkpoints.

    θ = θ̄ + √(s·σ²)·z₁ + √(s/(K − 1))·D·z₂, with s = ½ as in the paper.
    """

    def start(self, weights: torch.Tensor) -> Values:
        """Return no moments."""
        return {
            "average/mean": torch.zeros_like(wide(weights)),
            "average/square": torch.zeros_like(wide(weights)),
            "average/points": weights.new_zeros((self.whole("rank"), len(weights))),
            "average/count": none(),
        }

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Take a checkpoint into both moments, and hold how it deviates from the mean so far."""
        if not self.due(step, steps):
            return
        weights, count = wide(values[WEIGHTS]), int(values["average/count"])
        mean, square = values["average/mean"], values["average/square"]
        mean.mul_(count / (count + 1)).add_(weights, alpha=1.0 / (count + 1))
        square.mul_(count / (count + 1)).addcmul_(weights, weights, value=1.0 / (count + 1))
        values["average/points"][count % self.whole("rank")] = (weights - mean).to(values[WEIGHTS])
        values["average/count"] += 1

    def now(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the sample; before there is a checkpoint, the weights."""
        count = int(values["average/count"])
        if not count:
            return values[WEIGHTS]
        mean, points = values["average/mean"], values["average/points"]
        scale, draw = self.params.number("swag_scale"), self.whole("draw")
        variance = (values["average/square"] - mean * mean).clamp_(min=_LEAST_VARIANCE)
        found = mean + (scale * variance).sqrt() * normal(self.seed, draw, "diagonal", len(mean), mean.device)
        held = min(count, len(points))
        if held > 1:
            chance = normal(self.seed, draw, "low rank", held, mean.device) * math.sqrt(scale / (held - 1))
            for share, point in zip(chance.tolist(), points[:held], strict=True):
                found.add_(wide(point), alpha=share)
        return found.to(values[WEIGHTS])


class TrainedAverage(Average):
    """Weights are trained first; then, from the mean of their last checkpoints, coefficients in the checkpoints' span.

    θ = θ̄ + Σ cᵢpᵢ with an orthonormal basis p of the span, so that a step of c is a step of θ along its projected
    gradient.
    """

    def start(self, weights: torch.Tensor) -> Values:
        """Return places for the checkpoints."""
        last = self.whole("last")
        return {
            COEFFICIENTS: weights.new_zeros(last),
            "average/points": weights.new_zeros((last, len(weights))),
            "average/mean": weights.clone(),
            "average/count": none(),
        }

    def trained(self, values: Mapping[str, torch.Tensor], draw: Draw) -> torch.Tensor:
        """Return the weights, and in the second phase the average."""
        return values[WEIGHTS] if draw.phase == 0 else self._spanned(values)

    def stepped_(self, values: Values, step: int, steps: int) -> None:
        """Take a checkpoint; at the end of the first phase find the basis."""
        first, last = first_steps(steps, self.params.number("twa_share")), self.whole("last")
        if step > first:
            return
        count = int(values["average/count"])
        if step % self.whole("every") == 0 or step == first:
            values["average/points"][count % last] = values[WEIGHTS]
            values["average/count"] += 1
            held = values["average/points"][: min(count + 1, last)]
            values["average/mean"].copy_(wide(held).mean(0))
        if step == first:
            basis = orthonormal(values["average/points"])
            values["average/points"].copy_(basis)

    def now(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the average, with the coefficients that are there by then; before a checkpoint, the weights."""
        if not int(values["average/count"]):
            return values[WEIGHTS]
        return self._spanned(values) if bool(values[COEFFICIENTS].any()) else values["average/mean"]

    def _spanned(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return values["average/mean"] + values[COEFFICIENTS] @ values["average/points"]


def first_steps(steps: int, share: float) -> int:
    """Return how many of the steps train the weights: at least one, and not all where there are two.

    >>> first_steps(10, 0.7), first_steps(1, 0.7), first_steps(2, 0.1)
    (7, 1, 1)
    """
    return max(1, min(steps - 1, round(share * steps)))


def orthonormal(points: torch.Tensor) -> torch.Tensor:
    """Return an orthonormal basis of the rows' span by Gram and Schmidt, in float64; a row that adds nothing becomes 0.

    Shapes: points [k, M] → [k, M].

    >>> orthonormal(torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    rows = wide(points)
    found: list[torch.Tensor] = []
    for row in rows:
        left = row.clone()
        for _ in range(2):
            for other in found:
                left -= (left @ other) * other
        length = float(left.norm())
        found.append(left / length if length > 1e-9 * float(row.norm()) else torch.zeros_like(left))
    return torch.stack(found).to(points)
