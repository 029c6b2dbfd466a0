"""Matrices among the leaves, and what can be said of them: singular values, leading directions, the polar factor.

Everything is computed in float64 from the eigenvectors of the smaller of MMᵀ and MᵀM, which takes half the time of a
singular value decomposition. A direction whose singular value is at most √max(m, n)·2⁻²³ of the largest is not told
apart from the rounding of float32 data: it counts as absent, and so the result never depends on the arbitrary vectors
that a decomposition gives for it. A direction just above that limit is exact to about 10⁻⁴, all others to far more.
"""

from __future__ import annotations

import math

import torch

from merging_core.methods.contract import CombineContext
from merging_core.methods.info import ParameterInfo, Parameters
from merging_core.methods.sums import weighted_sum

__all__ = [
    "EMBEDDINGS",
    "active",
    "average",
    "is_matrix",
    "leading",
    "polar",
    "singular_values",
    "spectrum",
    "spectrum_operations",
    "wide",
]

_TABLES = ("embed", "wte", "wpe", "shared", "relative_attention_bias", "text_projection")
"""Parts of the names of tables whose rows are looked up, and of CLIP's projection of texts, which authors leave out."""

EMBEDDINGS = ParameterInfo(
    "embeddings",
    "Embedding tables",
    "choice",
    "average",
    "Whether tables of embeddings are averaged like vectors, or treated as the matrices that they also are.",
    choices=("average", "matrix"),
)


def is_matrix(name: str, shape: tuple[int, ...], params: Parameters) -> bool:
    """Say whether a leaf is treated as a matrix: two dimensions of at least 2, and no embedding table.

    >>> is_matrix("layers.0.fc.weight", (4, 8), Parameters()), is_matrix("layers.0.fc.weight", (1, 8), Parameters())
    (True, False)
    >>> [is_matrix("embeddings.position", (4, 8), Parameters(embeddings=rule)) for rule in ("average", "matrix")]
    [False, True]
    """
    if len(shape) != 2 or min(shape) < 2:  # noqa: PLR2004
        return False
    return params.get("embeddings") == "matrix" or not any(part in name for part in _TABLES)


def average(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return Σ wₜτₜ/T over the T models whose weight is not 0: what is made of leaves that are no matrices.

    Shapes: vectors [T, n] float32, weights [T] float32 → [n]; zero where every weight is 0.

    >>> average(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([1.0, 1.0, 0.0]), CombineContext()).tolist()
    [2.0]
    """
    return weighted_sum(vectors, weights) / torch.count_nonzero(weights).clamp(min=1)


def active(leaves: torch.Tensor, weights: torch.Tensor) -> tuple[tuple[int, ...], torch.Tensor]:
    """Return the places of the models whose weight is not 0, and their wₜτₜ in float64: [T′, *shape]."""
    places = tuple(torch.nonzero(weights).flatten().tolist())
    shares = wide(weights).tolist()
    parts = [wide(leaves[place]) * shares[place] for place in places]
    return places, torch.stack(parts) if parts else wide(leaves[:0])


def wide(tensor: torch.Tensor) -> torch.Tensor:
    """Return a float64 copy, on the CPU where the device has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).to(torch.float64, copy=True)


def spectrum(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the singular values of a matrix, from the largest, and its singular vectors on the smaller side.

    Shapes: matrix [m, n] float64 → [r], [r, r] with r = min(m, n); column i belongs to value i: left vectors where
    m ≤ n, right ones else.

    >>> spectrum(torch.tensor([[0.0, 3.0], [-4.0, 0.0]], dtype=torch.float64))[0].tolist()
    [4.0, 3.0]
    """
    tall = matrix.shape[0] > matrix.shape[1]
    squares, vectors = torch.linalg.eigh(matrix.T @ matrix if tall else matrix @ matrix.T)
    return squares.flip(0).clamp_(min=0.0).sqrt_(), vectors.flip(1)


def singular_values(
    values: torch.Tensor, shape: torch.Size | tuple[int, ...], scale: float | None = None
) -> torch.Tensor:
    """Return singular values [r] of a matrix of this shape with those that are not told apart from zero set to 0.

    `scale` is the size of what the matrix was computed from, the largest value itself if nothing is said.

    >>> singular_values(torch.tensor([1.0, 0.5, 1e-9], dtype=torch.float64), (3, 4)).tolist()
    [1.0, 0.5, 0.0]
    """
    limit = (values[:1] if scale is None else scale) * (math.sqrt(max(shape)) * torch.finfo(torch.float32).eps)
    return torch.where(values > limit, values, 0.0)


def leading(
    matrix: torch.Tensor, found: tuple[torch.Tensor, torch.Tensor], count: int, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the `count` largest singular values of a matrix with their vectors; absent directions are zero.

    Shapes: matrix [m, n] float64, `found` its `spectrum` → U [m, k], s [k], Vᵀ [k, n]. `scale` as in `singular_values`.
    """
    values, vectors = singular_values(found[0], matrix.shape, scale)[:count], found[1][:, :count]
    inverse = torch.where(values > 0.0, 1.0 / torch.where(values > 0.0, values, 1.0), 0.0)
    here = (values > 0.0).to(values.dtype)
    if matrix.shape[0] > matrix.shape[1]:
        return (matrix @ vectors) * inverse, values, (vectors * here).T
    return vectors * here, values, (vectors * inverse).T @ matrix


def polar(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return U Vᵀ of M = U S Vᵀ, and the singular values S: the nearest matrix whose directions all have length 1.

    Shapes: matrix [m, n] float64 → [m, n], [r]. Directions in which M is zero stay zero.

    >>> turned, values = polar(torch.tensor([[0.0, 3.0], [-4.0, 0.0]], dtype=torch.float64))
    >>> turned.round(decimals=12).tolist(), values.tolist()
    ([[0.0, 1.0], [-1.0, 0.0]], [4.0, 3.0])
    """
    left, values, right = leading(matrix, spectrum(matrix), min(matrix.shape))
    return left @ right, values


def spectrum_operations(rows: int, columns: int) -> float:
    """Return about how many operations `polar` takes: the Gram matrix, its eigenvectors and two products.

    >>> spectrum_operations(2, 4)
    160.0
    """
    short, long = min(rows, columns), max(rows, columns)
    return 6.0 * short * short * long + 8.0 * short**3
