"""Coefficients for each expert, or for each expert and leaf: AdaMerging and aTLAS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch

from merging_core.engines.learned import COEFFICIENTS
from merging_core.learning.contract import Draw, Ground, Learnable, LearnMethod, Optimiser, Phase, Shown, Update, Values
from merging_core.learning.leaves import merged_leaf
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.methods.ties import agreeing_parts, majority_sign, sign_balance

__all__ = [
    "ADAMERGING",
    "ATLAS",
    "INITIAL",
    "PER",
    "RATE",
    "Coefficients",
    "coefficient_rows",
    "coefficient_tensors",
    "coefficients_shown",
    "leaf_views",
]

PER = ParameterInfo(
    "per",
    "Coefficients per",
    "choice",
    "leaf",
    "Whether each expert has one coefficient, or one for each leaf (which the paper calls a layer).",
    choices=("leaf", "task"),
)
INITIAL = ParameterInfo(
    "initial", "Initial coefficient", "number", 0.3, "Where every coefficient begins.", -10.0, 10.0, slider=(0.0, 1.0)
)
RATE = ParameterInfo(
    "rate",
    "Learning rate",
    "number",
    1e-3,
    "How far a step goes.",
    0.0,
    10.0,
    minimum_excluded=True,
    step=0.0001,
    slider=(0.0001, 0.1),
)
CLAMP = ParameterInfo(
    "clamp", "Keep within 0 and 1", "switch", False, "Keeps every coefficient between 0 and 1, as the first code did."
)
VECTORS = ParameterInfo(
    "vectors",
    "Task vectors",
    "choice",
    "plain",
    "Whether all of each task vector is merged, or only its largest elements (AdaMerging++).",
    choices=("plain", "trimmed"),
)
ELECT = ParameterInfo(
    "elect",
    "Elect signs",
    "switch",
    True,
    "Whether an element is left out, too, where its sign is not that of the experts' sum, as TIES has it.",
    only_when=("vectors", "trimmed"),
)
DENSITY = ParameterInfo(
    "density",
    "Density",
    "number",
    0.2,
    "The fraction of each task vector that is kept: its largest elements.",
    0.0,
    1.0,
    minimum_excluded=True,
    slider=(0.05, 1.0),
    unit="fraction kept",
    only_when=("vectors", "trimmed"),
)


class Coefficients:
    """θ = θ₀ + Σ cₜτ̂ₜ with one c for each expert, [T], or one for each leaf and expert, [P, T]."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._views = leaf_views(ground)

    def start(self) -> Values:
        """Return all coefficients at their initial value."""
        ground, params = self._ground, self._ground.params
        experts, leaves = len(ground.vectors), len(ground.space.leaves)
        shape = (experts,) if params["per"] == "task" else (leaves, experts)
        return {COEFFICIENTS: torch.full(shape, params.number("initial"), device=ground.device)}

    def merged(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return the merged weights."""
        leaves = self._ground.space.leaves
        rows = coefficient_rows(values[COEFFICIENTS], len(leaves))
        return {
            leaf.name: merged_leaf(row, None, base, vectors).view(leaf.shape)
            for leaf, row, (base, vectors) in zip(leaves, rows, self._views, strict=True)
        }

    def tensors(self, values: Mapping[str, torch.Tensor], draw: Draw) -> dict[str, torch.Tensor]:
        """Return the coefficients as a recipe holds them."""
        return coefficient_tensors(values[COEFFICIENTS], self._ground)

    def shown(self, values: Mapping[str, torch.Tensor], draw: Draw) -> Shown:
        """Return the coefficients of each expert."""
        return Shown(coefficients_shown(values[COEFFICIENTS]))

    def restart(self, values: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
        """Return the coefficients as they were at the start."""
        return self.start()[name]


def leaf_views(ground: Ground) -> tuple[tuple[torch.Tensor, tuple[torch.Tensor, ...]], ...]:
    """Return θ₀ and every τ̂ₜ of each leaf, as views of the resident vectors."""
    return tuple(
        (ground.base[leaf.start : leaf.stop], tuple(vector[leaf.start : leaf.stop] for vector in ground.vectors))
        for leaf in ground.space.leaves
    )


def coefficient_rows(coefficients: torch.Tensor, leaves: int) -> tuple[torch.Tensor, ...]:
    """Return the coefficients of each leaf, [T], of [T] or [P, T]."""
    return (coefficients,) * leaves if coefficients.dim() == 1 else tuple(coefficients.unbind(0))


def coefficient_tensors(coefficients: torch.Tensor, ground: Ground) -> dict[str, torch.Tensor]:
    """Return coefficients by the names that `engines.learned` reads."""
    if coefficients.dim() == 1:
        return {COEFFICIENTS: coefficients}
    return {f"{COEFFICIENTS}/{leaf.name}": row for leaf, row in zip(ground.space.leaves, coefficients, strict=True)}


def coefficients_shown(coefficients: torch.Tensor) -> tuple[tuple[float, ...], ...]:
    """Return for each expert its number, or its numbers over the leaves."""
    rows = coefficients[None] if coefficients.dim() == 1 else coefficients
    return tuple(tuple(row) for row in rows.detach().cpu().T.tolist())


def _phases(params: Parameters, steps: int, optimiser: Optimiser) -> tuple[Phase, ...]:
    clamp = (0.0, 1.0) if params.get("clamp") else None
    rated = replace(optimiser, rate=params.number("rate"))
    return (Phase("coefficients", "Coefficients", steps, (Update(COEFFICIENTS, rated, clamp=clamp),)),)


def _vectors(params: Parameters) -> Mapping[str, object]:
    if params.get("vectors") != "trimmed":
        return {}
    density = {"density": params.number("density"), "scope": "model"}
    if params["elect"]:
        return {"method": {"name": "ties", "params": {**density, "combine": "sum", "vote": "equal"}}}
    return {"mask": {"kind": "magnitude", **density}}


def _make(ground: Ground) -> Learnable:
    return Coefficients(replace(ground, vectors=_elected(ground)) if ground.params.get("elect") else ground)


def _elected(ground: Ground) -> tuple[torch.Tensor, ...]:
    """Return the task vectors without what has not the elected sign, as TIES merges them when every vote is equal."""
    votes = torch.ones(len(ground.vectors), device=ground.device)
    balance = torch.zeros((), dtype=torch.int64, device=ground.device)
    parts = [torch.stack(vectors) for _, vectors in leaf_views(ground)]
    for part in parts:
        balance = balance + sign_balance(part, votes, Parameters())
    majority = majority_sign(balance)
    found = tuple(torch.empty_like(vector) for vector in ground.vectors)
    for leaf, part in zip(ground.space.leaves, parts, strict=True):
        for vector, kept in zip(found, agreeing_parts(part, majority), strict=True):
            vector[leaf.start : leaf.stop] = kept
    return found


ADAMERGING = LearnMethod(
    name="adamerging",
    title="AdaMerging",
    formula="θ(ℓ) = θ₀(ℓ) + Σ λₜ(ℓ)·τₜ(ℓ), with the λ that make Σₜ H(softmax f(x; θ)) least on inputs x of task t",
    summary="Learns how much of each expert every leaf takes, so that the merge is sure of its answers.",
    source=Source(
        "Yang et al.",
        2024,
        "AdaMerging: Adaptive Model Merging for Multi-Task Learning",
        "https://arxiv.org/abs/2310.02575",
        "equations 5 to 7",
        "inputs come from the calibration split unless another is named, where the paper adapts on test inputs; a "
        "layer is a leaf, as in the authors' code; coefficients are not clamped unless asked for",
    ),
    group="coefficients",
    objective="entropy",
    splits=("calibration", "train", "validation", "test"),
    learns=("coefficients",),
    default_lambda=1.0,
    default_steps=500,
    parameters=(PER, INITIAL, RATE, CLAMP, VECTORS, DENSITY, ELECT),
    make=_make,
    phases=partial(_phases, optimiser=Optimiser("adam")),
    vectors=_vectors,
)

ATLAS = LearnMethod(
    name="atlas",
    title="aTLAS",
    formula="θ(ℓ) = θ₀(ℓ) + Σ λₜ(ℓ)·τₜ(ℓ), with the λ that make the cross-entropy of labelled examples least",
    summary="Learns how much of each expert every leaf takes from a few labelled examples.",
    source=Source(
        "Zhang et al.",
        2024,
        "Knowledge Composition using Task Vectors with Learned Anisotropic Scaling",
        "https://arxiv.org/abs/2407.02880",
        "task addition",
        "labels come from the train split, where the paper takes validation, which is for choosing here; leaves are "
        "not split into blocks",
    ),
    group="coefficients",
    objective="cross_entropy",
    splits=("train",),
    learns=("coefficients",),
    default_lambda=1.0,
    default_steps=300,
    batch=32,
    parameters=(PER, replace(INITIAL, default=0.0), replace(RATE, default=0.1)),
    make=_make,
    phases=partial(_phases, optimiser=Optimiser("adamw", decay=0.1, cosine=True)),
)
