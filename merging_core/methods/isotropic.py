"""Isotropic merging: every direction that a matrix of the merged vector has gets the same strength."""

from __future__ import annotations

import torch

from merging_core.methods.contract import CombineContext, Cost, MethodInfo, WholeLeaf
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.matrices import (
    EMBEDDINGS,
    active,
    average,
    is_matrix,
    leading,
    polar,
    spectrum,
    spectrum_operations,
)

__all__ = ["ISO_C", "ISO_CTS", "common_and_own", "isotropic", "isotropic_with_own"]


def isotropic(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return σ̄·U Vᵀ of Σ wₜτₜ = U S Vᵀ, with σ̄ the mean of its singular values.

    Shapes: leaves [T, m, n] float32, weights [T] float32 → [m, n].

    Source: Marczak et al. (2025), arXiv 2502.04959, algorithm 1 (Iso-C). Directions in which the sum is zero stay zero;
    they count in the mean.

    >>> isotropic(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), torch.ones(1), CombineContext()).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    _, vectors = active(leaves, weights)
    turned, values = polar(vectors.sum(dim=0))
    return (turned * values.mean()).to(torch.float32)


def common_and_own(rank: int, share: float, count: int) -> tuple[int, int]:
    """Return how many directions are common, and how many each of `count` models has of its own.

    As in the authors' code: the common ones are ⌊share·r⌋, then as many more or fewer as let the models divide the rest
    evenly. Where there are more models than that rest can hold, all directions are common.

    >>> common_and_own(144, 0.8, 6), common_and_own(10, 0.8, 3), common_and_own(2, 0.0, 3)
    ((114, 5), (7, 1), (2, 0))
    """
    own = min(round((rank - int(rank * share)) / count), rank // count)
    return rank - own * count, own


def isotropic_with_own(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return σ̄·U Vᵀ with the leading directions of Σ wₜτₜ and, in place of its weakest, directions of each expert.

    The k leading directions of the sum are common. Of each expert, what lies outside the common left directions is
    decomposed, and its leading directions are added. U and Vᵀ are made orthonormal by their polar factors; σ̄ is the
    mean over all r = min(m, n) singular values that were taken.

    Shapes: leaves [T, m, n] float32, weights [T] float32 → [m, n].

    Source: Marczak et al. (2025), arXiv 2502.04959, algorithm 2 (Iso-CTS).

    >>> context = CombineContext(Parameters(common=0.5))
    >>> isotropic_with_own(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), torch.ones(1), context).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    _, vectors = active(leaves, weights)
    if len(vectors) == 0:
        return torch.zeros_like(leaves[0])
    rank = min(leaves.shape[1:])
    common, own = common_and_own(rank, context.params.number("common"), len(vectors))
    whole = vectors.sum(dim=0)
    shared = leading(whole, spectrum(whole), common)
    parts = []
    if own:
        for vector in vectors:
            context.check()
            outside = vector - shared[0] @ (shared[0].T @ vector)
            parts.append(leading(outside, spectrum(outside), own, float(torch.linalg.matrix_norm(vector))))
    left, _ = polar(torch.cat([part[0] for part in (*parts, shared)], dim=1))
    right, _ = polar(torch.cat([part[2] for part in (*parts, shared)]))
    strength = torch.cat([part[1] for part in (*parts, shared)]).sum() / rank
    return (left @ right * strength).to(torch.float32)


def _cost_common(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    rows, columns = shape
    return Cost(spectrum_operations(rows, columns), rows * columns * (count + 4) + 3 * min(shape) ** 2)


def _cost_own(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    rows, columns = shape
    short = min(shape)
    _, own = common_and_own(short, params.number("common"), max(1, count))
    each = (count + 1 if own else 1) * spectrum_operations(rows, columns) + count * 4.0 * rows * columns * short
    polars = spectrum_operations(rows, short) + spectrum_operations(short, columns)
    return Cost(each + polars, rows * columns * (count + 6) + 4 * short * (rows + columns))


_SOURCE_TITLE = "No Task Left Behind: Isotropic Model Merging with Common and Task-Specific Subspaces"
_REST = "leaves that are no matrices are averaged, embedding tables too; directions in which the sum is zero stay zero"

ISO_C = MethodInfo(
    name="iso_c",
    title="Iso-C",
    formula="θ = θ₀ + λ·σ̄·U Vᵀ within each matrix, with Σ wₜτₜ = U S Vᵀ and σ̄ the mean of S; elsewhere the average",
    summary="Adds the experts and gives every direction of the sum the same strength, so that no task drowns another.",
    source=Source(
        "Marczak et al.",
        2025,
        _SOURCE_TITLE,
        "https://arxiv.org/abs/2502.04959",
        "algorithm 1",
        f"{_REST}; λ is 1 by default, the paper chooses it on validation data",
    ),
    domain="task_vector",
    group="subspace",
    default_lambda=1.0,
    combine=average,
    whole_leaf=WholeLeaf(is_matrix, isotropic, _cost_common),
    parameters=(EMBEDDINGS,),
)

ISO_CTS = MethodInfo(
    name="iso_cts",
    title="Iso-CTS",
    formula="θ = θ₀ + λ·σ̄·U Vᵀ within each matrix; U, V: leading directions of Σ wₜτₜ and of each wₜτₜ outside them",
    summary="Like Iso-C, with the sum's weakest directions exchanged for the strongest that each expert has alone.",
    source=Source(
        "Marczak et al.",
        2025,
        _SOURCE_TITLE,
        "https://arxiv.org/abs/2502.04959",
        "algorithm 2",
        f"{_REST}; λ is 1 by default, the paper chooses it on validation data",
    ),
    domain="task_vector",
    group="subspace",
    default_lambda=1.0,
    combine=average,
    whole_leaf=WholeLeaf(is_matrix, isotropic_with_own, _cost_own),
    parameters=(
        ParameterInfo(
            "common",
            "Common share",
            "number",
            0.8,
            "The share of the directions that come from the sum of all experts; the rest is divided between them.",
            0.0,
            1.0,
            slider=(0.0, 1.0),
            unit="share of directions",
            per_leaf=True,
        ),
        EMBEDDINGS,
    ),
    searched=(("common", (0.5, 0.7, 0.8, 0.9)),),
)
