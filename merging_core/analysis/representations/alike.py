"""How alike two representations of the same examples are: linear CKA, without bias, batch by batch.

The unbiased estimate of HSIC is a scalar product of Gram matrices that are centred in a certain way and have nothing on
the diagonal. So the estimates of all pairs of layers of all models are one matrix product, and any number of batches
is added up. What an example does to an estimate is known without measuring again, which gives intervals.

Source: Kornblith et al. 2019, arXiv:1905.00414 (CKA); Song et al. 2012, JMLR 13, equation 5 (unbiased HSIC);
Székely and Rizzo 2014, Annals of Statistics 42, section 3 (centring); Nguyen et al. 2021, arXiv:2010.15327, equation 3
(batches); Efron and Stein 1981, Annals of Statistics 9 (jackknife).
"""

from __future__ import annotations

import math

import numpy
import torch
from numpy.typing import NDArray

from merging_core.learning.leaves import wide

__all__ = ["LEAST", "alikeness", "centred", "gram_of", "left_out", "products"]

LEAST = 5
"""Examples that a batch must have, so that the estimate still is one when an example is left out."""

Numbers = NDArray[numpy.float64]


def gram_of(states: torch.Tensor) -> torch.Tensor:
    """Return x xᵀ of a state `[n, numbers]` with nothing on the diagonal, float64 `[n, n]` on the CPU."""
    exact = wide(states)
    gram = (exact @ exact.T).to("cpu", torch.float64)
    return gram.fill_diagonal_(0.0)


def centred(grams: torch.Tensor) -> torch.Tensor:
    """Return Gram matrices `[…, n, n]`, whose diagonals are zero, centred so that ⟨A, B⟩ / n(n − 3) is HSIC.

    >>> grams = torch.ones(5, 5).fill_diagonal_(0.0)[None].double()
    >>> round(centred(grams).abs().max().item(), 12)
    0.0
    """
    n = grams.shape[-1]
    rows = grams.sum(dim=-1)
    whole = rows.sum(dim=-1)[..., None, None]
    out = grams - (rows[..., None] + rows[..., None, :]) / (n - 2) + whole / ((n - 1) * (n - 2))
    out.diagonal(dim1=-2, dim2=-1).zero_()
    return out


def products(grams: torch.Tensor) -> Numbers:
    """Return the unbiased HSIC of every pair of Gram matrices `[k, n, n]`: `[k, k]`."""
    n = grams.shape[-1]
    flat = centred(grams).flatten(1)
    return (flat @ flat.T / (n * (n - 3))).numpy()


def left_out(one: torch.Tensor, other: torch.Tensor) -> Numbers:
    """Return the unbiased HSIC of two Gram matrices `[n, n]` without each example in turn: `[n]`; n is at least 5."""
    n = len(one) - 1
    shared = (one * other).sum(dim=1)
    rows, columns = one.sum(dim=1), other.sum(dim=1)
    trace = shared.sum() - 2 * shared
    sums = (rows.sum() - 2 * rows) * (columns.sum() - 2 * columns)
    through = (rows * columns).sum() - rows * columns - one @ columns - other @ rows + shared
    found = (trace + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * through) / (n * (n - 3))
    return found.numpy()


def alikeness(together: Numbers, first: Numbers, second: Numbers) -> Numbers:
    """Return HSIC(K, L) / √(HSIC(K, K)·HSIC(L, L)), NaN where a state does not vary at all."""
    with numpy.errstate(invalid="ignore", divide="ignore"):
        return numpy.where((first > 0) & (second > 0), together / numpy.sqrt(first * second), math.nan)
