"""Merges by what is measured of each expert on examples: Fisher merging, RegMean and RegMean++."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from merging_core.learning.contract import LearnMethod
from merging_core.methods.fisher import FISHER as MERGED_BY_FISHER
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.regmean import REGMEAN as MERGED_BY_REGRESSION

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench, Run
    from merging_core.learning.spec import LearnSpec
    from merging_core.learning.state import State

__all__ = ["FISHER", "REGMEAN", "REGMEAN_PLUS_PLUS"]

_SPLITS = ("train", "calibration", "validation", "test")
_AVERAGE: Mapping[str, object] = {"method": {"name": "linear"}}
"""What such a merge is before anything was measured."""


def _alone(spec: LearnSpec, bench: Bench, state: State | None) -> Run:
    from merging_core.learning.measuring.alone import MeasuringAlone

    return MeasuringAlone(spec, bench, state)


def _through(spec: LearnSpec, bench: Bench, state: State | None) -> Run:
    from merging_core.learning.measuring.through import MeasuringThrough

    return MeasuringThrough(spec, bench, state)


def _average(params: Parameters) -> Mapping[str, object]:
    return _AVERAGE


FISHER = LearnMethod(
    name="fisher",
    title="Fisher merging",
    formula=MERGED_BY_FISHER.formula,
    summary="Measures how much each expert's answers depend on each of its numbers, and averages by that.",
    source=replace(
        MERGED_BY_FISHER.source,
        deviation="exact over all classes by default; what MergeLM and FusionBench compute, the square of a whole "
        "batch's gradient, is the form `batch`",
    ),
    group="measured",
    splits=_SPLITS,
    default_steps=8,
    batch=32,
    paired=True,
    vectors=_average,
    run=_alone,
    parameters=(
        ParameterInfo(
            "form",
            "Measured by",
            "choice",
            "exact",
            "Whether every example and every class has a gradient of its own, or a batch has one for all: cheap, but "
            "with products of different examples in it.",
            choices=("exact", "batch"),
        ),
        *MERGED_BY_FISHER.parameters,
    ),
)

REGMEAN = LearnMethod(
    name="regmean",
    title="RegMean",
    formula=MERGED_BY_REGRESSION.formula,
    summary="Measures what each expert's linear layers read, and finds the layers that answer like all of them.",
    source=MERGED_BY_REGRESSION.source,
    group="measured",
    splits=_SPLITS,
    default_steps=8,
    batch=32,
    paired=True,
    vectors=_average,
    run=_alone,
    parameters=MERGED_BY_REGRESSION.parameters,
)

REGMEAN_PLUS_PLUS = LearnMethod(
    name="regmean_plus_plus",
    title="RegMean++",
    formula="W = (Σ wₜGₜ)⁻¹ Σ wₜGₜWₜ, where Gₜ is of what the layers of expert t read behind the merged layers before",
    summary="RegMean depth by depth: each layer is found for what reaches it through the layers merged before.",
    source=Source(
        "Nguyen et al.",
        2025,
        "RegMean++: Enhancing Effectiveness and Generalization of Regression Mean for Model Merging",
        "https://arxiv.org/abs/2508.03121",
        "the inputs of each layer",
        "within a block an expert's own layers stand, as in the authors' code; linear layers before and behind the "
        "blocks take part too; the recipe is RegMean's with what was measured so, and with other weights or numbers "
        "the layers before would have been others",
    ),
    group="measured",
    splits=_SPLITS,
    default_steps=8,
    batch=32,
    paired=True,
    vectors=_average,
    run=_through,
    parameters=MERGED_BY_REGRESSION.parameters,
)
