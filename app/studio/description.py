"""What the page must know before its first request: what can be chosen, and within which bounds."""

from __future__ import annotations

import math
from typing import Any

import torch

from app.families import Family
from merging_core.checkpoints import Checkpoint
from merging_core.checkpoints.adapter_facts import adapter_facts
from merging_core.evaluation.tasks import Task
from merging_core.evaluation.text_tasks import TextClassification
from merging_core.masks.registry import masks
from merging_core.methods.registry import methods
from merging_core.recipes.recipe import DTYPE, SEED, WEIGHT, lambda_parameter
from merging_core.scaling.registry import scalings

__all__ = ["describe_adapter", "describe_checkpoint", "describe_family", "describe_task", "device_name", "registry"]


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


def describe_task(task: Task | TextClassification) -> dict[str, Any]:
    """Return what the page shows of a task: classes, and how many examples each split holds.

    `image_size` is None for a task of texts, `channels` 0.
    """
    return {
        "name": task.name,
        "title": task.title,
        "description": task.description,
        "classes": list(task.classes),
        "image_size": task.image_size if isinstance(task, Task) else None,
        "channels": task.channels if isinstance(task, Task) else 0,
        "splits": {name: len(split) for name, split in task.splits.items()},
        "source": task.source,
        "licence": task.licence,
    }


def device_name(device: torch.device) -> str:
    """Return what the header says of the device.

    >>> device_name(torch.device("cpu"))[:3]
    'CPU'
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else f"CPU, {torch.get_num_threads()} threads"


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


def describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the page shows of an open checkpoint: architecture, number of scalars and of leaves, bytes."""
    leaves = checkpoint.leaves.values()
    architectures = checkpoint.config.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else ""
    return {
        "ref": str(checkpoint.ref),
        "label": checkpoint.label,
        "architecture": named if isinstance(named, str) else "",
        "parameters": sum(math.prod(leaf.shape) for leaf in leaves),
        "leaves": len(leaves),
        "bytes": sum(leaf.nbytes for leaf in leaves),
        "adapter": describe_adapter(checkpoint),
    }


def describe_adapter(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """Return what the page shows of a LoRA adapter: ranks, targets, and the base that it names; else None."""
    facts = adapter_facts(checkpoint)
    return facts.as_json() if facts is not None else None
