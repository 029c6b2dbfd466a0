"""Per-example metrics."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

__all__ = ["correct", "losses"]


def correct(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return for each example whether its label has the largest logit; bool `[n]`.

    The first of equal logits counts. An example with a logit that is not finite is wrong: such a model answers nothing.

    `logits`: `[n, classes]`; `labels`: `[n]`.

    >>> correct(torch.tensor([[2.0, 1.0], [0.0, float("nan")]]), torch.tensor([0, 0])).tolist()
    [True, False]
    """
    return (logits.argmax(dim=-1) == labels) & torch.isfinite(logits).all(dim=-1)


def losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy −log softmax(logits)[label] of each example, in nats; `[n]`, ≥ 0.

    >>> [round(loss, 4) for loss in losses(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).tolist()]
    [0.6931]
    """
    return cross_entropy(logits, labels, reduction="none")
