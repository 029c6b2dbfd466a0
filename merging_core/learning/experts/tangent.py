"""An expert that is trained in the tangent space of its base: the model linearised there learns, not the model."""

from __future__ import annotations

from dataclasses import replace

from merging_core.learning.contract import Ground, Learnable, LearnMethod, Phase, Update
from merging_core.learning.experts.averages import WEIGHTS
from merging_core.learning.experts.methods import FRESH, optimiser_of, train_run
from merging_core.learning.experts.moving import BLOCKS, MOVES
from merging_core.learning.experts.weights import MovedWeights
from merging_core.methods.info import Parameters, Source

__all__ = ["TRAIN_LINEARISED"]

_RATE = 0.001
"""A linear model bears larger steps: on the zoo's digits this was better than the rate of ordinary training."""


def _make(ground: Ground) -> Learnable:
    return MovedWeights(ground)


def _phases(params: Parameters, steps: int) -> tuple[Phase, ...]:
    return (Phase("weights", "Weights", steps, (Update(WEIGHTS, optimiser_of(params)),)),)


TRAIN_LINEARISED = LearnMethod(
    name="train_linearised",
    title="Train in the tangent space",
    formula="f(x; θ) is f(x; θ₀) + ∇f(x; θ₀)·(θ − θ₀);  θ = θ₀ − Σ ηₛ·AdamW(∇ cross-entropy of batch s)",
    summary="Trains the base as the model linearised there; such experts add up with less interference, where the "
    "merge is evaluated linearised too.",
    source=Source(
        "Ortiz-Jimenez et al.",
        2023,
        "Task Arithmetic in the Tangent Space: Improved Editing of Pre-Trained Models",
        "https://arxiv.org/abs/2305.12827",
        "section 4, linear fine-tuning",
        "what the model gives is linearised, as in the released code; the head of prototypes, which scales features to "
        "length 1, stands on top of it as it is",
    ),
    group="experts",
    makes="expert",
    objective="cross_entropy",
    linearised=True,
    splits=("train",),
    learns=("weights",),
    default_steps=400,
    batch=64,
    subset="full",
    parameters=(replace(FRESH[0], default=_RATE), *FRESH[1:], MOVES, BLOCKS),
    make=_make,
    phases=_phases,
    run=train_run,
)
