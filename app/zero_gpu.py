"""ZeroGPU: a GPU that is lent to a Space for a moment. Sliders stay on the CPU; a settled merge may be measured there.

`spaces` runs the decorated function in a process of its own: what goes in and comes out is pickled, and nothing else
comes back. When no GPU can be had (a quota is spent, the queue is long), the CPU does the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.report import Report
from merging_core.evaluation.tasks import AnyTask

__all__ = ["Lent", "lent_gpu", "measured_there"]

Lent = Callable[[Mapping[str, Any], Weights, Sequence[AnyTask], str], Report | None]
"""(config, weights, tasks, split) -> the report of the whole split, or None where no GPU was to be had."""

SECONDS = 30
"""For which a GPU is asked; shorter requests wait less."""
_LOG = logging.getLogger("basin")


def lent_gpu() -> Lent:
    """Return what measures on a lent GPU. Call it before anything touches CUDA: `spaces` is imported here."""
    import spaces  # type: ignore[import-not-found]  # only where it is installed and asked for
    from gradio.exceptions import Error

    lent = spaces.GPU(measured_there, duration=SECONDS)

    def measure(config: Mapping[str, Any], weights: Weights, tasks: Sequence[AnyTask], split: str) -> Report | None:
        plain = {name: tensor.detach().cpu() for name, tensor in weights.items()}
        try:
            report: Report = lent(dict(config), plain, tuple(tasks), split)
        except (Error, RuntimeError, OSError) as error:
            _LOG.warning("no GPU was lent (%s); the CPU measures", type(error).__name__)
            return None
        return report

    return measure


def measured_there(config: dict[str, Any], weights: Weights, tasks: tuple[AnyTask, ...], split: str) -> Report:
    """Measure a merge on the whole split, on CUDA where it is there."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = {name: tensor.to(device) for name, tensor in weights.items()}
    return Evaluator(device).evaluate(config, there, tasks, split, "full")
