"""Which average over its trajectory an expert is: the choice, its parameters, and what carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from merging_core.learning.experts.averages import (
    EMA_PARAMETERS,
    LAWA_PARAMETERS,
    SWA_PARAMETERS,
    SWAD_PARAMETERS,
    Average,
    EmaAverage,
    LawaAverage,
    SwaAverage,
    SwadAverage,
)
from merging_core.learning.experts.population import PAPA_PARAMETERS, Population
from merging_core.learning.experts.spans import SWAG_PARAMETERS, TWA_PARAMETERS, SwagSample, TrainedAverage
from merging_core.methods.info import ParameterInfo, Parameters

__all__ = ["AVERAGE", "AVERAGE_PARAMETERS", "average_of", "held_vectors"]

_AVERAGES: Mapping[str, type[Average]] = MappingProxyType(
    {
        "none": Average,
        "swa": SwaAverage,
        "swad": SwadAverage,
        "ema": EmaAverage,
        "lawa": LawaAverage,
        "swag": SwagSample,
        "twa": TrainedAverage,
        "papa": Population,
    }
)

AVERAGE = ParameterInfo(
    "average",
    "Average",
    "choice",
    "none",
    "What of the steps' weights the expert is: the last, a mean of them (SWA, SWAD, EMA, LAWA), a sample around it "
    "(SWAG), a trained mean (TWA), or the mean of several members (PAPA).",
    choices=tuple(_AVERAGES),
)
AVERAGE_PARAMETERS = (
    AVERAGE,
    *SWA_PARAMETERS,
    *SWAD_PARAMETERS,
    *EMA_PARAMETERS,
    *LAWA_PARAMETERS,
    *SWAG_PARAMETERS,
    *TWA_PARAMETERS,
    *PAPA_PARAMETERS,
)


def average_of(params: Parameters, seed: int) -> Average:
    """Return what carries the chosen average out; without a choice, none."""
    return _AVERAGES[str(params.get("average", "none"))](params, seed)


def held_vectors(params: Parameters) -> float:
    """Return how many float32 vectors of what moves an average holds beside the weights.

    >>> held_vectors(Parameters(average="swa")), held_vectors(Parameters(average="lawa", lawa_last=6))
    (2.0, 6.0)
    """
    average = str(params.get("average", "none"))
    if average in ("swa", "ema"):
        return 2.0
    if average == "swad":
        return 4.0 + 2.0 * max(params.number("swad_converged"), params.number("swad_overfit"))
    if average in ("lawa", "twa"):
        return params.number(f"{average}_last") + float(average == "twa")
    if average == "swag":
        return 4.0 + params.number("swag_rank")
    return 3.0 * (params.number("papa_members") - 1.0) if average == "papa" else 0.0
