"""Results for the tests: small, whole, and different where a test says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.library.result import Result
from app.studio import pairs
from merging_core.recipes import parse_recipe, recipe_hash

TASKS = ("tiny/digits", "tiny/letters")
N = 8


def result(
    lambda_: float = 0.3, *, right: tuple[int, int] = (6, 4), method: str = "task_arithmetic", **more: Any
) -> Result:
    """Two tasks of eight examples, of which so many are right."""
    recipe = parse_recipe(
        {
            "version": 1,
            "base": "zoo:tiny/base",
            "models": [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/letters"}],
            "method": {"name": method},
            "lambda": lambda_,
        }
    )
    refs = ("zoo:tiny/base", "zoo:tiny/digits", "zoo:tiny/letters")
    pins = {ref: f"{ref}@0123456789abcdef" for ref in refs}
    bits = {task: np.arange(N) < count for task, count in zip(TASKS, right, strict=True)}
    fields: dict[str, Any] = {
        "family": "tiny",
        "label": f"{method}, λ {lambda_:g}",
        "recipe": recipe.as_json(),
        "pins": pins,
        "hash": recipe_hash(recipe, pins),
        "evaluation": "e" * 64,
        "environment": {"basin": "0.1.0", "device": "cpu", "torch": "2.13.0"},
        "measured": "2026-01-02T03:04:05Z",
        "accuracy": accuracy(right),
        "path": None,
        "layers": None,
        "correct": pairs.pack(bits),
    }
    return Result(**{**fields, **more})


def accuracy(right: tuple[int, int], split: str = "validation") -> dict[str, Any]:
    """Numbers as a result keeps them."""
    references = {"base": 0.25, "expert": 1.0, "average": 0.5, "ensemble": None}
    tasks = [
        {
            "accuracy": count / N,
            "interval": [max(0.0, count / N - 0.25), min(1.0, count / N + 0.25)],
            "loss": 0.5,
            "task": task,
            "title": task.partition("/")[2].title(),
            "colour": place,
            "n": N,
            "references": references,
        }
        for place, (task, count) in enumerate(zip(TASKS, right, strict=True))
    ]
    mean = sum(right) / N / 2
    return {
        "split": split,
        "subset": "full",
        "n": 2 * N,
        "partial": False,
        "transductive": False,
        "tasks": tasks,
        "average": {
            "accuracy": mean,
            "interval": [max(0.0, mean - 0.2), min(1.0, mean + 0.2)],
            "loss": 0.5,
            "references": references,
        },
        "normalised": {"value": mean, "interval": [mean - 0.2, mean + 0.2]},
    }
