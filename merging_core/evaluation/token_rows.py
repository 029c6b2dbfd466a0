"""Texts as rows of numbers, so that they are batched as images are.

A row is int32 `[2, length]`. Its first line holds token ids from the left, then −1. Its second line says for a
classifier which text of a pair a token belongs to (0 or 1); for a language model whether the token is scored (0 or 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["packed", "trimmed"]

_EMPTY = -1


def packed(ids: Sequence[Sequence[int]], marks: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return rows int32 `[n, 2, longest]` of token ids and their marks.

    >>> packed([[7, 8], [9]], [[0, 1], [0]]).tolist()
    [[[7, 8], [0, 1]], [[9, -1], [0, 0]]]
    """
    longest = max((len(row) for row in ids), default=0)
    rows = torch.zeros(len(ids), 2, longest, dtype=torch.int32)
    rows[:, 0] = _EMPTY
    for row, (numbers, marked) in enumerate(zip(ids, marks, strict=True)):
        rows[row, 0, : len(numbers)] = torch.tensor(numbers, dtype=torch.int32)
        rows[row, 1, : len(marked)] = torch.tensor(marked, dtype=torch.int32)
    return rows


def trimmed(rows: torch.Tensor, padding: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return token ids, marks and the mask of real tokens, int64 `[n, longest of these rows]`.

    >>> [part.tolist() for part in trimmed(packed([[7, 8], [9]], [[0, 1], [0]])[1:], 3)]
    [[[9]], [[0]], [[1]]]
    """
    held = rows[:, 0] != _EMPTY
    longest = int(held.sum(dim=1).max())
    held = held[:, :longest]
    ids = rows[:, 0, :longest].long()
    return torch.where(held, ids, padding), rows[:, 1, :longest].long(), held.long()
