"""Every study at its smallest: two or three perceptrons of the zoo, a task cut short, few points and few steps.

A new study adds its row to `PARAMS` where its defaults would take long, and to `MODELS` where it wants other models.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from merging_core.analysis.studies.contract import Study, StudyBench
from merging_core.analysis.studies.spec import StudySpec, parse_study
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.loading import load_task

__all__ = ["MODELS", "PARAMS", "REFS", "small_bench", "small_spec"]

PARAMS: dict[str, dict[str, object]] = {
    "plane": {"cells": 4},
    "interpolate": {"points": 4},
    "align": {"points": 5},
    "curve": {"points": 4, "steps": 3, "batch": 8},
    "bridge": {"points": 4, "nodes": 3, "steps": 3, "batch": 8, "fit": 24},
    "representations": {"batch": 14},
    "disentangle": {"steps": 2, "range": 1.0},
    "tangent": {"points": 4},
    "kernel": {"coefficients": 2, "examples": 3, "logits": 2},
    "mechanisms": {"keeps": "texture"},
    "subspace": {"points": 1, "tries": 3},
}
MODELS: dict[str, tuple[str, ...]] = {
    "align": ("zoo:basins/stranger-1", "zoo:basins/stranger-2"),
    "plane": ("zoo:basins/left", "zoo:basins/right", "zoo:basins/stranger-1"),
}

_BASE = "zoo:basins/start"
REFS = ("zoo:basins/left", "zoo:basins/right", "zoo:basins/stranger-1", "zoo:basins/stranger-2")
_EXAMPLES = 28
"""Examples of each split: more than a preview has."""


def small_bench(**changed: Any) -> StudyBench:
    """Return a bench over the zoo with its digits cut short; `changed`: fields of the bench."""
    zoo = load_zoo()
    task = load_task(zoo.task_folder("basins/digits"))
    splits = {
        name: replace(
            split,
            images=split.images[:_EXAMPLES],
            labels=None if split.labels is None else split.labels[:_EXAMPLES],
        )
        for name, split in task.splits.items()
    }
    made = StudyBench(LiveEngine(Catalog(zoo), "cpu"), Evaluator("cpu", workers=1), (replace(task, splits=splits),))
    return replace(made, **changed)


def small_spec(info: Study, **changed: object) -> StudySpec:
    """Return the specification of a study of as few models as it takes, two where it takes so many."""
    fewest, most = info.models
    count = max(fewest, min(2, most or 2))
    given = {
        "version": 1,
        "study": {"name": info.name, "params": PARAMS.get(info.name, {})},
        "base": _BASE,
        "models": list(MODELS.get(info.name, REFS[:count])),
        "tasks": ["basins/digits"],
    }
    return parse_study({**given, **changed})
