"""Splits ready to be run: rows, labels and examples on a device, in the order of evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray

from merging_core.evaluation.heads import Head
from merging_core.evaluation.tasks import AnyTask

__all__ = ["PREPARED_BYTES", "Deck", "deck_of", "prepared_first"]

PREPARED_BYTES = 1 << 26
"""A split whose prepared pictures are larger is kept in 8 bits and prepared batch by batch."""


@dataclass(frozen=True, eq=False)
class Deck:
    """A split on the device, in the order of evaluation. `ready`: its rows are what a model takes already."""

    inputs: torch.Tensor
    labels: torch.Tensor
    examples: NDArray[numpy.int64]
    head: Head
    ready: bool


def deck_of(task: AnyTask, split: str, device: torch.device) -> Deck:
    """Return a split of a task on a device."""
    labels, rows = task.labels(split), task.inputs(split)
    order = torch.tensor(task.splits[split].order, dtype=torch.int64)
    ready = rows.dim() != 4 or rows.numel() * 4 <= PREPARED_BYTES
    inputs = task.prepared(rows).contiguous() if ready else rows
    return Deck(inputs.to(device), labels[order].to(device), order.numpy(), task.head.to(device), ready)


def prepared_first(
    function: Callable[[torch.Tensor], torch.Tensor],
    prepared: Callable[[torch.Tensor], torch.Tensor],
    rows: torch.Tensor,
) -> torch.Tensor:
    """Return a function of rows that are prepared first."""
    return function(prepared(rows))
