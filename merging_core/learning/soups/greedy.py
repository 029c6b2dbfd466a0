"""The greedy soup, as a method: `greedy_run` is its run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from merging_core.learning.contract import LearnMethod
from merging_core.learning.soups.learned import SOUP_SOURCE
from merging_core.methods.info import ParameterInfo, Source

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench, Run
    from merging_core.learning.spec import LearnSpec
    from merging_core.learning.state import State

__all__ = ["GREEDY_SOUP"]

ORDER = ParameterInfo(
    "order",
    "Order",
    "choice",
    "accuracy",
    "Whether models are tried from the most accurate alone to the least, or as they are listed.",
    choices=("accuracy", "given"),
)
ACCEPT = ParameterInfo(
    "accept",
    "A model stays",
    "choice",
    "not worse",
    "Whether a model stays in the soup where the accuracy does not fall, or only where it rises.",
    choices=("not worse", "better"),
)


def _run(spec: LearnSpec, bench: Bench, state: State | None) -> Run:
    from merging_core.learning.soups.greedy_run import GreedyRun

    return GreedyRun(spec, bench, state)


GREEDY_SOUP = LearnMethod(
    name="greedy_soup",
    title="Greedy soup",
    formula="θ = Σ θₜ/|S| over the models t in S; a model joins S where the accuracy of the average does not fall",
    summary="Tries the models from the best to the worst, and keeps each that does not make their average worse.",
    source=Source(
        *SOUP_SOURCE,
        "recipe 1, the greedy soup",
        "a model stays where the accuracy does not fall, as the paper has it; the released code asks for more (accept: "
        "better); the first half of validation chooses, and what is shown comes from the other",
    ),
    group="soups",
    splits=("validation", "train"),
    default_steps=64,
    batch=4096,
    parameters=(ORDER, ACCEPT),
    run=_run,
)
