"""Sums over a flat vector that come out the same, bit for bit, everywhere.

A vector is cut into blocks of 65 536 elements from its start. Each block is summed in float64 by a fixed tree of halves
(x[:32768] + x[32768:], and so on down), which is elementwise addition and therefore rounds alike on every device, for
every number of threads and every chunk that is a whole number of blocks. Block sums are then added one by one in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from merging_core.errors import Problem, SpaceError

__all__ = [
    "BLOCK",
    "block_dot",
    "block_dot_partials",
    "block_gram_partials",
    "block_l1",
    "block_l1_partials",
    "block_sum_of_squares",
    "block_sum_of_squares_partials",
    "blocks",
    "combine_in_order",
]

BLOCK = 65_536
_BLOCKS_AT_ONCE = 4


def block_dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return Σ aᵢ·bᵢ of two 1-D floating tensors, products and sums in float64.

    Raises SpaceError when the lengths differ.

    >>> block_dot(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    11.0
    """
    return combine_in_order(block_dot_partials(a, b))


def block_sum_of_squares(a: torch.Tensor) -> float:
    """Return Σ aᵢ² of a 1-D floating tensor in float64.

    >>> block_sum_of_squares(torch.tensor([3.0, 4.0]))
    25.0
    """
    return combine_in_order(block_sum_of_squares_partials(a))


def block_l1(a: torch.Tensor) -> float:
    """Return Σ |aᵢ| of a 1-D floating tensor in float64.

    >>> block_l1(torch.tensor([3.0, -4.0]))
    7.0
    """
    return combine_in_order(block_l1_partials(a))


def block_dot_partials(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the float64 sum of aᵢ·bᵢ for each block, `[⌈n / 65 536⌉]` on the CPU.

    Whoever holds a vector in chunks of whole blocks joins the partials of its chunks and calls `combine_in_order`.
    Raises SpaceError when the lengths differ or the vectors are not flat.
    """
    if a.shape != b.shape:
        raise SpaceError(Problem("both vectors have one length", f"{tuple(a.shape)} and {tuple(b.shape)}"))
    return _partials(a, lambda part, start: part.mul_(_wide(b[start : start + BLOCK * _BLOCKS_AT_ONCE])))


def block_sum_of_squares_partials(a: torch.Tensor) -> torch.Tensor:
    """Return the float64 sum of aᵢ² for each block, as `block_dot_partials` does."""
    return _partials(a, lambda part, _: part.square_())


def block_l1_partials(a: torch.Tensor) -> torch.Tensor:
    """Return the float64 sum of |aᵢ| for each block, as `block_dot_partials` does."""
    return _partials(a, lambda part, _: part.abs_())


def block_gram_partials(vectors: torch.Tensor) -> torch.Tensor:
    """Return the float64 inner products of several vectors for each block: [T, n] → [⌈n / 65 536⌉, T, T] on the CPU.

    >>> block_gram_partials(torch.tensor([[3.0, 4.0], [1.0, 0.0]])).tolist()
    [[[25.0, 3.0], [3.0, 1.0]]]
    """
    count, size = vectors.shape
    wide = _wide(vectors)
    whole = size - size % BLOCK
    parts = [_gram_of_rows(wide[:, :whole].reshape(count, -1, BLOCK))]
    if whole < size:
        width = 1 << (size - whole - 1).bit_length()
        short = torch.nn.functional.pad(wide[:, whole:], (0, width - (size - whole)))
        parts.append(_gram_of_rows(short.view(count, 1, width)))
    return torch.cat(parts).cpu()


def blocks(pieces: Iterable[torch.Tensor], at_once: int = 1) -> Iterator[torch.Tensor]:
    """Regroup consecutive pieces `[…, n]` into `at_once` blocks of 65 536 elements each, the last ones shorter.

    >>> [block.numel() for block in blocks([torch.zeros(65_000), torch.zeros(1_000)])]
    [65536, 464]
    """
    size = BLOCK * at_once
    waiting: list[torch.Tensor] = []
    count = 0
    for piece in pieces:
        rest = piece
        while rest.shape[-1]:
            part, rest = rest[..., : size - count], rest[..., size - count :]
            waiting.append(part)
            count += part.shape[-1]
            if count == size:
                yield waiting[0] if len(waiting) == 1 else torch.cat(waiting, dim=-1)
                waiting, count = [], 0
    if waiting:
        yield waiting[0] if len(waiting) == 1 else torch.cat(waiting, dim=-1)


def combine_in_order(partials: torch.Tensor | Iterable[float]) -> float:
    """Add block sums one after the other, from the first to the last.

    >>> combine_in_order([1e16, 1.0, -1e16])
    0.0
    """
    total = 0.0
    for value in partials.tolist() if isinstance(partials, torch.Tensor) else partials:
        total += value
    return total


def _partials(a: torch.Tensor, term: Callable[[torch.Tensor, int], torch.Tensor]) -> torch.Tensor:
    if a.dim() != 1:
        raise SpaceError(Problem("the vector is flat", f"shape {tuple(a.shape)}"))
    step = BLOCK * _BLOCKS_AT_ONCE
    sums = [_halved(term(_wide(a[start : start + step]), start)) for start in range(0, a.numel(), step)]
    return torch.cat(sums).cpu() if sums else torch.zeros(0, dtype=torch.float64)


def _wide(part: torch.Tensor) -> torch.Tensor:
    """Return a float64 copy; on the CPU where the device has no float64."""
    if part.device.type == "mps":
        part = part.cpu()
    return part.to(torch.float64, copy=True)


def _halved(terms: torch.Tensor) -> torch.Tensor:
    """Sum each block of `terms` `[n]` by halves; the last, short one as if zeros followed. Works in place."""
    short = terms.numel() % BLOCK
    if short:
        width = 1 << (short - 1).bit_length()  # zeros from here to 65 536 would add nothing
        last = torch.nn.functional.pad(terms[terms.numel() - short :], (0, width - short))
        whole = terms[: terms.numel() - short]
        return torch.cat((_halved(whole), _tree(last.view(1, -1)))) if whole.numel() else _tree(last.view(1, -1))
    return _tree(terms.view(-1, BLOCK))


def _gram_of_rows(rows: torch.Tensor) -> torch.Tensor:
    """Return the inner products of `rows` `[T, B, 2ᵏ]` for each of B blocks: `[B, T, T]`."""
    count, number, width = rows.shape
    result = rows.new_zeros(number, count, count)
    for index in range(count if number else 0):
        sums = _tree((rows[index] * rows[index:]).view(-1, width)).view(count - index, number).T
        result[:, index, index:] = sums
        result[:, index:, index] = sums
    return result


def _tree(rows: torch.Tensor) -> torch.Tensor:
    width = rows.shape[1]
    while width > 1:
        width //= 2
        rows = rows[:, :width].add_(rows[:, width : 2 * width])
    return rows[:, 0]
