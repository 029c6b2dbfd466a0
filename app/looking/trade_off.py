"""What one expert gains on its own task and loses on the others: along LiNeS' γ, and along WiSE-FT's α beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.families import Expert, Family
from app.looking.looks import SPLIT
from app.studio.memo import Memo
from app.studio.messages import MessageError
from app.studio.workbench import Cancelled, FamilyTask, Models, Numbers
from merging_core.errors import CancelledError, Problem, closest
from merging_core.evaluation.intervals import average_interval, wilson
from merging_core.evaluation.report import Subset
from merging_core.evaluation.subsets import PREVIEW
from merging_core.recipes import Recipe, parse_recipe

__all__ = ["CURVES", "STEPS", "TradeOffs"]

STEPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CURVES = ("lines_gamma", "wise_ft")
_KEPT = 4096
_SECONDS = 0.4


@dataclass(frozen=True)
class _Count:
    right: int
    n: int


class TradeOffs:
    """Measures trade-offs, one task of one model at a time, and keeps what it measured by the content of both models.

    `seconds`: how long one request may take before it answers with what it has; whoever wants all asks again.
    """

    def __init__(self, models: Models, *, seconds: float = _SECONDS) -> None:
        self._models = models
        self._seconds = seconds
        self._counts: Memo[_Count] = Memo(_KEPT)

    def measure(self, family: Family, expert_ref: str, subset: Subset, cancelled: Cancelled) -> Numbers:
        """Return the points that are known (see docs/architecture.md), at least one more than before.

        Raises: `MessageError` if there is nothing to hold the expert against.
        """
        expert, target, controls = self._asked(family, expert_ref)
        pair = self._pair(family, expert)
        until = time.monotonic() + self._seconds
        fresh = 0
        for curve in CURVES:
            for step in STEPS:
                for task in (target, *controls):
                    key = (*pair, *_key(curve, step), task.name, subset)
                    if self._counts.known(key) is not None:
                        continue
                    if fresh and cancelled():
                        raise CancelledError(Problem("points are measured while they are wanted", "a newer request"))
                    if fresh and time.monotonic() > until:
                        return self._numbers(family, expert, pair, target, controls, subset)
                    self._counts.keep(key, self._count(_recipe(family, expert, curve, step), task, subset))
                    fresh += 1
        return self._numbers(family, expert, pair, target, controls, subset)

    def _pair(self, family: Family, expert: Expert) -> tuple[str, ...]:
        """Open base and expert for the caller and return their contents."""
        refs = (family.base, expert.ref)
        return tuple(self._models.engine.opened(ref, family.base).content() for ref in refs if ref is not None)

    def _asked(self, family: Family, ref: str) -> tuple[Expert, FamilyTask, list[FamilyTask]]:
        known = {expert.ref: expert for expert in family.experts}
        if ref not in known:
            fix = closest(ref[:80], known)
            raise MessageError(Problem(f"the expert is one of {family.title}", ref[:80], "message.expert", fix))
        expert, tasks = known[ref], self._models.tasks_of(family)
        target = next((task for task in tasks if task.name == expert.task), None)
        controls = [task for task in tasks if task.name != expert.task]
        if family.base is None or target is None or not controls:
            must = "an expert has a base, a task of its own and other tasks to hold it against"
            raise MessageError(Problem(must, f"{len(tasks)} task", family.title, "choose a family with several tasks"))
        return expert, target, controls

    def _count(self, recipe: Recipe, task: FamilyTask, subset: Subset) -> _Count:
        merged = self._models.engine.merge(recipe)
        config = merged.plan.survey.reference.config
        score = self._models.evaluator.evaluate(config, merged.weights, [task], SPLIT, subset).tasks[0]
        return _Count(int(score.correct.sum()), score.n)

    def _numbers(  # noqa: PLR0913
        self,
        family: Family,
        expert: Expert,
        pair: tuple[str, ...],
        target: FamilyTask,
        controls: Sequence[FamilyTask],
        subset: Subset,
    ) -> Numbers:
        tasks = [target, *controls]
        curves: dict[str, list[Numbers]] = {}
        for curve in CURVES:
            curves[curve] = []
            for step in STEPS:
                place = (*pair, *_key(curve, step))
                counts = [self._counts.known((*place, task.name, subset)) for task in tasks]
                found = [count for count in counts if count is not None]
                if len(found) == len(tasks):
                    curves[curve].append(_point(step, found))
        sizes = [
            len(task.labels(SPLIT)) if subset == "full" else min(PREVIEW, len(task.labels(SPLIT))) for task in tasks
        ]
        return {
            "family": family.name,
            "expert": {"ref": expert.ref, "title": expert.title, "colour": expert.colour},
            "target": family.title_of_task(target.name, target.title),
            "controls": [family.title_of_task(task.name, task.title) for task in controls],
            "split": SPLIT,
            "subset": subset,
            "n": {"target": sizes[0], "controls": sum(sizes[1:])},
            "complete": all(len(points) == len(STEPS) for points in curves.values()),
            "curves": curves,
        }


def _key(curve: str, step: float) -> tuple[str, float]:
    """Return where a point is kept: at 1 both curves stand at the expert itself."""
    return ("lines_gamma" if step == 1.0 else curve, step)


def _recipe(family: Family, expert: Expert, curve: str, step: float) -> Recipe:
    """LiNeS with α = γ and β = 1 − γ on the expert's task vector; WiSE-FT is θ₀ + α·τ."""
    document: dict[str, Any] = {
        "version": 1,
        "base": family.base,
        "models": [{"ref": expert.ref}],
        "method": {"name": "task_arithmetic"},
        "lambda": 1.0 if curve == "lines_gamma" else step,
    }
    if curve == "lines_gamma":
        document["layer_scaling"] = {"kind": "lines_gamma", "gamma": step}
    return parse_recipe(document)


def _point(step: float, counts: Sequence[_Count]) -> Numbers:
    target, controls = counts[0], counts[1:]
    right, sizes = [count.right for count in controls], [count.n for count in controls]
    return {
        "at": step,
        "target": target.right / target.n,
        "target_interval": list(wilson(target.right, target.n)),
        "control": sum(count.right / count.n for count in controls) / len(controls),
        "control_interval": list(average_interval(right, sizes)),
    }
