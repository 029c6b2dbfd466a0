"""What is minimised: of each task the mean over its batch, and of all tasks the sum."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import cross_entropy, log_softmax

__all__ = ["Objective", "entropy", "objective_loss"]

Objective = Literal["entropy", "cross_entropy"]


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Return the entropy −Σ p·log p of softmax(logits) of each example, in nats: [n, classes] → [n].

    Exact also where a probability is 0; the released codes of AdaMerging add 1e-8 inside the logarithm instead.

    >>> [round(nats, 4) for nats in entropy(torch.tensor([[0.0, 0.0], [200.0, 0.0]])).tolist()]
    [0.6931, 0.0]
    """
    logs = log_softmax(logits, dim=-1)
    return (logs.exp() * -logs).sum(dim=-1)


def objective_loss(objective: Objective, logits: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
    """Return the mean of the objective over a batch, as a tensor without dimensions.

    Shapes: logits [n, classes], labels [n]. Raises ValueError where labels are needed and there are none.
    """
    if objective == "entropy":
        return entropy(logits).mean()
    if labels is None:
        raise ValueError("cross-entropy needs labels")
    return cross_entropy(logits, labels)
