"""TSV-M: the leading singular vectors of every expert, turned until those of different experts do not interfere."""

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
    wide,
)

__all__ = ["TSV_M", "directions_kept", "singular_merge"]


def directions_kept(rank: int, count: int, keep: str) -> int:
    """Return how many directions are kept of each of `count` experts: its share of the rank, at least 1, or all.

    >>> directions_kept(144, 6, "share"), directions_kept(4, 6, "share"), directions_kept(144, 6, "all")
    (24, 1, 144)
    """
    return rank if keep == "all" else max(1, rank // max(1, count))


def singular_merge(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return Û Σ V̂ᵀ: the kept singular values of all experts between their vectors, decorrelated.

    U, Σ and Vᵀ hold the k leading triplets of each wₜτₜ side by side; Û and V̂ᵀ are the polar factors of U and Vᵀ, the
    nearest matrices whose columns, or rows, are perpendicular.

    Shapes: leaves [T, m, n] float32, weights [T] float32 → [m, n]. `context.found` may hold the `spectrum` of each τₜ.

    Source: Gargiulo et al. (2025), arXiv 2412.00081, algorithm 1.

    >>> singular_merge(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), torch.ones(1), CombineContext()).tolist()
    [[3.0, 0.0], [0.0, 1.0]]
    """
    places, _ = active(leaves, weights)
    if not places:
        return torch.zeros_like(leaves[0])
    count = directions_kept(min(leaves.shape[1:]), len(places), str(context.params.get("keep", "share")))
    known = context.found or tuple(_of_each(leaf) for leaf in leaves)
    parts = []
    for place in places:
        context.check()
        left, values, right = leading(wide(leaves[place]), (known[place][0], known[place][1]), count)
        weight = float(weights[place])
        parts.append((left if weight > 0.0 else -left, values * abs(weight), right))
    left, _ = polar(torch.cat([part[0] for part in parts], dim=1))
    right, _ = polar(torch.cat([part[2] for part in parts]))
    return (left * torch.cat([part[1] for part in parts]) @ right).to(torch.float32)


def _of_each(leaf: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return spectrum(wide(leaf))


def _cost(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    rows, columns = shape
    short = min(shape)
    width = count * directions_kept(short, count, str(params["keep"]))
    each = count * (spectrum_operations(rows, columns) + 2.0 * rows * columns * width / max(1, count))
    polars = spectrum_operations(rows, width) + spectrum_operations(width, columns) + 2.0 * rows * columns * width
    numbers = rows * columns * 3 + count * short * short + 4 * width * (rows + columns)
    return Cost(each + polars, numbers, short * short)


TSV_M = MethodInfo(
    name="tsv_m",
    title="TSV-M",
    formula="θ = θ₀ + λ·Û Σ V̂ᵀ within each matrix: leading triplets of all wₜτₜ, made perpendicular; else the average",
    summary="Keeps the strongest directions of each expert and turns them apart, so that the tasks do not interfere.",
    source=Source(
        "Gargiulo et al.",
        2025,
        "Task Singular Vectors: Reducing Task Interference in Model Merging",
        "https://arxiv.org/abs/2412.00081",
        "algorithm 1",
        "leaves that are no matrices are averaged, embedding tables too; an expert keeps at least one direction; "
        "directions in which an expert is zero are left out",
    ),
    domain="task_vector",
    group="subspace",
    default_lambda=1.0,
    combine=average,
    whole_leaf=WholeLeaf(is_matrix, singular_merge, _cost, _of_each),
    parameters=(
        ParameterInfo(
            "keep",
            "Keep of each expert",
            "choice",
            "share",
            "Whether each of T experts keeps 1/T of its directions, as in the paper, or all of them.",
            choices=("share", "all"),
        ),
        EMBEDDINGS,
    ),
)
