"""The Concrete relaxation of a coin, and a mask of such coins for every scalar of a model.

    m̂ = σ((log u − log(1 − u) + x) / T),   u uniform on (0, 1)

is the Gumbel-max trick of two classes with logits x and 0, relaxed at temperature T; as T goes to 0 it becomes the coin
that is 1 with probability σ(x). All experts share one mask. A leaf's mask is divided by its mean, so that dropping
scalars does not shrink what is left.

Source: Maddison et al. 2017, arXiv:1611.00712, section 3; Jang et al. 2017, arXiv:1611.01144.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from merging_core.learning.leaves import wide
from merging_core.masks.coins import coin_hash, coin_key

__all__ = ["Kind", "concrete_mask", "relaxed", "relaxed_density", "relaxed_share", "uniform"]

Kind = Literal["soft", "straight", "hard", "coin", "mean"]
"""A relaxed sample; its 0 or 1 with the gradient of the relaxed one; whether it is above ½; a coin; its probability."""
_WORDS = float(1 << 32)


def uniform(seed: int, step: int, name: str, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return numbers in (0, 1) that are functions of their names, the same on every device: [count] float64.

    They lie on the device, but on the CPU for Apple's MPS, which has no such numbers.

    >>> uniform(0, 1, "w", 3).tolist() == uniform(0, 1, "w", 3).tolist() != uniform(0, 2, "w", 3).tolist()
    True
    """
    where = torch.device(device)
    where = torch.device("cpu") if where.type == "mps" else where
    words = coin_hash(coin_key(seed, f"concrete {step}", name), 0, count, where)
    return words.to(torch.float64).add_(0.5).div_(_WORDS)


def relaxed(logits: torch.Tensor, chance: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return σ((logit(u) + x)/T) of logits x and uniform numbers u, differentiable in x.

    >>> relaxed(torch.tensor([0.0]), torch.tensor([0.5]), 0.5).tolist()
    [0.5]
    """
    return torch.sigmoid((torch.logit(chance).to(logits) + logits) / temperature)


def relaxed_share(logit: float, at: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return how often a relaxed coin is at most `at`, numbers in [0, 1]: σ(T·logit(at) − x).

    >>> relaxed_share(0.0, torch.tensor([0.0, 0.5, 1.0]), 0.5).tolist()
    [0.0, 0.5, 1.0]
    """
    return torch.sigmoid(temperature * torch.logit(at) - logit)


def relaxed_density(logit: float, at: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the density of a relaxed coin at numbers in (0, 1), the derivative of `relaxed_share`.

    Source: Maddison et al. 2017, arXiv:1611.00712, equation 24.

    >>> relaxed_density(0.0, torch.tensor([0.2, 0.7]), 1.0).tolist()
    [1.0, 1.0]
    """
    share = relaxed_share(logit, at, temperature)
    return temperature * share * (1.0 - share) / (at * (1.0 - at))


def concrete_mask(
    logits: torch.Tensor, chance: torch.Tensor, temperature: float, kind: Kind = "soft", *, rescale: bool = True
) -> torch.Tensor:
    """Return the mask of a leaf, differentiable in its logits where the kind is: [n], [n] → [n].

    `soft` is the relaxed sample, `straight` its 0 or 1 (above ½) with the gradient of the relaxed one, `hard` the 0 or
    1 whether σ(x) is above ½, `coin` a coin with probability σ(x), `mean` σ(x) itself; `hard` and `coin` have no
    gradient. `rescale` divides by the mean over the leaf, through which the gradient goes too; where nothing is kept,
    the mask is zero.

    >>> concrete_mask(torch.tensor([9.0, -9.0]), torch.tensor([0.5, 0.5]), 0.5, "hard").tolist()
    [2.0, 0.0]
    """
    with torch.no_grad():
        if kind == "hard":
            fixed = (logits > 0).to(logits.dtype)
        elif kind == "coin":
            fixed = (chance < torch.sigmoid(logits.to(chance))).to(logits)
        else:
            fixed = None
    if fixed is not None:
        return _rescaled(fixed) if rescale else fixed
    if kind == "mean":
        found = torch.sigmoid(logits)
        return _rescaled(found) if rescale else found
    result: torch.Tensor = _Concrete.apply(logits, chance, temperature, kind == "straight", rescale)  # type: ignore[no-untyped-call]
    return result


class _Concrete(torch.autograd.Function):
    """The relaxed sample and its rescaling at once: one leaf is kept for the gradient, instead of five."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, chance: torch.Tensor, temperature: float, straight: bool, rescale: bool
    ) -> torch.Tensor:
        soft = relaxed(logits, chance, temperature)
        mask = (soft > 0.5).to(soft.dtype) if straight else soft  # noqa: PLR2004
        mean = float(wide(mask).mean()) if rescale and mask.numel() else 1.0
        ctx.save_for_backward(soft)
        ctx.temperature, ctx.mean, ctx.rescale = temperature, mean, rescale
        ctx.straight = straight
        return mask / mean if mean > 0.0 else torch.zeros_like(mask)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (soft,) = ctx.saved_tensors
        (gradient,) = grads
        if ctx.mean <= 0.0:
            return torch.zeros_like(soft), None, None, None, None
        found = gradient / ctx.mean
        if ctx.rescale and soft.numel():
            mask = (soft > 0.5).to(soft.dtype) if ctx.straight else soft  # noqa: PLR2004
            drift = float((wide(gradient) * wide(mask)).sum()) / (ctx.mean * ctx.mean * soft.numel())
            found = found - drift
        return found.mul_(soft).mul_(1.0 - soft).div_(ctx.temperature), None, None, None, None


def _rescaled(mask: torch.Tensor) -> torch.Tensor:
    mean = wide(mask).mean() if mask.numel() else mask.new_zeros(())
    return mask / mean.to(mask) if float(mean.detach()) > 0.0 else mask * 0.0
