"""RegMean: each linear layer of the merge answers as the experts' layers do, on what each of them reads."""

from __future__ import annotations

import torch

from merging_core.methods.contract import CombineContext, Cost, MethodInfo, WholeLeaf
from merging_core.methods.fisher import weights_vanish
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.linear import linear
from merging_core.methods.matrices import is_matrix, wide

__all__ = ["OFF_DIAGONAL", "REGMEAN", "average", "regression_mean"]

OFF_DIAGONAL = 0.9
"""By what the numbers beside the diagonal of a Gram matrix are multiplied, as in the paper."""
_EPSILON = 2.0**-23


def average(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return Σ wₜθₜ / Σ wₜ: what is made of leaves that are no linear layers.

    >>> average(torch.tensor([[1.0], [3.0]]), torch.tensor([1.0, 1.0]), CombineContext()).tolist()
    [2.0]
    """
    return linear(vectors, weights, CombineContext())


def regression_mean(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return the W that makes Σ wₜ‖XₜW − XₜWₜ‖² least, by the Gram matrices Gₜ = XₜᵀXₜ/n of what the layers read.

    W = (Σ wₜG̃ₜ)⁻¹ Σ wₜG̃ₜWₜ, where G̃ₜ is Gₜ with the numbers beside its diagonal multiplied by `off_diagonal`. Where
    that does not say what W is (inputs that are never there, or always alike), W is as near the average as can be.
    `ridge`, times the diagonal, is added to the matrix that is solved: it draws W towards the average. Everything is
    float64. Without a Gram matrix of each expert with a weight, the leaf is averaged.

    Shapes: leaves [T, out, in], or [T, in, out] where turned, float32, weights [T] float32, 0 or more → [out, in].

    Source: Jin et al. (2023), arXiv 2212.09849, equation 2 and section 3.3.

    >>> from merging_core.methods.measured import Measured
    >>> grams = (torch.diag(torch.tensor([3.0, 0.0])), torch.diag(torch.tensor([1.0, 0.0])))
    >>> leaves = torch.tensor([[[1.0, 1.0]], [[5.0, 5.0]]])
    >>> regression_mean(leaves, torch.ones(2), CombineContext(measured=Measured(grams))).tolist()
    [[2.0, 3.0]]
    """
    measured, plain = context.measured, linear(leaves.flatten(1), weights, CombineContext()).view(leaves.shape[1:])
    shares = [(place, share) for place, share in enumerate(weights.tolist()) if share != 0.0]
    if measured is None or not shares or not all(measured.values[place].numel() for place, _ in shares):
        return plain
    turned = measured.turned

    def layer(place: int) -> torch.Tensor:
        found = wide(leaves[place])
        return found if turned else found.T

    off = context.params.number("off_diagonal") if "off_diagonal" in context.params else OFF_DIAGONAL
    ridge = context.params.number("ridge") if "ridge" in context.params else 0.0
    whole = sum(share for _, share in shares)
    middle = sum(layer(place) * share for place, share in shares) / whole
    gram = target = None
    for place, share in shares:
        own = _weakened(wide(measured.values[place]), off).mul_(share)
        moved = own @ (layer(place) - middle)
        gram = own if gram is None else gram.add_(own)
        target = moved if target is None else target.add_(moved)
    if gram is None or target is None or not isinstance(middle, torch.Tensor):
        return plain
    merged = (middle + _solved(gram, target, ridge)).to(device=leaves.device, dtype=torch.float32)
    return merged if turned else merged.T.contiguous()


def _weakened(gram: torch.Tensor, off: float) -> torch.Tensor:
    """Return a Gram matrix with the numbers beside its diagonal multiplied."""
    diagonal = gram.diagonal().clone()
    gram.mul_(off)
    gram.diagonal().copy_(diagonal)
    return gram


def _solved(gram: torch.Tensor, target: torch.Tensor, ridge: float) -> torch.Tensor:
    """Return X of (G + ridge·diag G) X = T with G scaled to a diagonal of 1; directions without inputs give 0.

    By Cholesky's factors where these are sure, else by eigenvectors without those whose values float32 data do not
    tell apart from 0.
    """
    size = gram.diagonal()
    there = size > 0.0
    scale = torch.where(there, torch.where(there, size, 1.0).rsqrt(), 0.0)
    matrix = gram * scale[:, None] * scale
    matrix.diagonal().fill_(1.0)
    matrix.diagonal().add_(ridge)
    right = target * scale[:, None]
    least = len(matrix) * _EPSILON
    factor, wrong = torch.linalg.cholesky_ex(matrix)
    if int(wrong) == 0 and float(factor.diagonal().square().min()) > least:
        found = torch.cholesky_solve(right, factor)
    else:
        values, vectors = torch.linalg.eigh(matrix)
        sure = values > least * float(values[-1])
        inverse = torch.where(sure, 1.0 / torch.where(sure, values, 1.0), 0.0)
        found = vectors @ (inverse[:, None] * (vectors.T @ right))
    return found * scale[:, None]


def _cost(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    outside, inside = shape
    operations = (4.0 * count * outside + 11.0 * inside) * inside * inside
    return Cost(operations, 6 * outside * inside + (count // 2 + 5) * inside * inside)


REGMEAN = MethodInfo(
    name="regmean",
    title="RegMean",
    formula="W = (Σ wₜGₜ)⁻¹ Σ wₜGₜWₜ within each linear layer, with Gₜ = XₜᵀXₜ of what it reads; elsewhere the average",
    summary="Finds for each linear layer the weights that answer as every expert does on that expert's own inputs.",
    source=Source(
        "Jin et al.",
        2023,
        "Dataless Knowledge Fusion by Merging Weights of Language Models",
        "https://arxiv.org/abs/2212.09849",
        "equation 2; section 3.3 for the numbers beside the diagonal",
        "Gₜ is measured once and named by the recipe (`models[i].statistics`), a mean over inputs as in MergeLM and "
        "FusionBench, where the paper has sums; 0.9 is the paper's, 0.95 FusionBench's for CLIP; they invert, here a "
        "matrix that cannot be inverted leaves its directions at the average; embedding tables, and layers with "
        "“embed” in their names, are averaged",
    ),
    domain="weight",
    group="averages",
    default_lambda=1.0,
    combine=average,
    whole_leaf=WholeLeaf(is_matrix, regression_mean, _cost),
    needs_base=False,
    measures="gram",
    weights="not negative",
    weights_problem=weights_vanish,
    parameters=(
        ParameterInfo(
            "off_diagonal",
            "Off-diagonal",
            "number",
            OFF_DIAGONAL,
            "By what the numbers beside the diagonal of a Gram matrix are multiplied: 1 trusts them, 0 takes each "
            "input for itself.",
            0.0,
            1.0,
            slider=(0.0, 1.0),
            per_leaf=True,
        ),
        ParameterInfo(
            "ridge",
            "Ridge",
            "number",
            0.0,
            "What is added to the diagonal, relative to it: it draws each layer towards the average of the experts.",
            0.0,
            1e6,
            step=0.001,
            slider=(0.0, 1.0),
            per_leaf=True,
        ),
    ),
    searched=(("off_diagonal", (0.5, 0.9, 0.95)),),
)
