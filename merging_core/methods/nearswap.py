"""NearSwap: one model moves towards another by no more than a fixed step in each number."""

from __future__ import annotations

import torch

from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["NEARSWAP", "nearswap"]


def nearswap(vectors: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return τ where |τ| is at most t, and t or −t beyond.

    It is the interpolation θ₀ + s·τ with s = min(1, t/|τ|): the nearer two numbers are, the more the second one counts.

    Shapes: vectors [1, n] float32 → [n]; the weight is 1.

    >>> from merging_core.methods.info import Parameters
    >>> nearswap(torch.tensor([[0.5, -3.0, 1.0]]), torch.ones(1), CombineContext(Parameters(t=1.0))).tolist()
    [0.5, -1.0, 1.0]
    """
    step = context.params.number("t")
    return vectors[0].clamp(-step, step).add_(0.0)


NEARSWAP = MethodInfo(
    name="nearswap",
    title="NearSwap",
    formula="θ = θ₀ + λ·τ·min(1, t/|τ|): τ, but no further than t in each number",
    summary="Takes over what lies near the base and moves the rest by one small step.",
    source=Source(
        "Alchemonaut",
        2024,
        "QuartetAnemoi-70B, NearSwap",
        "https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001",
        "model card",
        "written as a bounded task vector, so that layer scaling, λ and any mask go with it",
    ),
    domain="task_vector",
    group="task vectors",
    default_lambda=1.0,
    combine=nearswap,
    models=(1, 1),
    weights="none",
    parameters=(
        ParameterInfo(
            name="t",
            title="Step",
            kind="number",
            default=0.0001,
            help="The most by which a number moves; the weights of the second model count where they are nearer.",
            minimum=0.0,
            maximum=1_000_000.0,
            step=0.0001,
            slider=(0.0, 0.02),
            per_leaf=True,
        ),
    ),
    searched=(("t", (1e-5, 1e-4, 1e-3, 1e-2)),),
)
