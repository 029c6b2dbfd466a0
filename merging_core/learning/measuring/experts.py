"""The experts of a run with the examples that they are measured on, each with its own task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from merging_core.checkpoints.dtypes import is_floating
from merging_core.engines.measured import About
from merging_core.engines.plan import Plan
from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.heads import PrototypeHead
from merging_core.evaluation.tasks import AnyTask
from merging_core.learning.batches import Source, rows_of_batch, sources
from merging_core.learning.measuring.keeping import data_digest
from merging_core.learning.spec import LearnSpec

__all__ = ["Examined", "examined", "weights_of_expert"]


@dataclass(frozen=True, eq=False)
class Examined:
    """One expert's examples, and of what statistics of them are."""

    source: Source
    rows: torch.Tensor
    """The chosen rows of input, in the order in which they are looked at."""
    about: About

    @property
    def n(self) -> int:
        """How many examples there are."""
        return len(self.rows)


def examined(  # noqa: PLR0913
    spec: LearnSpec,
    plan: Plan,
    tasks: Sequence[AnyTask],
    kind: Literal["fisher", "gram"],
    form: str,
    device: torch.device,
) -> tuple[Examined, ...]:
    """Choose the examples of every expert: as many as the steps' batches hold, or all that the split has.

    The task at a place is that of the expert at the same place; a single task is that of all. Which examples they are
    follows from the seed and the task's name. Raises EvaluationError where a task cannot be learned from, or not every
    expert has one.
    """
    experts = plan.survey.experts
    tasks = tuple(tasks) * (len(experts) if len(tasks) == 1 else 1)
    if len(tasks) != len(experts):
        must, got = (
            "each expert is measured on a task of its own, in the same order",
            f"{len(tasks)} for {len(experts)}",
        )
        raise EvaluationError(Problem(must, got, "tasks", "name one task for each model"))
    found = []
    for source, expert in zip(
        sources(plan.survey.reference.config, _shapes(plan, device), tasks, spec.split, "entropy", device),
        experts,
        strict=True,
    ):
        count = min(len(source.inputs), spec.steps * spec.batch)
        rows = source.inputs[rows_of_batch(len(source.inputs), count, 0, spec.seed, source.task.name)]
        head: dict[str, torch.Tensor | float] = dict(source.own)
        if isinstance(source.task.head, PrototypeHead):
            head |= {"prototypes": source.task.head.prototypes, "scale": source.task.head.scale}
            if source.task.head.projection is not None:
                head["projection"] = source.task.head.projection
        about = About(
            kind=kind,
            form=form,
            expert=expert.content(),
            task=source.task.name,
            split=spec.split,
            n=count,
            seed=spec.seed,
            data=data_digest(rows, head),
        )
        found.append(Examined(source, rows, about))
    return tuple(found)


def weights_of_expert(plan: Plan, place: int, device: torch.device) -> Mapping[str, torch.Tensor]:
    """Return the merged leaves of one expert by name, float32, and what is taken over; raises as reading does."""
    space, reference = plan.space, plan.survey.reference
    views = space.views(space.flat(plan.survey.experts[place], device))
    copied = {leaf.name: reference.read(leaf.name) for leaf in space.copied if is_floating(leaf.dtype)}
    return {**views, **{name: leaf.to(device=device, dtype=torch.float32) for name, leaf in copied.items()}}


def _shapes(plan: Plan, device: torch.device) -> dict[str, torch.Tensor]:
    """Return leaves that have names and shapes and next to no memory."""
    one = torch.zeros((), device=device)
    merged = {leaf.name: one.expand(leaf.shape) for leaf in plan.space.leaves}
    return merged | {leaf.name: one.expand(leaf.shape) for leaf in plan.space.copied if is_floating(leaf.dtype)}
