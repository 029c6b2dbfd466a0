"""What the recipe asks of each leaf: the stages of all leaves, and neighbours that ask the same joined into runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch

from merging_core.engines.coefficients import lambda_of, weight_tensor
from merging_core.engines.learned import multiplied
from merging_core.masks.info import MaskSpec
from merging_core.methods.contract import Terms
from merging_core.methods.varying import one_number
from merging_core.recipes.stages import Stages
from merging_core.space.parameter_space import SpaceLeaf

__all__ = ["Same", "Settings", "joined", "settings_of", "terms_of"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Same(Generic[Value]):
    """Neighbouring leaves, first … last − 1, that share a value."""

    first: int
    last: int
    value: Value


@dataclass(frozen=True)
class Settings:
    """The stages of each leaf of a space, with every number that varies replaced by the leaf's own."""

    leaves: tuple[Stages, ...]
    varies: bool
    """Whether any number varies; if not, all leaves share one object."""

    @property
    def distinct(self) -> tuple[Stages, ...]:
        """The stages that some leaf has, each object once."""
        leaves = self.leaves if self.varies else self.leaves[:1]
        return tuple({id(stages): stages for stages in leaves}.values())

    def of_each(self, value: Callable[[Stages], Value]) -> tuple[Value, ...]:
        """Return something of the stages of each leaf; found once for leaves that share their stages."""
        if not self.varies:
            return (value(self.leaves[0]),) * len(self.leaves) if self.leaves else ()
        known: dict[int, Value] = {}
        return tuple(
            known[id(stages)] if id(stages) in known else known.setdefault(id(stages), value(stages))
            for stages in self.leaves
        )

    def runs(self, value: Callable[[Stages], Value]) -> tuple[Same[Value], ...]:
        """Return something of the stages of each leaf, with neighbours for which it is equal joined."""
        if not self.varies:
            return (Same(0, len(self.leaves), value(self.leaves[0])),) if self.leaves else ()
        return joined(self.of_each(value))

    def mask_runs(self, model: int) -> tuple[Same[MaskSpec], ...]:
        """Return the mask of one model in each leaf, with neighbours that are masked alike joined."""
        return self.runs(lambda stages: stages.masks[model])

    def masks_that(self, asked: Callable[[MaskSpec], bool]) -> tuple[bool, ...]:
        """Say for each model whether its mask is as asked in some leaf."""
        return tuple(any(map(asked, specs)) for specs in zip(*(stages.masks for stages in self.distinct), strict=True))

    @property
    def lambdas(self) -> tuple[float, ...]:
        """λ in each leaf."""
        return self.of_each(lambda_of)


def settings_of(
    stages: Stages, leaves: Sequence[SpaceLeaf], coefficients: Sequence[tuple[float, ...]] = ()
) -> Settings:
    """Return the stages of each leaf; learned coefficients, for each leaf one per model, multiply the weights."""
    if not coefficients:
        return _settings_of(stages, leaves)
    known: dict[tuple[int, tuple[float, ...]], Stages] = {}
    found = []
    for own, row in zip(_settings_of(stages, leaves).leaves, coefficients, strict=True):
        key = (id(own), row)
        if key not in known:
            weights = multiplied([one_number(weight) for weight in own.weights], row)
            known[key] = replace(own, weights=weights)
        found.append(known[key])
    return Settings(tuple(found), True)


def _settings_of(stages: Stages, leaves: Sequence[SpaceLeaf]) -> Settings:
    varying = stages.varying
    if not varying:
        return Settings((stages,) * len(leaves), False)
    columns = [[number.at(leaf.name, leaf.depth) for leaf in leaves] for number in varying]
    rows = list(zip(*columns, strict=True))
    known = {row: stages.with_numbers(dict(zip(varying, row, strict=True))) for row in dict.fromkeys(rows)}
    return Settings(tuple(known[row] for row in rows), True)


def joined(values: Sequence[Value]) -> tuple[Same[Value], ...]:
    """Join neighbours that are equal.

    >>> [(run.first, run.last, run.value) for run in joined(["a", "a", "b"])]
    [(0, 2, 'a'), (2, 3, 'b')]
    """
    if values and values.count(values[0]) == len(values):
        return (Same(0, len(values), values[0]),)
    runs: list[Same[Value]] = []
    for place, value in enumerate(values):
        if runs and (runs[-1].value is value or runs[-1].value == value):
            runs[-1] = Same(runs[-1].first, place + 1, runs[-1].value)
        else:
            runs.append(Same(place, place + 1, value))
    return tuple(runs)


def terms_of(settings: Settings, device: torch.device | str = "cpu") -> tuple[Terms, ...]:
    """Return with what the method combines each leaf; leaves that are combined alike share one object."""
    made: dict[Hashable, Terms] = {}

    def terms(stages: Stages) -> Terms:
        key = (stages.weights, stages.params)
        if key not in made:
            made[key] = Terms(weight_tensor(stages, device), stages.params)
        return made[key]

    return settings.of_each(terms)
