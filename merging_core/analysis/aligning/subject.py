"""Two models and how they are run: what is permuted, certified and repaired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from merging_core.alignment.certificate import Certificate, certified
from merging_core.alignment.observing import Weights, layers_in
from merging_core.alignment.symmetry import Symmetry
from merging_core.alignment.templates import by_name
from merging_core.analysis.studies.contract import StudyBench
from merging_core.engines.points import Points
from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Architecture, architecture, fitting, names_in
from merging_core.evaluation.evaluator import need_of
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.tasks import AnyTask

__all__ = ["Subject"]

_CERTIFIED, _FEWEST, _MOST = 64, 64, 512
"""Inputs that certify, and how many are observed at least and at most."""
_OBSERVED, _AT_ONCE = 20_000_000, 5_000_000
"""Numbers that layers read, of all inputs and of a batch of them, about."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Two models of one architecture, seen through the first task.

    Names of leaves are those that the evaluation uses; `rows` are inputs of the calibration split of all tasks.
    """

    points: Points
    bench: StudyBench

    @cached_property
    def task(self) -> AnyTask:
        """The task whose kind of model is looked at."""
        return self.bench.tasks[0]

    @cached_property
    def found(self) -> Architecture:
        """The architecture, without the head that experts keep for themselves."""
        return architecture(self.points.config, *need_of(self.task))

    @cached_property
    def models(self) -> tuple[Weights, Weights]:
        """The leaves of both, by the names of the evaluation, a task's own head among them."""
        first, second = (self.bound(self.points.weights(flat)) for flat in self.points.flats)
        return first, second

    def bound(self, weights: Weights) -> dict[str, torch.Tensor]:
        """Return leaves by the names of the evaluation."""
        own = self.task.head.leaves if isinstance(self.task.head, OwnHead) else {}
        return fitting(self.found, {**weights, **own}, self.bench.evaluator.device)

    def unbound(self, leaves: Weights) -> dict[str, torch.Tensor]:
        """Return the first model's weights with these leaves in their places, by the names of its file."""
        weights = self.points.weights(self.points.flats[0])
        spelled = names_in(self.found, weights)
        return {**weights, **{spelled[name]: leaf for name, leaf in leaves.items() if spelled[name] in weights}}

    def between(self, t: float) -> dict[str, torch.Tensor]:
        """Return the weights at t of the line between both as they are."""
        return self.points.weights(self.points.mixed((1.0 - t, t)))

    def towards(self, other: Weights, t: float) -> dict[str, torch.Tensor]:
        """Return the weights at t of the line from the first to `other`, which has the names of the evaluation."""
        return self.unbound(self.mixed(other, t))

    def mixed(self, other: Weights, t: float) -> dict[str, torch.Tensor]:
        """Return (1 − t)·first + t·other by the names of the evaluation; the ends are exact."""
        first = self.models[0]
        if t in (0.0, 1.0):
            return dict(other if t else first)
        return {name: torch.mul(leaf, 1.0 - t).add_(torch.mul(other[name], t)) for name, leaf in first.items()}

    @cached_property
    def rows(self) -> torch.Tensor:
        """Inputs for activations and statistics, the first of every task that takes the same."""
        alike = [task for task in self.bench.tasks if need_of(task) == need_of(self.task)]
        each = max(1, min(_MOST, max(_FEWEST, _OBSERVED // self.reads)) // len(alike))
        parts = [task.prepared(task.inputs("calibration")[:each]) for task in alike if "calibration" in task.splits]
        parts = [part for part in parts if part.shape[1:] == parts[0].shape[1:] and part.dtype == parts[0].dtype]
        if not parts:
            must = "a task has a calibration split"
            raise EvaluationError(Problem(must, "none", self.task.name, "choose another task"))
        return torch.cat(parts).to(self.bench.evaluator.device)

    def batches(self) -> Iterator[torch.Tensor]:
        """Yield the rows in pieces."""
        yield from torch.split(self.rows, max(1, _AT_ONCE // self.reads))

    @cached_property
    def reads(self) -> int:
        """How many numbers the layers read of one input."""
        if "calibration" not in self.task.splits:
            return 1
        one = self.task.prepared(self.task.inputs("calibration")[:1]).to(self.bench.evaluator.device)
        run = layers_in(self.found.forward, self.models[0], one)
        return max(1, sum(layer.inputs.numel() for layer in run))

    def certify(self, seed: int) -> Certificate:
        """Try the symmetries of the template on the first model."""
        shapes = {name: tuple(leaf.shape) for name, leaf in self.models[0].items()}
        claimed = by_name(self.points.config, shapes)
        return certified(claimed, self.found.forward, self.models[0], self._few, seed=seed)

    def layers(self, symmetry: Symmetry) -> tuple[str, ...]:
        """Return the leaves of the layers that write units of the symmetry, in the order in which they run."""
        written: Mapping[str, set[int]] = {}
        for units in symmetry.classes:
            for site in units.sites:
                written = {**written, site.leaf: {*written.get(site.leaf, ()), site.axis}}
        run = layers_in(self.found.forward, self.models[0], self._few)
        return tuple(layer.leaf for layer in run if (1 if layer.turned else 0) in written.get(layer.leaf, ()))

    @property
    def _few(self) -> torch.Tensor:
        return self.rows[:: max(1, len(self.rows) // _CERTIFIED)][:_CERTIFIED]
