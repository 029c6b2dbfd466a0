"""WUDI: the merged matrix that disturbs each expert least on what that expert's own task vector responds to."""

from __future__ import annotations

from collections.abc import Callable

import torch

from merging_core.methods.contract import CombineContext, Cost, MethodInfo, WholeLeaf
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.matrices import EMBEDDINGS, active, average, is_matrix, singular_values, spectrum_operations

__all__ = ["STEP_SIZE", "WUDI", "elsewhere", "least_disturbing"]

STEP_SIZE = 1e-5
"""Adam's, as in the authors' code for images; its other constants are the usual 0.9, 0.999 and 1e-8."""
_FIRST, _SECOND, _SMALL = 0.9, 0.999, 1e-8


def least_disturbing(leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return a matrix M that makes Σ ‖(M − wₜτₜ)τₜᵀ‖²/‖τₜ‖² small, or least.

    With `solver` at `adam`, as many steps of Adam as `steps` says from M = Σ wₜτₜ, each of `step_size` (1e-5 if it is
    not given). With `exact`, the least, of all that reach it the one with the smallest norm:
    M = (Σ wₜτₜGₜ)(Σ Gₜ)⁺ with Gₜ = τₜᵀτₜ/‖τₜ‖². With `divide_by` at `norm`, Gₜ and the loss are divided by ‖τₜ‖
    instead of its square. An expert whose leaf is zero has no say. Nothing is random.

    Shapes: leaves [T, m, n] float32, weights [T] float32 → [m, n].

    Source: Cheng et al. (2025), arXiv 2503.08099, the loss and its optimisation from the sum of task vectors.

    >>> leaf = torch.tensor([[[1.0, 2.0], [0.5, -1.0]]])
    >>> context = CombineContext(Parameters(solver="exact"))
    >>> torch.allclose(least_disturbing(leaf, torch.ones(1), context), leaf[0])
    True
    """
    _, vectors = active(leaves, weights)
    vectors = vectors[vectors.flatten(1).any(dim=1)]
    if len(vectors) == 0:
        return torch.zeros_like(leaves[0])
    power = 0.5 if context.params.get("divide_by") == "norm" else 1.0
    of_each = [vector.T @ vector / vector.square().sum() ** power for vector in vectors]
    target = torch.stack([vector @ gram for vector, gram in zip(vectors, of_each, strict=True)]).sum(dim=0)
    gram = torch.stack(of_each).sum(dim=0)
    if context.params.get("solver") == "exact":
        return _solved(target, gram).to(torch.float32)
    steps = int(context.params.number("steps"))
    size = context.params.number("step_size") if "step_size" in context.params else STEP_SIZE
    return _descended(vectors.sum(dim=0), target, gram, steps, size, context.check).to(torch.float32)


def _solved(target: torch.Tensor, gram: torch.Tensor) -> torch.Tensor:
    squares, vectors = torch.linalg.eigh(gram)
    values = singular_values(squares.flip(0).clamp_(min=0.0).sqrt_(), gram.shape).flip(0)
    inverse = torch.where(values > 0.0, 1.0 / torch.where(values > 0.0, values, 1.0), 0.0).square_()
    found: torch.Tensor = (target @ vectors) * inverse @ vectors.T
    return found


def _descended(
    start: torch.Tensor,
    target: torch.Tensor,
    gram: torch.Tensor,
    steps: int,
    step_size: float,
    check: Callable[[], None],
) -> torch.Tensor:
    """Take Adam's steps; the gradient of the loss is 2(M Σ Gₜ − Σ wₜτₜGₜ)."""
    here, first, second = start, torch.zeros_like(start), torch.zeros_like(start)
    for step in range(1, steps + 1):
        check()
        gradient = (here @ gram).sub_(target).mul_(2.0)
        first.mul_(_FIRST).add_(gradient, alpha=1.0 - _FIRST)
        second.mul_(_SECOND).add_(gradient.square_(), alpha=1.0 - _SECOND)
        spread = (second / (1.0 - _SECOND**step)).sqrt_().add_(_SMALL)
        here = here - first / spread * (step_size / (1.0 - _FIRST**step))
    return here


def elsewhere(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return what is made of leaves that are no matrices: the average, or zero, which leaves them at the base.

    Shapes: vectors [T, n] float32, weights [T] float32 → [n].

    >>> [elsewhere(torch.ones(2, 1), torch.ones(2), CombineContext(Parameters(elsewhere=rule))).item()
    ...     for rule in ("average", "base")]
    [1.0, 0.0]
    """
    if context.params.get("elsewhere") == "base":
        return torch.zeros_like(vectors[0])
    return average(vectors, weights, context)


def _cost(shape: tuple[int, ...], count: int, params: Parameters) -> Cost:
    rows, columns = shape
    grams = count * 4.0 * rows * columns * columns
    if params["solver"] == "exact":
        solving = spectrum_operations(columns, columns) + 4.0 * rows * columns * columns
    else:
        solving = params.number("steps") * (2.0 * rows * columns * columns + 40.0 * rows * columns)
    return Cost(grams + solving, (2 * count + 8) * rows * columns + (count + 3) * columns * columns)


WUDI = MethodInfo(
    name="wudi",
    title="WUDI",
    formula="θ = θ₀ + λ·M within each matrix, where M makes Σ ‖(M − wₜτₜ)τₜᵀ‖²/‖τₜ‖² small; elsewhere the average",
    summary="Looks for the merged change that disturbs each expert least where that expert's own change is active.",
    source=Source(
        "Cheng et al.",
        2025,
        "Whoever Started the Interference Should End It: Guiding Data-Free Model Merging via Task Vectors",
        "https://arxiv.org/abs/2503.08099",
        "the loss of a linear layer, 300 steps of Adam from the sum",
        "all matrices but embedding tables take part, where the authors' code for images takes the linear layers of "
        "the blocks alone; other leaves are averaged as in FusionBench, or stay at the base as in that code; that code "
        "divides by ‖τ‖, the one for texts by ‖τ‖² with steps of 0.00002; steps of one size suit task vectors of one "
        "size: where they move too little, as on the zoo, larger steps or the exact least do what is meant",
    ),
    domain="task_vector",
    group="subspace",
    default_lambda=1.0,
    combine=elsewhere,
    whole_leaf=WholeLeaf(is_matrix, least_disturbing, _cost),
    parameters=(
        ParameterInfo(
            "solver",
            "Solve by",
            "choice",
            "adam",
            "Whether a fixed number of Adam's steps is taken, as in the paper, or the exact least is computed.",
            choices=("adam", "exact"),
        ),
        ParameterInfo(
            "steps",
            "Steps",
            "integer",
            300,
            "How many steps are taken from the sum of the experts.",
            1,
            3000,
            step=1,
            slider=(1, 1000),
            only_when=("solver", "adam"),
        ),
        ParameterInfo(
            "step_size",
            "Step size",
            "number",
            STEP_SIZE,
            "How far a step moves each number at most; task vectors larger than those of the paper need larger steps.",
            0.0,
            1.0,
            minimum_excluded=True,
            step=0.00001,
            slider=(0.00001, 0.001),
            per_leaf=True,
            only_when=("solver", "adam"),
            later=True,
        ),
        ParameterInfo(
            "divide_by",
            "Divide by",
            "choice",
            "square",
            "Whether an expert's disturbance is divided by ‖τ‖², as in the paper, or ‖τ‖, as in the code for images.",
            choices=("square", "norm"),
            later=True,
        ),
        EMBEDDINGS,
        ParameterInfo(
            "elsewhere",
            "Other leaves",
            "choice",
            "average",
            "Whether leaves that are no matrices get the average of the experts, or stay at the base.",
            choices=("average", "base"),
            later=True,
        ),
    ),
)
