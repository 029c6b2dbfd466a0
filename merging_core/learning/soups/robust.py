"""The robust soup, as a method: `robust_run` is its run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from merging_core.learning.attack_settings import AGAINST, ATTACK_PARAMETERS
from merging_core.learning.contract import LearnMethod
from merging_core.methods.info import ParameterInfo, Source

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench, Run
    from merging_core.learning.spec import LearnSpec
    from merging_core.learning.state import State

__all__ = ["ROBUST_SOUP"]

_CHOSEN_BY = replace(
    AGAINST,
    default="mixture",
    help="What the weights are chosen by: answers to pictures as they are, under an ℓ∞ attack, under an ℓ2 attack, or "
    "the mean of the three.",
)
PARTS = ParameterInfo(
    "parts",
    "Parts",
    "integer",
    4,
    "Into how many equal parts the weights are divided; of three models and four parts there are fifteen soups.",
    1,
    20,
    step=1,
    slider=(1, 10),
)


def _run(spec: LearnSpec, bench: Bench, state: State | None) -> Run:
    from merging_core.learning.soups.robust_run import RobustRun

    return RobustRun(spec, bench, state)


ROBUST_SOUP = LearnMethod(
    name="robust_soup",
    title="Robust soup",
    formula="θ = Σ αₜ·θₜ, αₜ ≥ 0, Σ αₜ = 1, with the α on a grid that answer most right under the attacks",
    summary="Chooses how much of each model goes into the soup by how few examples do under attack.",
    source=Source(
        "Croce et al.",
        2023,
        "Seasoning Model Soups for Robustness to Adversarial and Natural Distribution Shifts",
        "https://arxiv.org/abs/2302.10164",
        "soups of models tuned against different attacks, weights chosen on a few examples",
        "weights are positive on a grid and are chosen by the accuracy before and after projected gradient ascent, "
        "where the paper measures with stronger attacks; a mixture counts clean, ℓ∞ and ℓ2 accuracy alike",
    ),
    group="soups",
    splits=("validation", "train"),
    default_steps=64,
    batch=50,
    parameters=(_CHOSEN_BY, *ATTACK_PARAMETERS, PARTS),
    run=_run,
)
