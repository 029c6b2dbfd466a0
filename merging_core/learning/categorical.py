"""One of several classes: the Gumbel-max trick, and its Concrete relaxation on the simplex.

Source: Maddison et al. 2017, arXiv:1611.00712, equations 3 and 10; Jang et al. 2017, arXiv:1611.01144, equations 1
and 2. `relaxation` is the case of two classes.
"""

from __future__ import annotations

import torch

__all__ = ["concrete", "gumbel", "gumbel_max"]


def gumbel(chance: torch.Tensor) -> torch.Tensor:
    """Return −log(−log u): Gumbel noise of numbers u in (0, 1).

    >>> round(gumbel(torch.tensor([0.5])).item(), 4)
    0.3665
    """
    return -torch.log(-torch.log(chance))


def gumbel_max(logits: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """Return the class with the largest logit plus noise, which is drawn with probability softmax(logits).

    Shapes: logits [classes], chance [n, classes] → [n] int64.

    >>> gumbel_max(torch.tensor([9.0, 0.0]), torch.tensor([[0.5, 0.5]])).tolist()
    [0]
    """
    return (logits + gumbel(chance)).argmax(dim=-1)


def concrete(logits: torch.Tensor, chance: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return softmax((logits + noise)/T): points of the simplex that go to a corner as T goes to 0.

    Shapes: logits [classes], chance [n, classes] → [n, classes].

    >>> concrete(torch.tensor([0.0, 0.0]), torch.tensor([[0.5, 0.5]]), 1.0).tolist()
    [[0.5, 0.5]]
    """
    return torch.softmax((logits + gumbel(chance)) / temperature, dim=-1)
