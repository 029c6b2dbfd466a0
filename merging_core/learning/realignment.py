"""Safety realignment: what experts changed is kept where it does not undo what the aligned model was taught.

    θ = θ_aligned + λ·(m ∘ Σ τₜ),   τₜ = θₜ − θ_aligned

The base is the aligned model, and experts are what fine-tuning made of it. One Concrete mask for all of them is learned
from labelled examples of the behaviour that must come back.
"""

from __future__ import annotations

from dataclasses import replace

from merging_core.learning.concrete import MASK_PARAMETERS, SCALE, mask_alone, mask_phase
from merging_core.learning.contract import LearnMethod
from merging_core.methods.info import Source

__all__ = ["SAFETY_REALIGNMENT"]

SAFETY_REALIGNMENT = LearnMethod(
    name="safety_realignment",
    title="Safety realignment",
    formula="θ = θ₀ + λ·(m ∘ Σ τₜ) with θ₀ the aligned model and one Concrete mask m; labels of the behaviour choose m",
    summary="Brings a behaviour of the base back that fine-tuning destroyed: takes of experts what leaves it whole.",
    source=Source(
        "Yi et al.",
        2024,
        "A safety realignment framework via subspace-oriented model fusion for large language models",
        "https://arxiv.org/abs/2405.09055",
        "one shared mask on the vectors from the aligned model",
        "the behaviour is a task with labels and cross-entropy is least on its train split, where the paper has texts "
        "with answers or preferences; the mask is of whole models, the released one of adapters",
    ),
    group="masks",
    objective="cross_entropy",
    splits=("train",),
    learns=("mask",),
    default_lambda=1.0,
    default_steps=100,
    parameters=tuple(
        replace(info, default=1.0) if info is SCALE
        else replace(info, default=0.1) if info.name == "mask_rate"
        else info
        for info in (SCALE, *MASK_PARAMETERS)
    ),
    make=mask_alone,
    phases=mask_phase,
)  # fmt: skip
