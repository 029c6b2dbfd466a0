"""A run that makes a recipe: coefficients and masks of a merge, learned on resident task vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from merging_core.engines.pricing import amount, available_memory
from merging_core.errors import PlanError, Problem
from merging_core.learning.contract import Draw, Ground
from merging_core.learning.descent import Descent, Standing
from merging_core.learning.events import Finished
from merging_core.learning.memory import peak_bytes
from merging_core.learning.spec import LearnSpec
from merging_core.learning.state import State

if TYPE_CHECKING:
    from merging_core.learning.runs import Bench

__all__ = ["Session", "check_memory"]


class Session(Descent):
    """One run of learning on checkpoints that are opened, tasks that are loaded, and a device.

    The bench's store takes the learned tensors at the end; the engine's catalog must find them there. With `state` it
    goes on from where an earlier session stood.
    Raises as planning and reading do, EvaluationError where a task cannot be learned from, PlanError where the state
    is of another specification or of other models, or the run does not fit the memory of its device.
    """

    def __init__(self, spec: LearnSpec, bench: Bench, state: State | None = None) -> None:
        engine, recipe = bench.engine, spec.recipe()
        size = engine.plan(recipe).space.size
        check_memory(peak_bytes(spec.info, size, len(spec.models), spec.params), engine.device)
        plan, base, vectors = engine.parts(recipe)
        ground = Ground(plan.space, base, vectors, spec.params, spec.seed)
        models = tuple(checkpoint.content() for checkpoint in plan.survey.checkpoints)
        super().__init__(spec, bench, Standing(ground, plan.survey.reference.config, models), state)

    def _finished(self, stopped: bool) -> Finished:
        step, kept = self._kept()
        with torch.no_grad():
            tensors = self._learnable.tensors(kept, self._settled(step))
            before = self._learnable.merged(self._learnable.start(), Draw(0, settled=True))
        recipe = self.spec.recipe(str(self.bench.store.keep(tensors)))
        merged = self.bench.engine.merge(recipe)
        return Finished(
            step=self._step,
            kept_step=step,
            recipe=recipe,
            hash=merged.hash,
            before=self._report(before, "full"),
            after=self._report(merged.weights, "full"),
            split=self.spec.split,
            transductive=self.spec.transductive,
            seen=self.spec.seen,
            chosen_by=self.spec.chosen_by,
            stopped=stopped,
            seconds=self._seconds,
            robust=self._attacked(before, merged.weights),
        )


def check_memory(needed: int, device: torch.device) -> None:
    """Raise PlanError where what a run holds, activations aside, does not fit the device."""
    memory = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else available_memory()
    if memory is not None and needed > memory:
        must = f"a run of learning fits the {amount(memory)} of memory of its device"
        raise PlanError(Problem(must, amount(needed), "memory", "use fewer experts, or a larger machine"))
