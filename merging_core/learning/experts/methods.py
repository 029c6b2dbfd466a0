"""The methods that train an expert from a base."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from merging_core.learning.adamerging import RATE
from merging_core.learning.attack_settings import DEFENCE
from merging_core.learning.contract import Ground, Learnable, LearnMethod, Optimiser, Phase, Update
from merging_core.learning.experts.averages import WEIGHTS
from merging_core.learning.experts.moving import BLOCKS, MOVES
from merging_core.learning.experts.spans import COEFFICIENTS, first_steps
from merging_core.learning.experts.trajectories import AVERAGE_PARAMETERS, average_of
from merging_core.learning.experts.weights import MovedWeights
from merging_core.methods.info import ParameterInfo, Parameters, Source

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench, Run
    from merging_core.learning.spec import LearnSpec
    from merging_core.learning.state import State

__all__ = ["FRESH", "RECIPE", "TRAIN_EXPERT", "optimiser_of", "train_run"]

RECIPE = (
    ParameterInfo(
        "rate", "Learning rate", "number", 2e-4, RATE.help, 0.0, 10.0, minimum_excluded=True, step=0.0001,
        slider=(0.00001, 0.01),
    ),
    ParameterInfo(
        "schedule", "Schedule", "choice", "cosine", "Whether the rate falls to 0 along half a cosine, or stays.",
        choices=("cosine", "constant"),
    ),
    ParameterInfo(
        "warm_up", "Warm-up", "integer", 20, "Over how many steps the rate rises first.", 0, 100_000, step=1,
        slider=(0, 100),
    ),
    ParameterInfo(
        "decay", "Weight decay", "number", 0.0, "How far each step draws the weights towards 0, times the rate.", 0.0,
        10.0, slider=(0.0, 0.3),
    ),
    ParameterInfo(
        "looks", "Looks", "choice", "none", "Whether pictures look new in each batch: turned, moved, lit, dirtied.",
        choices=("none", "light"),
    ),
    ParameterInfo(
        "clip", "Longest gradient", "number", 1.0, "A longer gradient is shortened to this length; 0 shortens none.",
        0.0, 1e6, slider=(0.0, 10.0),
    ),
)  # fmt: skip
"""How weights are trained: the defaults are how the zoo's experts were made."""

FRESH = tuple(replace(info, default="light") if info.name == "looks" else info for info in RECIPE)
"""The same, with pictures in new looks, as the zoo's experts saw them."""


def optimiser_of(params: Parameters) -> Optimiser:
    """Return how the parameters of `RECIPE` make steps of gradients: AdamW.

    >>> from merging_core.methods.info import check_parameters
    >>> optimiser_of(Parameters(check_parameters({}, RECIPE, "params")[0])).rate
    0.0002
    """
    return Optimiser(
        "adamw",
        rate=params.number("rate"),
        decay=params.number("decay") if "decay" in params else 0.0,
        cosine=params["schedule"] == "cosine",
        warm_up=int(params.number("warm_up")),
        clip=params.number("clip") or None,
    )


def train_run(spec: LearnSpec, bench: Bench, state: State | None) -> Run:
    """Begin a run that trains an expert. Raises as `Training` does."""
    from merging_core.learning.experts.training import Training

    return Training(spec, bench, state)


def _make(ground: Ground) -> Learnable:
    return MovedWeights(ground)


def _phases(params: Parameters, steps: int) -> tuple[Phase, ...]:
    how = optimiser_of(params)
    if params["average"] == "twa":
        first = first_steps(steps, params.number("twa_share"))
        between = Update(COEFFICIENTS, Optimiser("sgd", rate=params.number("twa_rate")))
        return (
            Phase("weights", "Weights", first, (Update(WEIGHTS, how),)),
            Phase("average", "Average", steps - first, (between,)),
        )
    members = average_of(params, 0).members
    return (Phase("weights", "Weights", steps, tuple(Update(name, how) for name in members)),)


TRAIN_EXPERT = LearnMethod(
    name="train_expert",
    title="Train an expert",
    formula="θ = θ₀ − Σ ηₛ·AdamW(∇ cross-entropy of batch s), and where asked for an average of the θ on the way",
    summary="Trains the base on a task’s labelled examples; the result is an expert that can be merged.",
    source=Source(
        "Radford et al.",
        2021,
        "Learning Transferable Visual Models From Natural Language Supervision",
        "https://arxiv.org/abs/2103.00020",
        "fine-tuning with the task’s frozen zero-shot head, as task vectors are made",
        "the head stays as the task has it, so that experts share all that counts; batches come from the train split, "
        "in new looks, where the zoo’s experts saw more drawings, made anew at each use",
    ),
    group="experts",
    makes="expert",
    objective="cross_entropy",
    splits=("train",),
    learns=("weights",),
    default_steps=400,
    batch=64,
    subset="full",
    parameters=(*FRESH, MOVES, BLOCKS, *AVERAGE_PARAMETERS, *DEFENCE),
    make=_make,
    phases=_phases,
    run=train_run,
)
