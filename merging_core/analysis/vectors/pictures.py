"""A matrix of a task vector as a small picture: the root mean square of each block of it, with the sign of its sum."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Grid", "blocks_of_rows", "grid_of"]


@dataclass(frozen=True)
class Grid:
    """How a leaf is cut into blocks: the first row and column of each, and the end behind the last."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


def grid_of(shape: tuple[int, ...], most: int) -> Grid:
    """Cut a leaf into at most `most` × `most` blocks of nearly equal size.

    A vector is one row; of more than two dimensions, all but the first are one.

    >>> grid_of((5, 3), 2), grid_of((3,), 8)
    (Grid(rows=(0, 2, 5), columns=(0, 1, 3)), Grid(rows=(0, 1), columns=(0, 1, 2, 3)))
    """
    high = shape[0] if len(shape) > 1 else 1
    wide = 1
    for side in shape[1:] if len(shape) > 1 else shape:
        wide *= side
    return Grid(_cuts(high, most), _cuts(wide, most))


def blocks_of_rows(rows: torch.Tensor, columns: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one row of blocks of T task vectors, and where they clash.

    Shapes: rows [T, r, n] → [T, C] float64, the root mean square of a block, with the sign of its sum; [C] float64,
    over all pairs and elements where both are not zero the share whose signs disagree, 0 where there is none.

    >>> pictures, clashes = blocks_of_rows(torch.tensor([[[3.0, 4.0, -2.0]], [[1.0, -1.0, 0.0]]]), (0, 2, 3))
    >>> pictures[0].tolist() == [12.5**0.5, -2.0], clashes.tolist()
    (True, [0.5, 0.0])
    """
    wide = rows.double()
    size = torch.tensor(columns[1:]) - torch.tensor(columns[:-1])
    means = (_added(wide.square().sum(1), columns) / (size * rows.shape[1]).clamp(min=1)).sqrt_()
    pictures = means * _added(wide.sum(1), columns).sgn()
    up, down = (rows > 0).sum(0), (rows < 0).sum(0)
    every = up + down
    pairs, clashing = (every * (every - 1) // 2).sum(0)[None], (up * down).sum(0)[None]
    among, found = _added(pairs.double(), columns)[0], _added(clashing.double(), columns)[0]
    return pictures, torch.where(among > 0, found / among.clamp(min=1.0), 0.0)


def _cuts(length: int, most: int) -> tuple[int, ...]:
    parts = max(1, min(length, most))
    return tuple(length * part // parts for part in range(parts + 1))


def _added(columns: torch.Tensor, cuts: tuple[int, ...]) -> torch.Tensor:
    """Add neighbouring columns [T, n] → [T, C]."""
    return torch.stack([columns[:, start:stop].sum(1) for start, stop in zip(cuts, cuts[1:], strict=False)], dim=1)
