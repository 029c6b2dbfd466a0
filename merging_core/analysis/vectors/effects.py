"""What merge methods make of two task vectors: what each expert still contributes, by the methods' own kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from merging_core.methods.consensus import CONSENSUS
from merging_core.methods.contract import CombineContext
from merging_core.methods.ties import agreeing_parts

__all__ = ["EFFECTS", "SUM", "Effect"]

Contributions = Callable[[torch.Tensor, CombineContext], torch.Tensor]
"""[T, n] after layer scaling of each and the mask → [T, n]: the parts of which the merged vector is the sum."""


@dataclass(frozen=True)
class Effect:
    """One method at its defaults. `document`: what a recipe says of it beside base and models."""

    name: str
    title: str
    summary: str
    document: Mapping[str, object]
    contributions: Contributions


def _all(masked: torch.Tensor, context: CombineContext) -> torch.Tensor:
    return masked


def _elected(masked: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return of each expert what agrees with the elected sign, divided by how many agree, as the mean of TIES does.

    >>> _elected(torch.tensor([[3.0, -1.0], [1.0, 2.0]]), CombineContext()).tolist()
    [[1.5, 0.0], [0.5, 2.0]]
    """
    agreeing = agreeing_parts(masked, context.statistics.get("majority_sign"))
    return agreeing / (agreeing != 0).sum(0).clamp(min=1)


def _agreed(masked: torch.Tensor, context: CombineContext) -> torch.Tensor:
    """Return the changes at the places that consensus merging keeps.

    >>> from merging_core.methods.info import Parameters
    >>> context = CombineContext(Parameters(agreement=0.5, experts=2))
    >>> _agreed(torch.tensor([[2.0, 8.0], [3.0, 1.0]]), context).tolist()
    [[2.0, 0.0], [3.0, 0.0]]
    """
    ones = torch.ones(masked.shape[0], device=masked.device)
    return torch.where(CONSENSUS.combine(masked, ones, context) != 0, masked, 0.0)


SUM = Effect(
    "sum",
    "Sum",
    "Task vectors are added as they are (task arithmetic).",
    {"method": {"name": "task_arithmetic"}},
    _all,
)
EFFECTS = (
    SUM,
    Effect(
        "trim",
        "Trim",
        "Only the largest changes of each expert stay.",
        {"method": {"name": "task_arithmetic"}, "mask": {"kind": "magnitude"}},
        _all,
    ),
    Effect(
        "ties",
        "TIES",
        "The largest changes stay, signs are elected, and what disagrees is dropped.",
        {"method": {"name": "ties"}},
        _elected,
    ),
    Effect(
        "dare", "DARE", "Changes are dropped at random, the rest scaled up.", {"method": {"name": "dare_linear"}}, _all
    ),
    Effect(
        "lines",
        "LiNeS",
        "Changes of deep layers count more than those of early ones.",
        {"method": {"name": "task_arithmetic"}, "layer_scaling": {"kind": "lines", "applies_to": "each"}},
        _all,
    ),
    Effect(
        "consensus",
        "Consensus",
        "Changes stay where they matter to both experts.",
        {"method": {"name": "consensus"}},
        _agreed,
    ),
)
"""In the order in which they are shown; the first is what the others are held against."""
