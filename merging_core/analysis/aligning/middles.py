"""What the train split says of the middle of two models: its loss, and the gradient of it."""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import Self

import numpy
import torch

from merging_core.alignment.observing import Weights
from merging_core.alignment.statistics import re_estimated
from merging_core.analysis.aligning.subject import Subject
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.spec import StudySpec
from merging_core.errors import PlanError, Problem
from merging_core.evaluation.architectures import names_in
from merging_core.evaluation.evaluator import parts_of
from merging_core.learning.batches import Gradient, TaskBatches

__all__ = ["Middles"]


class Middles:
    """What the tasks' train splits say of weights: a context, which lets go of its threads at the end.

    Raises EvaluationError with every task that cannot be learned from.
    """

    def __init__(self, spec: StudySpec, bench: StudyBench, subject: Subject) -> None:
        self._bench, self._subject = bench, subject
        batch = int(spec.params.number("batch"))
        config, tasks = subject.points.config, bench.tasks
        self._batches = TaskBatches(config, self._named, tasks, "train", "cross_entropy", batch, spec.seed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches.close()

    @cached_property
    def _named(self) -> Weights:
        return self._subject.points.weights(self._subject.points.flats[0])

    def slope(self, weights: Weights, step: int) -> tuple[float, dict[str, torch.Tensor]]:
        """Return the mean loss over tasks on the batches of a step, and its gradient; PlanError if not finite."""
        weights, spelled = self._ready(weights), names_in(self._subject.found, self._named)
        own = {name: spelt for name, spelt in spelled.items() if spelt in self._named}
        found: Gradient | None = None
        for gradient in self._batches.gradient(self._subject.unbound(weights), step, set(own.values())):
            self._bench.heed()
            found = gradient
        if found is None:
            raise ValueError("a step has a gradient")
        share = 1.0 / len(found.losses)
        slopes = {name: found.leaves[spelt] * share for name, spelt in own.items() if spelt in found.leaves}
        if not all(bool(torch.isfinite(leaf).all()) for leaf in slopes.values()):
            raise PlanError(Problem("the gradient is finite", "one that is not", f"step {step + 1}"))
        return sum(found.losses) * share, slopes

    def judge(self, weights: Weights) -> float:
        """Return the mean loss over tasks on the whole train splits."""
        bench, subject = self._bench, self._subject
        parts = parts_of(bench.tasks, "train", "full")
        leaves = subject.unbound(self._ready(weights))
        scores = bench.evaluator.scores(subject.points.config, leaves, parts, bench.cancelled)
        return float(numpy.mean([score.losses.mean(dtype=numpy.float64) for score in scores]))

    def _ready(self, weights: Weights) -> Weights:
        """Return the weights with running statistics of their own, where they have any."""
        subject = self._subject
        if not subject.found.statistics:
            return weights
        return re_estimated(
            subject.found.forward, weights, subject.models, subject.rows, subject.found.statistics
        ).weights
