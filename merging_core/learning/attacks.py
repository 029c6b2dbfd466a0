"""Attacks on pictures: the small change of a picture, within a norm, under which a model errs most.

    x′ = x + δ with ‖δ‖ ≤ ε and every pixel in [0, 1]; δ climbs the loss in steps and is put back into the ball

Projected gradient ascent. Under ℓ∞ a step goes along the sign of the gradient, under ℓ2 along the gradient divided by
its length. ε and the size of a step are in units of the range of a pixel, so 8/255 is eight of 255 shades.

Source: Madry et al. 2018, arXiv:1706.06083, section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

__all__ = ["Attack", "Norm", "attacked"]

Norm = Literal["linf", "l2"]
Losses = Callable[[torch.Tensor], torch.Tensor]
"""The loss of each picture, [n, …] → [n], differentiable."""
_REACH = 2.5
_TINY = 1e-12


@dataclass(frozen=True)
class Attack:
    """How a picture may be changed: at most `epsilon` in a norm, found in so many steps.

    `step`: how far a step goes; without one, 2.5·ε ÷ steps, which reaches the edge of the ball from anywhere in it.

    >>> Attack("linf", 0.5, 5).step_size, Attack("l2", 1.0, 5, step=0.25).step_size
    (0.25, 0.25)
    """

    norm: Norm
    epsilon: float
    steps: int
    step: float | None = None

    @property
    def step_size(self) -> float:
        """How far a step goes, in units of the range of a pixel."""
        return _REACH * self.epsilon / self.steps if self.step is None else self.step

    @property
    def words(self) -> str:
        """The attack in words, with its numbers."""
        steps = f"{self.steps} steps" if self.steps != 1 else "1 step"
        return f"{'ℓ∞' if self.norm == 'linf' else 'ℓ2'} attack, ε {self.epsilon:.4g}, {steps} of {self.step_size:.4g}"

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {"norm": self.norm, "epsilon": self.epsilon, "steps": self.steps, "step": self.step_size}


def attacked(
    losses: Losses, pixels: torch.Tensor, attack: Attack, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Return the changed pictures, of all points on the way those with the largest loss: [n, …] in [0, 1] → [n, …].

    Of a linear loss w·x it is x + ε·sign(w) under ℓ∞ and x + ε·w/‖w‖ under ℓ2, where pixels allow it. It begins at the
    picture; with a generator at a random point of the ball. Where the gradient is zero a picture stays as it is.

    >>> attacked(lambda x: x[:, 0] * 3 + x[:, 1] * 4, torch.full((1, 2), 0.5), Attack("l2", 0.1, 3)).tolist()
    [[0.5600000023841858, 0.5799999833106995]]
    """
    start = pixels.detach()
    point = start if generator is None else _within(start + _random(start, attack, generator), start, attack)
    best, most = point, torch.full((len(start),), -torch.inf, device=start.device)
    for number in range(attack.steps + 1):
        last = number == attack.steps
        with torch.enable_grad():
            at = point.detach().requires_grad_(not last)
            found = losses(at)
            slope = None if last else torch.autograd.grad(found.sum(), at)[0]
        with torch.no_grad():
            better = found.detach() >= most
            most = torch.where(better, found.detach(), most)
            best = torch.where(_beside(better, point), point, best)
            if slope is not None:
                point = _within(point + attack.step_size * _direction(slope, attack.norm), start, attack)
    return best.detach()


def _direction(slope: torch.Tensor, norm: Norm) -> torch.Tensor:
    if norm == "linf":
        return slope.sign()
    return slope / _beside(slope.flatten(1).norm(dim=1).clamp_min(_TINY), slope)


def _within(point: torch.Tensor, start: torch.Tensor, attack: Attack) -> torch.Tensor:
    """Put points back into the ball around where they began, and into what pixels can be; neither undoes the other."""
    change = point - start
    if attack.norm == "linf":
        change = change.clamp(-attack.epsilon, attack.epsilon)
    else:
        lengths = change.flatten(1).norm(dim=1)
        change = change * _beside((attack.epsilon / lengths.clamp_min(_TINY)).clamp_max(1.0), change)
    return (start + change).clamp(0.0, 1.0)


def _random(start: torch.Tensor, attack: Attack, generator: torch.Generator) -> torch.Tensor:
    if attack.norm == "linf":
        drawn = torch.rand(start.shape, generator=generator).to(start)
        return (2.0 * drawn - 1.0) * attack.epsilon
    size = start[0].numel()
    away = torch.randn(start.shape, generator=generator).to(start)
    radius = torch.rand((len(start),), generator=generator).to(start) ** (1.0 / size) * attack.epsilon
    return away / _beside(away.flatten(1).norm(dim=1).clamp_min(_TINY), away) * _beside(radius, away)


def _beside(each: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Return one value a picture, shaped so that it applies to all its pixels."""
    return each.view(-1, *(1,) * (pixels.dim() - 1))
