"""What is added up over the elements of task vectors, and the numbers about models and pairs that follow from it.

Inner products run over blocks of 65 536 elements from the start of each leaf, in float64, and are added in order;
counts are whole numbers. So nothing depends on how a leaf is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from merging_core.space.reductions import block_gram_partials

__all__ = ["LeafSums", "added", "numbers_of", "pairs_of", "with_piece"]


@dataclass(frozen=True, eq=False)
class LeafSums:
    """Sums over elements of θ₀ and T task vectors; P = T·(T − 1)/2 pairs in the order of `pairs_of`."""

    elements: int
    products: NDArray[numpy.float64]
    """[1 + T, 1 + T]: inner products of θ₀ and the task vectors."""
    shared: NDArray[numpy.int64]
    """[T, T]: elements where both are not zero."""
    clashing: NDArray[numpy.int64]
    """[T, T]: those of them whose signs disagree."""
    top: NDArray[numpy.int64]
    """[T, T]: elements that are among the largest of both; on the diagonal, the largest of each."""
    chance: NDArray[numpy.float64]
    """[T, T]: how many would be, were each one's largest spread at random over each leaf."""

    @classmethod
    def empty(cls, models: int) -> LeafSums:
        """Return the sums over nothing."""
        counts = numpy.zeros((models, models), numpy.int64)
        return cls(0, numpy.zeros((models + 1, models + 1)), counts, counts, counts, numpy.zeros((models, models)))

    def as_arrays(self) -> dict[str, NDArray[numpy.generic]]:
        """Return what a memory keeps."""
        return {
            "elements": numpy.array(self.elements),
            "products": self.products,
            "shared": self.shared,
            "clashing": self.clashing,
            "top": self.top,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> LeafSums:
        """Read what `as_arrays` gave of one leaf."""
        elements, top = int(arrays["elements"]), arrays["top"]
        return cls(elements, arrays["products"], arrays["shared"], arrays["clashing"], top, _chance(top, elements))


def pairs_of(models: int) -> list[tuple[int, int]]:
    """Return every pair once.

    >>> pairs_of(3)
    [(0, 1), (0, 2), (1, 2)]
    """
    return [(first, second) for first in range(models) for second in range(first + 1, models)]


def with_piece(sums: LeafSums, piece: torch.Tensor, least: torch.Tensor) -> LeafSums:
    """Add a piece of a leaf, which begins where a block does and ends there too, or with the leaf.

    Shapes: piece [1 + T, n] float32, θ₀ first, n at most 2²⁴; least [T] float32: an element is among the largest of a
    task vector where its magnitude is not below it, and not zero.

    >>> piece = torch.tensor([[1.0, 1.0, 1.0], [3.0, -4.0, 0.0], [1.0, 1.0, 1.0]])
    >>> found = with_piece(LeafSums.empty(2), piece, torch.tensor([4.0, 1.0]))
    >>> found.products[1:, 1:].tolist(), found.clashing[0, 1], found.shared[0, 1], found.top.tolist()
    ([[25.0, -1.0], [-1.0, 3.0]], np.int64(1), np.int64(2), [[1, 1], [1, 3]])
    """
    products = sums.products.copy()
    for block in block_gram_partials(piece).numpy():
        products += block
    signs = piece[1:].sgn()
    largest = ((piece[1:].abs() >= least[:, None]) & (signs != 0)).to(torch.float32)
    # Products of −1, 0 and 1: float32 holds their sums exactly.
    agreed, shared, both = (rows @ rows.T for rows in (signs, signs.abs(), largest))
    elements, top = sums.elements + piece.shape[1], sums.top + _counts(both)
    clashing = sums.clashing + _counts(shared - agreed) // 2
    return LeafSums(elements, products, sums.shared + _counts(shared), clashing, top, _chance(top, elements))


def added(parts: Iterable[LeafSums], models: int) -> LeafSums:
    """Return the sums of several leaves, added in order."""
    whole = LeafSums.empty(models)
    for part in parts:
        whole = LeafSums(
            whole.elements + part.elements,
            whole.products + part.products,
            whole.shared + part.shared,
            whole.clashing + part.clashing,
            whole.top + part.top,
            whole.chance + part.chance,
        )
    return whole


def numbers_of(sums: LeafSums) -> dict[str, object]:
    """Return the numbers of models (T) and pairs (P) as JSON values.

    `norms`: ‖τₜ‖. `moved`: ‖τₜ‖/‖θ₀‖, nothing where θ₀ is zero. `cosines`: of each pair, nothing beside a zero vector.
    `clashes`: of the elements where both are not zero, the share whose signs disagree; nothing where there is none.
    `overlaps`: |A ∩ B|/|A ∪ B| of the largest elements A and B. `chances`: the same were they spread at random over
    each leaf; both nothing where there is no largest element.
    """
    models = len(sums.shared)
    lengths = numpy.sqrt(sums.products.diagonal())
    pairs = pairs_of(models)
    return {
        "elements": sums.elements,
        "norms": lengths[1:].tolist(),
        "moved": [float(one / lengths[0]) if lengths[0] else None for one in lengths[1:]],
        "cosines": [_cosine(sums.products[i + 1, j + 1], lengths[i + 1], lengths[j + 1]) for i, j in pairs],
        "clashes": [_share(sums.clashing[i, j], sums.shared[i, j]) for i, j in pairs],
        "overlaps": [_share(sums.top[i, j], sums.top[i, i] + sums.top[j, j] - sums.top[i, j]) for i, j in pairs],
        "chances": [_share(sums.chance[i, j], sums.top[i, i] + sums.top[j, j] - sums.chance[i, j]) for i, j in pairs],
    }


def _chance(top: NDArray[numpy.int64], elements: int) -> NDArray[numpy.float64]:
    counts = top.diagonal().astype(numpy.float64)
    return numpy.outer(counts, counts) / max(1, elements)


def _cosine(product: float, first: float, second: float) -> float | None:
    lengths = float(first) * float(second)
    return max(-1.0, min(1.0, float(product) / lengths)) if lengths else None


def _share(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def _counts(matrix: torch.Tensor) -> NDArray[numpy.int64]:
    found: NDArray[numpy.int64] = matrix.round().to(torch.int64).numpy()
    return found
