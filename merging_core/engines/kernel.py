"""The stages of a merge, as functions on pieces of the flat vector; the live and the streaming engine call these alone.

    τₜ = θₜ − θ₀ → · λ(ℓ) of each → mask → weight and combine → · λ(ℓ)·λ → + θ₀ → rounded once to the recipe's dtype

Every function is elementwise on its piece: a subtraction, a multiplication and an addition are each rounded once, as
IEEE 754 says, wherever the element lies. So the same bits come out however the model is cut, on any number of threads.
Functions whose names end in `_` write into a buffer that the engine owns; all others leave their arguments alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from merging_core.errors import PlanError, Problem
from merging_core.masks.info import MaskContext, MaskInfo
from merging_core.methods.contract import CombineContext, MethodInfo, WholeLeaf
from merging_core.native import loops

__all__ = [
    "ACCELERATOR_PIECE",
    "PIECE",
    "Run",
    "coefficients",
    "combine_piece",
    "combine_whole",
    "cuts",
    "finish_",
    "finished",
    "mask_piece",
    "non_finite",
    "round_",
    "runs",
    "subtract_",
]

PIECE = 32_704
"""Elements of each model that a CPU works on at once.

Pieces of all models fit the cache, and torch splits only 32 768 elements or more between threads: on a machine that
others use too, its threads would wait for each other longer than the work takes.
"""


ACCELERATOR_PIECE = 1 << 24
"""Elements of each model that fill an accelerator."""


@dataclass(frozen=True)
class Run:
    """Neighbouring leaves with one coefficient: elements start … stop − 1 of the flat vector."""

    start: int
    stop: int
    coefficient: float


def coefficients(factors: Sequence[float], scales: Sequence[float]) -> tuple[float, ...]:
    """Return factor·λ of each leaf, multiplied in float64 and rounded once to float32.

    >>> coefficients([1.0, 0.1], [0.5, 0.5]) == (0.5, torch.tensor(0.05, dtype=torch.float32).item())
    True
    """
    products = torch.tensor(factors, dtype=torch.float64) * torch.tensor(scales, dtype=torch.float64)
    return tuple(products.to(torch.float32).tolist())


def runs(spans: Iterable[tuple[int, int]], values: Iterable[float]) -> tuple[Run, ...]:
    """Join neighbouring spans whose coefficients are equal; empty spans vanish.

    >>> runs([(0, 2), (2, 5), (5, 6)], [0.5, 0.5, 1.0])
    (Run(start=0, stop=5, coefficient=0.5), Run(start=5, stop=6, coefficient=1.0))
    """
    joined: list[Run] = []
    for (start, stop), value in zip(spans, values, strict=True):
        if start == stop:
            continue
        if joined and joined[-1].stop == start and joined[-1].coefficient == value:
            joined[-1] = Run(joined[-1].start, stop, value)
        else:
            joined.append(Run(start, stop, value))
    return tuple(joined)


def cuts(length: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of consecutive pieces of at most `step` elements.

    >>> list(cuts(5, 2))
    [(0, 2), (2, 4), (4, 5)]
    """
    for start in range(0, length, step):
        yield start, min(start + step, length)


def subtract_(expert: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Turn the engine's own float32 copy of θₜ into τₜ = θₜ − θ₀.

    >>> subtract_(torch.tensor([3.0]), torch.tensor([1.0])).tolist()
    [2.0]
    """
    return expert.sub_(base)


def mask_piece(vector: torch.Tensor, factor: float, info: MaskInfo, context: MaskContext) -> torch.Tensor:
    """Return a piece of one leaf after layer scaling of each task vector (`factor`) and its mask.

    Shapes: vector [n] float32 → [n]. `factor` is a float32 number; 1 where the scaling applies to the merged vector.

    >>> from merging_core.masks.registry import mask
    >>> mask_piece(torch.tensor([1.0, -2.0]), 0.5, mask("none"), MaskContext()).tolist()
    [0.5, -1.0]
    """
    return info.apply(vector if factor == 1.0 else vector * factor, context)


def combine_piece(
    vectors: torch.Tensor, weights: torch.Tensor, info: MethodInfo, context: CombineContext
) -> torch.Tensor:
    """Return what the method makes of one piece of every model.

    Shapes: vectors [T, n] float32 (masked task vectors, or weights θₜ in the weight domain), weights [T] → [n].
    """
    return info.combine(vectors, weights, context)


def combine_whole(
    leaves: Sequence[torch.Tensor],
    weights: torch.Tensor,
    whole: WholeLeaf,
    context: CombineContext,
    found: Sequence[tuple[torch.Tensor, ...]] | None = None,
) -> torch.Tensor:
    """Return what the method makes of one leaf of every model, seen whole; run on one core of a CPU.

    Shapes: leaves T × [*shape] float32 (masked task vectors, or weights θₜ in the weight domain), weights [T] →
    [*shape]. `found` holds what `whole.of_each` says of each leaf, where it is known already.
    """
    if found is None:
        found = [whole.of_each(leaf) for leaf in leaves] if whole.of_each is not None else []
    return whole.combine(torch.stack(tuple(leaves)), weights, replace(context, found=tuple(found)))


def finish_(
    out: torch.Tensor, combined: torch.Tensor, base: torch.Tensor | None, coefficient: float, domain: str
) -> torch.Tensor:
    """Write the merged weights of a piece into `out`, in float32.

    task-vector domain: θ₀ + c·m; weight domain: θ₀ + c·(θ − θ₀), and θ itself where c = 1 or there is no base.
    c = 0 gives θ₀ with its very bits.

    Shapes: out, combined, base [n] float32; `coefficient` c = λ(ℓ)·λ as a float32 number.

    >>> finish_(torch.empty(2), torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0]), 0.5, "task_vector").tolist()
    [10.5, 21.0]
    """
    if base is None or (domain == "weight" and coefficient == 1.0):
        return out.copy_(combined)
    if coefficient == 0.0:
        return out.copy_(base)
    if domain == "weight":
        return torch.sub(combined, base, out=out).mul_(coefficient).add_(base)
    return torch.mul(combined, coefficient, out=out).add_(base)


def finished(
    combined: torch.Tensor, base: torch.Tensor | None, coefficient: float, domain: str, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `finish_` of a piece, rounded once to a dtype, and the largest magnitude before; NaN if one is NaN.

    Shapes: combined, base [n] float32, n ≥ 1 → [n] of `dtype`, 0-dim.

    >>> out, largest = finished(torch.tensor([1.0, -2.0]), torch.zeros(2), 1.5, "task_vector", torch.bfloat16)
    >>> out.tolist(), largest.item()
    ([1.5, -3.0], 3.0)
    """
    if base is None or (domain == "weight" and coefficient == 1.0):
        stage = loops.COMBINED
    elif coefficient == 0.0:
        stage = loops.BASE
    else:
        stage = loops.MOVED if domain == "weight" else loops.ADDED
    if (quick := loops.finished(combined, base, coefficient, stage, dtype)) is not None:
        return quick[0], torch.tensor(quick[1])
    merged = finish_(torch.empty_like(combined), combined, base, coefficient, domain)
    low, high = torch.aminmax(merged)
    return merged.to(dtype), torch.maximum(-low, high)


def round_(flat: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Round the engine's own float32 vector through `dtype` (nearest, ties to even), keeping it float32.

    >>> round_(torch.tensor([1.0 + 2.0**-9]), torch.bfloat16).tolist()
    [1.0]
    """
    if dtype is torch.float32:
        return flat
    for start, stop in cuts(flat.numel(), PIECE if flat.device.type == "cpu" else ACCELERATOR_PIECE):
        part = flat[start:stop]
        part.copy_(part.to(dtype))
    return flat


def non_finite(named: Iterable[tuple[str, torch.Tensor]], dtype_name: str) -> PlanError | None:
    """Say which leaves of a merge do not fit their dtype, or nothing.

    >>> print(non_finite([("w", torch.tensor([1.0, float("inf")]))], "float16"))
    w: every merged number fits float16, but 1 of 2 that do not came; lower λ or the weights, or choose float32.
    """
    problems = []
    for name, leaf in named:
        bad = int(leaf.numel() - torch.isfinite(leaf).sum())
        if bad:
            fix = "lower λ or the weights" + ("" if dtype_name == "float32" else ", or choose float32")
            must = f"every merged number fits {dtype_name}"
            problems.append(Problem(must, f"{bad} of {leaf.numel()} that do not", name, fix))
    return PlanError(*problems) if problems else None
