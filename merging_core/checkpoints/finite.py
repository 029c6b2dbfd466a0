"""Finding NaN and infinity in a leaf, in one pass where there is none."""

from __future__ import annotations

import math

import torch

from merging_core.errors import NonFiniteError, Problem

__all__ = ["check_finite", "non_finite_counts"]

_CHUNK = 1 << 20


def check_finite(tensor: torch.Tensor, where: str) -> None:
    """Raise NonFiniteError with the counts of NaN and infinity if a floating tensor holds any.

    The smallest and largest element tell whether there is any (NaN spreads to both); only then are they counted.

    >>> check_finite(torch.tensor([1.0, 2.0]), "w")
    >>> check_finite(torch.tensor([1.0, float("nan")]), "w")
    Traceback (most recent call last):
    merging_core.errors.NonFiniteError: w: every element is finite, but 1 NaN and 0 infinite of 2 came.
    """
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return
    if tensor.element_size() > 1:
        low, high = torch.aminmax(tensor)
        if math.isfinite(low.item()) and math.isfinite(high.item()):
            return
    nans, infinities = non_finite_counts(tensor)
    if nans or infinities:
        got = f"{nans} NaN and {infinities} infinite of {tensor.numel()}"
        raise NonFiniteError(Problem("every element is finite", got, where))


def non_finite_counts(tensor: torch.Tensor) -> tuple[int, int]:
    """Count the NaN and the infinite elements of a floating tensor, in chunks.

    >>> non_finite_counts(torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0]))
    (1, 2)
    """
    nans = infinities = 0
    flat = tensor.reshape(-1)
    for start in range(0, flat.numel(), _CHUNK):
        part = flat[start : start + _CHUNK]
        values = part.float() if part.element_size() == 1 else part
        nans += int(torch.isnan(values).sum())
        infinities += int(torch.isinf(values).sum())
    return nans, infinities
