"""The diagonal of the Fisher information of a classifier, by its own answers: no labels are needed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn.functional import log_softmax

from merging_core.evaluation.attention import PlainAttention
from merging_core.learning.batches import Source
from merging_core.learning.leaves import wide

__all__ = ["AT_ONCE", "EXAMPLES", "classes_at_once", "fisher_sums"]

Sums = dict[str, torch.Tensor]
AT_ONCE = 1 << 26
"""Numbers of gradients that are held at once, about."""
EXAMPLES = 4
"""Examples whose sums are one."""


def classes_at_once(size: int, classes: int) -> int:
    """Return of how many classes gradients are found together, for a model of so many numbers.

    >>> classes_at_once(1_000_000, 10), classes_at_once(87_000_000, 10)
    (10, 1)
    """
    return max(1, min(classes, AT_ONCE // max(1, size)))


def fisher_sums(source: Source, leaves: Mapping[str, torch.Tensor], rows: torch.Tensor, form: str) -> Sums:
    """Return the sum over examples of what the Fisher information is the mean of, by leaf, in float64.

    The squares of one example are added over its classes in float32.

    `exact`: Σ_c p_c·(∂ log p_c/∂θ)² of each example, over all its classes. `batch`, as MergeLM and FusionBench compute
    it: the square of the gradient of Σ √p_c·log p_c, added over examples and classes before it is squared; one
    gradient, and not the Fisher information, since products of different examples and classes are in it.
    Leaves that no answer depends on, and those of a task's own head, are absent.
    """
    own = {source.names[name] for name in source.names if source.names[name] in source.own}
    moved = {name: leaf.detach().requires_grad_() for name, leaf in leaves.items() if name not in own}
    sums: Sums = {}
    parts = torch.split(rows, len(rows) if form == "batch" else 1)
    with torch.enable_grad(), PlainAttention():
        for part in parts:
            output = source.found.forward(source.bound({**leaves, **moved}), source.task.prepared(part))
            head = source.task.head.to(rows.device).meeting(source.found.projected)
            logs = log_softmax(head.logits(output), dim=-1)
            roots = logs.detach().mul(0.5).exp()
            if form == "batch":
                gradients = torch.autograd.grad((roots * logs).sum(), list(moved.values()), allow_unused=True)
                _add_squares(sums, moved, gradients)
            else:
                _add_classes(sums, moved, logs[0], roots[0])
    return sums


def _add_classes(sums: Sums, moved: Mapping[str, torch.Tensor], logs: torch.Tensor, roots: torch.Tensor) -> None:
    """Add Σ_c (√p_c·∂ log p_c/∂θ)² of one example."""
    count = len(logs)
    seeds = torch.diag(roots)
    step = classes_at_once(sum(leaf.numel() for leaf in moved.values()), count)
    for start in range(0, count, step):
        gradients = torch.autograd.grad(
            logs,
            list(moved.values()),
            seeds[start : start + step],
            is_grads_batched=True,
            retain_graph=start + step < count,
            allow_unused=True,
        )
        _add_squares(sums, moved, gradients, batched=True)


def _add_squares(
    sums: Sums,
    moved: Mapping[str, torch.Tensor],
    gradients: tuple[torch.Tensor | None, ...],
    *,
    batched: bool = False,
) -> None:
    for name, gradient in zip(moved, gradients, strict=True):
        if gradient is None:
            continue
        squares = gradient.square()  # some gradients are parts of others
        found = wide(squares.sum(dim=0) if batched else squares)
        sums[name] = sums[name].add_(found) if name in sums else found
