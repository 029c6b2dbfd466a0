"""Reports, paths and layer statistics as the plain numbers that the page draws (docs/architecture.md lists them)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.families import Family
from app.state import StudioState
from app.studio.workbench import Correct, FamilyTask, Numbers
from merging_core.engines.layer_stats import LayerStats
from merging_core.evaluation.intervals import difference, pair_counts
from merging_core.evaluation.paths import Path, barrier
from merging_core.evaluation.report import Report, TaskScore
from merging_core.methods.registry import method
from merging_core.methods.varying import Varying
from merging_core.recipes import Recipe
from merging_core.scaling.registry import factors as factors_of

__all__ = ["References", "accuracy_numbers", "correct_of", "difference_numbers", "layer_numbers", "path_numbers"]


@dataclass(frozen=True, eq=False)
class References:
    """What a merge is held against, on one split and subset; all experts of the family take part."""

    base: Report
    average: Report
    """The mean of the experts' weights."""
    ensemble: Report
    """The mean of the experts' outputs."""
    experts: Mapping[str, TaskScore]
    """Per task, the expert that was fine-tuned on it."""

    def of_task(self, task: str) -> dict[str, float | None]:
        """Return the four accuracies of one task."""
        expert = self.experts.get(task)
        reports = {"base": self.base, "average": self.average, "ensemble": self.ensemble}
        found: dict[str, float | None] = {name: _accuracy(report, task) for name, report in reports.items()}
        return {**found, "expert": expert.accuracy if expert else None}

    def of_average(self) -> dict[str, float | None]:
        """Return the four averages over tasks; none for the experts unless every task has one."""
        scores = [self.experts[score.task] for score in self.base.tasks if score.task in self.experts]
        whole = len(scores) == len(self.base.tasks)
        experts = sum(score.accuracy for score in scores) / len(scores) if whole else None
        return {
            "base": self.base.average,
            "average": self.average.average,
            "ensemble": self.ensemble.average,
            "expert": experts,
        }


def accuracy_numbers(report: Report, references: References, family: Family) -> Numbers:
    """Return a report beside its references."""
    plain: dict[str, Any] = report.as_json()
    tasks = [
        {
            **task,
            "title": family.title_of_task(task["task"], task["title"]),
            "colour": family.colour_of_task(task["task"]),
            "references": references.of_task(task["task"]),
            "pinned": None,
        }
        for task in plain["tasks"]
    ]
    average = {**plain["average"], "references": references.of_average(), "pinned": None}
    return {**plain, "tasks": tasks, "average": average}


def correct_of(report: Report) -> dict[str, NDArray[np.bool_]]:
    """Return which examples were right, in the order of the split itself."""
    return {score.task: score.correct[np.argsort(score.examples)] for score in report.tasks}


def difference_numbers(a: Correct, b: Correct, titles: Mapping[str, str]) -> Numbers:
    """Return second − first, per task and on average, by paired bootstrap.

    Raises: `EvaluationError` if they were not measured on the same examples.
    """
    pairs = {task: pair_counts(b[task], a[task]) for task in a if task in b}
    rows = []
    for task, pair in pairs.items():
        found = difference([pair])
        row = {"task": task, "title": titles.get(task, task), "n": int(a[task].size)}
        rows.append({**row, "difference": found.value, "interval": list(found.interval)})
    whole = difference(list(pairs.values()))
    n = sum(int(a[task].size) for task in pairs)
    return {"tasks": rows, "average": {"difference": whole.value, "interval": list(whole.interval), "n": n}}


def path_numbers(path: Path, state: StudioState, family: Family, tasks: Sequence[FamilyTask]) -> Numbers:
    """Return a path with its barriers, named after what lies at its ends."""
    plain: dict[str, Any] = path.as_json()
    if state.path.kind == "lambda":
        start = "base" if state.recipe.base else "λ = 0"
        ends = {"a": start, "b": f"λ = {path.range[1]:g}"}
    else:
        ends = {"a": family.title_of(state.path.a or ""), "b": family.title_of(state.path.b or "")}
    rows = [
        {
            "task": task.name,
            "title": family.title_of_task(task.name, task.title),
            "colour": family.colour_of_task(task.name),
        }
        for task in tasks
    ]
    found = {
        split: {metric: barrier(path, split, metric).as_json() for metric in ("loss", "error")} for split in path.splits
    }
    return {**plain, "kind": state.path.kind, **ends, "tasks": rows, "barrier": found}


def layer_numbers(stats: LayerStats, state: StudioState, family: Family) -> Numbers:
    """Return layer statistics with the factors λ(ℓ) apart from λ, and the points by which they can be dragged."""
    recipe = state.recipe
    factors = _factors(stats, recipe)
    inside = [place for place, depth in enumerate(stats.depths) if depth.index is not None]
    one_stack = len({stats.depths[place].stack for place in inside}) == 1
    masked = recipe.mask.kind != "none" or bool(method(recipe.method.name).owned_mask)
    alpha = recipe.layer_scaling.params.get("alpha")
    if alpha is None and recipe.layer_scaling.kind == "lines" and inside:
        alpha = factors[inside[0]]
    experts = [
        {
            "ref": entry.ref,
            "title": family.title_of(entry.ref),
            "colour": family.colour_of(entry.ref),
            "norms": list(norms),
        }
        for entry, norms in zip(recipe.models, stats.norms, strict=True)
    ]
    return {
        "depths": list(stats.labels),
        "factors": factors,
        "kept": [list(row) for row in stats.density] if masked else None,
        "conflict": list(stats.sign_conflict),
        "merged_norms": list(stats.merged_norms),
        "experts": experts,
        "cosines": [list(row) for row in stats.cosines],
        "scaling": {
            "kind": recipe.layer_scaling.kind,
            "points": [{"index": place, "value": factors[place]} for place in inside],
            "draggable": one_stack and len(inside) > 1 and None not in factors,
        },
        "alpha": alpha,
    }


def _factors(stats: LayerStats, recipe: Recipe) -> list[float | None]:
    """Return λ(ℓ) at each depth; the engine's factors hold λ too.

    They say nothing where λ is 0, or differs from leaf to leaf, and α follows a rule.
    """
    if not isinstance(recipe.lambda_, Varying) and recipe.lambda_ != 0.0:
        return [factor / recipe.lambda_ for factor in stats.factors]
    if recipe.layer_scaling.params.get("alpha_rule", "value") != "value":
        return [None] * len(stats.factors)
    return list(factors_of(recipe.layer_scaling, stats.depths))


def _accuracy(report: Report, task: str) -> float | None:
    return next((score.accuracy for score in report.tasks if score.task == task), None)
