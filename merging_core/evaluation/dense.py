"""The dense layer, which is two thirds of every evaluation, by the fastest product that this machine has.

torch multiplies float32 matrices on a CPU through MKL, which uses half of the vector width on processors that are not
Intel's. oneDNN, which torch also carries, uses all of it: for the zoo's transformer 220 instead of 110 GFLOP/s on one
core of an AMD EPYC (`python -m benchmarks.evaluation --only products`). Both are float32 sums in another order.
"""

from __future__ import annotations

from functools import cache

import torch
from torch.nn.functional import linear

__all__ = ["dense"]


def dense(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return x·Wᵀ + b of `values` `[…, in]`, `weight` `[out, in]` and `bias` `[out]`, as `torch.nn.functional.linear`.

    >>> dense(torch.ones(1, 2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([0.5, 0.0])).tolist()
    [[3.5, 7.0]]
    """
    plain = torch.is_grad_enabled() or values.device.type != "cpu" or not values.numel() or not weight.numel()
    if plain or values.dtype != torch.float32 or weight.dtype != torch.float32 or not _has_wide_products():
        return linear(values, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(values, weight, bias, "none", [], "")  # type: ignore[no-any-return]


@cache
def _has_wide_products() -> bool:
    """Say whether oneDNN is there, with its operation of this name, and the processor has the vectors that it gains by.

    The operation is the one that torch.compile calls; torch gives it no public name.
    """
    return "AVX512" in torch.backends.cpu.get_cpu_capability() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
