"""What a run of learning holds at its peak, counted in vectors of the model's size, before anything is read."""

from __future__ import annotations

from merging_core.learning.contract import LearnMethod
from merging_core.methods.info import Parameters

__all__ = ["peak_bytes", "peak_vectors"]

_FLOAT = 4


def peak_vectors(info: LearnMethod, experts: int, params: Parameters | None = None, *, at_once: int = 1) -> int:
    """Return how many float32 vectors of the model's size are held at the peak, activations aside.

    Always θ₀, the τₜ (once more where they are trimmed, and where signs are elected), the merged weights, and the
    gradient by them; `at_once` chunks of tasks have a gradient of their own on the way. A mask adds its logits, their
    two moments and the best ones so far, the relaxed sample and the mask itself, and the gradient by the logits, in
    parts and joined.

    >>> from merging_core.learning.registry import learn_method
    >>> peak_vectors(learn_method("adamerging"), 8), peak_vectors(learn_method("concrete_task_arithmetic"), 8)
    (12, 19)
    """
    trimmed = params is not None and params.get("vectors") == "trimmed"
    elected = trimmed and params is not None and params.get("elect") is True
    resident = 1 + experts * (1 + trimmed + elected)
    if "mask" not in info.learns:
        return resident + 2 + at_once
    return resident + 1 + 2 + 1 + 2 + 2 + max(2, at_once)


def peak_bytes(  # noqa: PLR0913
    info: LearnMethod,
    size: int,
    experts: int,
    params: Parameters | None = None,
    *,
    at_once: int = 1,
    activations: int = 0,
) -> int:
    """Return the bytes at the peak for a model of `size` scalars; `activations` are those of one chunk of tasks.

    ViT-B/32 has 87.5 million in its vision tower; of 64 pictures about 3 GB of activations are kept for the gradient:

    >>> from merging_core.learning.registry import learn_method
    >>> round(peak_bytes(learn_method("concrete_task_arithmetic"), 87_456_000, 8, activations=3 * 10**9) / 1e9, 1)
    9.6
    """
    return _FLOAT * size * peak_vectors(info, experts, params, at_once=at_once) + activations * at_once
