"""The tangent space of a model at its base: f(x; θ₀) + ∇f(x; θ₀)·(θ − θ₀), of the evaluation's own forward functions.

What is linear in θ is what the model gives; a head of prototypes, which scales features to length 1, stands on top as
it is, as in the released code. The derivative along θ − θ₀ is found by forward-mode differentiation: one pass that
carries it beside the values, without a Jacobian. Three things must hold for that, and are made to hold here:

- torch's fast attention on a CPU has no forward mode, so in these passes attention is written out.
- oneDNN's product (`dense`) and tensors of inference mode lose derivatives without a word, so neither is used.
- A level of forward mode belongs to the whole process, not to a thread, so all threads share one.

Source: Ortiz-Jimenez et al. 2023, arXiv:2305.12827, equation 3, and its code (`linearize.py`).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.autograd import forward_ad as untyped

from merging_core.evaluation.attention import PlainAttention

__all__ = ["Linearised", "along", "beside"]

forward_ad: Any = untyped
_FEW = 64
Weights = Mapping[str, torch.Tensor]
Forward = Callable[[Weights, torch.Tensor], torch.Tensor]


def along(forward: Forward, weights: Weights, vector: Weights, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return f(rows; weights) and its derivative ∇f(rows; weights)·vector, without gradients of either.

    `forward` is an architecture's; a leaf that `vector` lacks does not move. Any number of threads may ask at once.

    >>> square = lambda weights, rows: rows * weights["w"] ** 2
    >>> value, slope = along(square, {"w": torch.tensor(3.0)}, {"w": torch.tensor(1.0)}, torch.ones(2))
    >>> value.tolist(), slope.tolist()
    ([9.0, 9.0], [6.0, 6.0])
    """
    with torch.inference_mode(False), torch.enable_grad(), _level(), PlainAttention():
        held = {name: _ordinary(leaf) for name, leaf in weights.items()}
        moved = {name: forward_ad.make_dual(held[name], _ordinary(step)) for name, step in vector.items()}
        value, slope = forward_ad.unpack_dual(forward({**held, **moved}, _ordinary(rows)))
        if slope is None:
            return value.detach(), torch.zeros_like(value)
        return value.detach(), slope.detach()


def beside(forward: Forward, weights: Weights, vector: Weights) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function that gives f(rows; weights) and, after it in each row, ∇f(rows; weights)·vector.

    >>> square = lambda weights, rows: rows * weights["w"] ** 2
    >>> beside(square, {"w": torch.tensor(3.0)}, {"w": torch.tensor(1.0)})(torch.ones(1, 1)).tolist()
    [[9.0, 6.0]]
    """
    moved = _that_move(vector)

    def function(rows: torch.Tensor) -> torch.Tensor:
        return torch.cat(along(forward, weights, moved, rows), dim=-1)

    return function


@dataclass(frozen=True, eq=False)
class Linearised:
    """A forward function whose output is linear in the weights: that of `forward` at `base`, with its derivative there.

    Called like `forward`, and differentiable in the weights: their gradient is ∇f(x; θ₀)ᵀ times that of the output, for
    which the model runs once more at θ₀. The base is not written to.

    >>> square = Linearised(lambda weights, rows: rows * weights["w"] ** 2, {"w": torch.tensor(3.0)})
    >>> square({"w": torch.tensor(5.0)}, torch.ones(1)).tolist()
    [21.0]
    """

    forward: Forward
    base: Weights

    def __call__(self, weights: Weights, rows: torch.Tensor) -> torch.Tensor:
        """Return f(rows; θ₀) + ∇f(rows; θ₀)·(weights − θ₀)."""
        return self.moved({name: leaf - self.base[name] for name, leaf in weights.items() if name in self.base}, rows)

    def moved(self, vector: Weights, rows: torch.Tensor) -> torch.Tensor:
        """Return f(rows; θ₀) + ∇f(rows; θ₀)·vector, differentiable in the vector."""
        result: torch.Tensor = _Linear.apply(self, tuple(vector), rows, *vector.values())  # type: ignore[no-untyped-call]
        return result

    def of(self, weights: Weights) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return the function of rows alone, without gradients; weights − θ₀ is found once."""
        with torch.inference_mode(False), torch.no_grad():
            vector = _that_move({name: weights[name] - leaf for name, leaf in self.base.items() if name in weights})

        def function(rows: torch.Tensor) -> torch.Tensor:
            value, slope = along(self.forward, self.base, vector, rows)
            return value + slope

        return function


class _Linear(torch.autograd.Function):
    """The output forward; backward, the gradient of an ordinary pass at the base."""

    @staticmethod
    def forward(
        ctx: Any, model: Linearised, names: tuple[str, ...], rows: torch.Tensor, *steps: torch.Tensor
    ) -> torch.Tensor:
        ctx.model, ctx.names, ctx.rows = model, names, rows
        ctx.asked = [name for name, step in zip(names, steps, strict=True) if step.requires_grad]
        value, slope = along(model.forward, model.base, _that_move(dict(zip(names, steps, strict=True))), rows)
        return value + slope

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        model, asked, (gradient,) = ctx.model, ctx.asked, grads
        with torch.enable_grad():
            held = {name: model.base[name].detach().requires_grad_() for name in asked}
            output = model.forward({**model.base, **held}, ctx.rows)
            found = torch.autograd.grad(output, list(held.values()), gradient, allow_unused=True)
        each = dict(zip(asked, found, strict=True))
        return (None, None, None, *(each.get(name) for name in ctx.names))


def _that_move(vector: Weights) -> dict[str, torch.Tensor]:
    """Return the leaves of a vector that are not zero: the others cost time and add nothing."""
    return {name: step.detach() for name, step in vector.items() if _moves(step)}


def _moves(step: torch.Tensor) -> bool:
    """Say whether anything in a leaf is not zero; its first numbers tell nearly always."""
    return bool(step.flatten()[:_FEW].any()) or bool(step.any())


def _ordinary(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that forward mode can follow: one of inference mode is copied."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


_LOCK = threading.Lock()
_USERS = [0]


@contextmanager
def _level() -> Iterator[None]:
    """Be inside the process's one level of forward mode: the first to come enters it, the last to go leaves it."""
    with _LOCK:
        if _USERS[0] == 0:
            forward_ad.enter_dual_level()
        _USERS[0] += 1
        _learn_forward_mode()
    try:
        yield
    finally:
        with _LOCK:
            _USERS[0] -= 1
            if _USERS[0] == 0:
                forward_ad.exit_dual_level()


@cache
def _learn_forward_mode() -> None:
    """Let torch load what forward mode needs, which it does the first time, with a warning about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
