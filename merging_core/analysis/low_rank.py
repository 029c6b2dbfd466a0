"""The matrices of low rank that come nearest to a matrix, by a randomised singular value decomposition.

A matrix M [m, n] is multiplied by l = k + p random directions; an orthonormal basis Q of what comes out holds almost
all that k directions can hold, and the small matrix QᵀM is decomposed exactly. With q power iterations, each followed
by an orthogonalisation, values that fall slowly are told apart too. Everything is float64. Since QᵀM is a projection,
what the first r values hold is known exactly and not estimated: ‖M − M_r‖² = ‖M‖² − σ₁² − … − σᵣ².

Random directions come from the integer hash of `masks.coins`, turned into normal numbers (Box and Muller, 1958), so
the same seed and leaf give the same directions everywhere; the last bit may follow the system's logarithm and cosine.

Source: Halko, Martinsson and Tropp, 2011, “Finding Structure with Randomness” (arXiv 0909.4061), algorithms 4.4 and
5.1; theorem 10.5 bounds the mean error without power iterations: E‖M − QQᵀM‖ ≤ √(1 + k/(p − 1)) · √(Σ_{j>k} σⱼ²).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from merging_core.masks.coins import coin_hash
from merging_core.space.reductions import block_sum_of_squares

__all__ = ["LowRank", "error_of", "factors", "low_rank", "normal", "rank_for"]

_EXACT_FROM = 0.5
"""With random directions for this share of all, a full decomposition costs no more."""
_ROWS = 1 << 18
"""Elements of a block of rows in which an error is added up."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """The leading part U·S·Vᵀ of a matrix: `left` [m, k], `values` [k] from the largest, `right` [k, n], float64."""

    left: torch.Tensor
    values: torch.Tensor
    right: torch.Tensor
    total: float
    """‖M‖², of the whole matrix."""

    def kept(self, rank: int) -> float:
        """Return the share of ‖M‖² in the first `rank` directions; 1 for a matrix that is zero."""
        return min(1.0, float(self.values[:rank].square().sum()) / self.total) if self.total else 1.0


def low_rank(matrix: torch.Tensor, most: int, key: int, oversampling: int = 10, iterations: int = 2) -> LowRank:
    """Return up to `most` leading directions of a matrix; those that are rounding of float64 are left out.

    Shapes: matrix [m, n] float64. `key` names the random directions, `oversampling` is p, at least 0, and `iterations`
    is q, at least 0. A small matrix, or one of which most directions are wanted, is decomposed exactly.

    >>> found = low_rank(torch.tensor([[0.0, 3.0], [-4.0, 0.0]], dtype=torch.float64), most=1, key=0)
    >>> found.values.tolist(), round(found.kept(1), 3)
    ([4.0], 0.64)
    """
    short = min(matrix.shape)
    total = block_sum_of_squares(matrix.reshape(-1))
    wanted = most + oversampling
    if wanted >= _EXACT_FROM * short:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    else:
        basis = _basis(matrix, normal(key, matrix.shape[1], wanted), iterations)
        small, values, right = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
        left = basis @ small
    here = int((values > values[:1] * (max(matrix.shape) * torch.finfo(torch.float64).eps)).count_nonzero())
    count = min(most, here)
    return LowRank(left[:, :count], values[:count], right[:count], total)


def rank_for(found: LowRank, energy: float) -> int:
    """Return the smallest rank that keeps this share of ‖M‖², or every direction that was found if none does.

    >>> matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))
    >>> [rank_for(low_rank(matrix, 3, 0), energy) for energy in (0.6, 0.9, 0.95, 1.0)]
    [1, 2, 3, 3]
    """
    if not found.total:
        return 0
    shares = found.values.square().cumsum(0) / found.total
    enough = (shares >= energy - 1e-12).nonzero()
    return int(enough[0]) + 1 if len(enough) else len(found.values)


def factors(found: LowRank, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return U·√S [m, rank] and √S·Vᵀ [rank, n], whose product is the leading part."""
    roots = found.values[:rank].sqrt()
    return found.left[:, :rank] * roots, roots[:, None] * found.right[:rank]


def error_of(matrix: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> float:
    """Return ‖M − L·R‖² in float64, block of rows by block of rows.

    Shapes: matrix [m, n] float64, left [m, r], right [r, n] of any floating dtype.
    """
    step = max(1, _ROWS // max(1, matrix.shape[1]))
    wide, total = right.double(), 0.0
    for start in range(0, matrix.shape[0], step):
        rows = slice(start, start + step)
        total += block_sum_of_squares((matrix[rows] - left[rows].double() @ wide).reshape(-1))
    return total


def normal(key: int, rows: int, columns: int) -> torch.Tensor:
    """Return independent normal numbers [rows, columns] float64 that the 64-bit key names.

    >>> torch.equal(normal(7, 2, 3), normal(7, 2, 3)), torch.equal(normal(7, 2, 3), normal(8, 2, 3))
    (True, False)
    """
    pairs = -(-rows * columns // 2)
    words = coin_hash(key, 0, 2 * pairs).double()
    lengths = words[:pairs].add_(1.0).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    angles = words[pairs:].mul_(2.0**-32 * 2.0 * math.pi)
    return torch.cat((lengths * angles.cos(), lengths * angles.sin()))[: rows * columns].view(rows, columns)


def _basis(matrix: torch.Tensor, directions: torch.Tensor, iterations: int) -> torch.Tensor:
    """Return an orthonormal basis [m, l] of (M·Mᵀ)^q · M·Ω, made orthogonal after each product."""
    basis: torch.Tensor = torch.linalg.qr(matrix @ directions)[0]
    for _ in range(iterations):
        other = torch.linalg.qr(matrix.T @ basis)[0]
        basis = torch.linalg.qr(matrix @ other)[0]
    return basis
