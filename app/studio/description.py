"""What the page must know before its first request: what can be chosen, and within which bounds."""

from __future__ import annotations

from typing import Any

from app.families import Family
from merging_core.masks.registry import masks
from merging_core.methods.registry import methods
from merging_core.recipes.recipe import DTYPE, SEED, WEIGHT, lambda_parameter
from merging_core.scaling.registry import scalings

__all__ = ["describe_family", "registry"]


def registry() -> dict[str, Any]:
    """Return every method, mask and layer scaling with its parameters, and the numbers that all recipes share."""
    return {
        "methods": [info.as_json() for info in methods()],
        "masks": [info.as_json() for info in masks()],
        "scalings": [info.as_json() for info in scalings()],
        "recipe": {
            "weight": WEIGHT.as_json(),
            "lambda": lambda_parameter(1.0).as_json(),
            "seed": SEED.as_json(),
            "dtype": DTYPE.as_json(),
        },
    }


def describe_family(family: Family) -> dict[str, Any]:
    """Return what the page shows of a family; experts keep the place that gives their colour."""
    return {
        "name": family.name,
        "title": family.title,
        "description": family.description,
        "base": family.base,
        "experts": [
            {
                "ref": expert.ref,
                "title": expert.title,
                "description": expert.description,
                "colour": expert.colour,
                "task": expert.task,
            }
            for expert in family.experts
        ],
        "tasks": list(family.tasks),
    }
