"""What questions about task vectors stand on: the base and its models as points, their tasks, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.measuring import scores_at
from merging_core.analysis.studies.memory import Arrays, Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.checkpoints.ref import parse_ref
from merging_core.engines.points import Points, points_of
from merging_core.errors import Problem, RecipeError
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part, parts_of
from merging_core.evaluation.report import Subset
from merging_core.evaluation.tangents import Tangents
from merging_core.evaluation.tasks import AnyTask

__all__ = ["Classes", "Ground", "classes_of", "ground_of", "grown", "runs_of"]

Classes = NDArray[numpy.int32]
"""The class that a model gives each example; −1 where it answers nothing."""
_RUN = 64
"""So many examples are differentiated at a time, about."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Task vectors of models at their base, and what was measured of them on one split."""

    spec: StudySpec
    bench: StudyBench
    memory: Memory
    points: Points
    """The base first, then the models in their order."""

    @property
    def split(self) -> str:
        """The split that is looked at."""
        return self.spec.splits[0]

    @property
    def passes(self) -> tuple[Subset, ...]:
        """The subsets that are measured one after the other."""
        return ("preview",) if self.spec.subset == "preview" else ("preview", "full")

    @property
    def labels(self) -> list[str]:
        """What each model is called: its reference, or that it is a merge."""
        return [model if isinstance(model, str) else "merge" for model in self.spec.models]

    def parts(self, tasks: Sequence[AnyTask], subset: Subset) -> tuple[Part, ...]:
        """Return the part of each task that a subset holds."""
        return parts_of(tasks, self.split, subset)

    def weights(self, *shares: float) -> Weights:
        """Return θ₀ + Σ shareᵢ·τᵢ; models without a share stay out."""
        padded = (*shares, *[0.0] * (len(self.spec.models) - len(shares)))
        return self.points.weights(self.points.mixed((1.0 - sum(padded), *padded)))

    def vector(self, *shares: float) -> Weights:
        """Return Σ shareᵢ·τᵢ, leaf by leaf."""
        padded = (*shares, *[0.0] * (len(self.spec.models) - len(shares)))
        flat = self.points.mixed((-sum(padded), *padded))
        return self.points.space.views(flat)

    def truths(self, parts: Sequence[Part]) -> list[NDArray[numpy.int64]]:
        """Return the true classes of each part's examples."""
        orders = [torch.tensor(part.task.splits[part.split].order[: part.stop]) for part in parts]
        return [
            part.task.labels(part.split)[order].numpy().astype(numpy.int64)
            for part, order in zip(parts, orders, strict=True)
        ]

    def has(self, name: str, parts: Sequence[Part]) -> bool:
        """Say whether all of these parts were measured under a name."""
        found = [(self.memory.get(_key(name, part)), part.stop) for part in parts]
        return all(known is not None and len(next(iter(known.values()))) >= stop for known, stop in found)

    def classes_at(self, name: str, weights: Callable[[], Weights], parts: Sequence[Part]) -> list[Classes]:
        """Return the class that a model gives each example of parts; only what is missing is measured."""

        def measured(missing: list[Part]) -> list[Arrays]:
            evaluator, config = self.bench.evaluator, self.points.config
            answers = evaluator.answers(config, weights(), missing, self.bench.cancelled)
            return [{"classes": classes_of(answer.logits)} for answer in answers]

        return [found["classes"].astype(numpy.int32) for found in grown(self.memory, name, parts, measured)]

    def tangents(self, vector: Weights, parts: Sequence[Part]) -> tuple[Tangents, ...]:
        """Return what the base gives for parts and its derivative along a vector."""
        return self.bench.evaluator.tangents(self.points.config, self.weights(), vector, parts, self.bench.cancelled)

    def own_tasks(self, count: int) -> list[AnyTask]:
        """Return the task of each of the first models.

        Where all are called as tasks are, as in the zoo, names tell. Else it is the task on which a model most lowers
        the base's loss, by the preview, and each task is taken once where there are as many.
        """
        tasks = self.bench.tasks
        named = {task.name: task for task in tasks}
        refs = [parse_ref(model).path if isinstance(model, str) else "" for model in self.spec.models[:count]]
        if len({ref for ref in refs if ref in named}) == count:
            return [named[ref] for ref in refs]
        parts = self.parts(tasks, "preview")
        base, *models = [self.losses_at(place, parts) for place in range(count + 1)]
        gains = numpy.nan_to_num(numpy.subtract(base, models), nan=-1e9, posinf=1e9, neginf=-1e9)
        if len(tasks) < count:
            return [tasks[int(place)] for place in gains.argmax(axis=1)]
        _, columns = linear_sum_assignment(gains, maximize=True)
        return [tasks[int(place)] for place in columns]

    def losses_at(self, place: int, parts: Sequence[Part]) -> list[float]:
        """Return the mean loss of the base (0) or a model (1 and on) on each part."""
        shares = [float(place == model + 1) for model in range(len(self.spec.models))]
        weights, config = partial(self.weights, *shares), self.points.config
        found = scores_at(self.bench, self.memory, config, f"model {place}", weights, parts)
        return [score.loss for score in found]


def ground_of(spec: StudySpec, bench: StudyBench, memory: Memory) -> Ground:
    """Open base and models; raises RecipeError for more than one split, and as `points_of` does."""
    if len(spec.splits) != 1:
        must = f"{spec.info.title} is measured on one split"
        raise RecipeError(Problem(must, ", ".join(spec.splits), "splits", "name one of them"))
    if spec.base is None:
        raise RecipeError(Problem("task vectors have a base", "none", "base", "name a base"))
    return Ground(spec, bench, memory, points_of(bench.engine, (spec.base, *spec.models), spec.base))


def grown(
    memory: Memory, name: str, parts: Sequence[Part], measured: Callable[[list[Part]], Sequence[Arrays]]
) -> list[Arrays]:
    """Return arrays with a row for each example of parts that begin at the first; only what is missing is measured.

    `measured(parts)` gives the arrays of each of these parts.
    """
    keys = [_key(name, part) for part in parts]
    before = [memory.get(key) for key in keys]
    sizes = [0 if found is None else len(next(iter(found.values()))) for found in before]
    places = [place for place, part in enumerate(parts) if sizes[place] < part.stop]
    if places:
        missing = [replace(parts[place], start=sizes[place]) for place in places]
        for place, new in zip(places, measured(missing), strict=True):
            old = before[place]
            joined = new if old is None else {field: numpy.concatenate((old[field], new[field])) for field in new}
            memory.put(keys[place], **joined)
    return [
        {field: array[: part.stop] for field, array in (memory.get(key) or {}).items()}
        for key, part in zip(keys, parts, strict=True)
    ]


def runs_of(parts: Sequence[Part], examples: int = _RUN) -> list[tuple[Part, ...]]:
    """Cut parts into runs of so many more examples each, about, the last of which is all."""
    longest, step = max(part.stop for part in parts), max(4, examples // len(parts))
    stops = [*range(step, longest, step), longest]
    return [tuple(replace(part, stop=min(stop, part.stop)) for part in parts) for stop in stops]


def _key(name: str, part: Part) -> str:
    return f"{name}|{part.task.name}|{part.split}"


def classes_of(logits: torch.Tensor) -> Classes:
    """Return the class of the largest logit of each row; −1 where a logit is not finite.

    >>> classes_of(torch.tensor([[1.0, 2.0], [float("nan"), 0.0]])).tolist()
    [1, -1]
    """
    with torch.inference_mode():
        finite = torch.isfinite(logits).all(dim=-1)
        found = torch.where(finite, logits.argmax(dim=-1), -1)
    return found.cpu().numpy().astype(numpy.int32)
