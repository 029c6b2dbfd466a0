"""How much two task vectors get into each other's way: sums over their elements, and the scores that follow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from merging_core.space.reductions import block_gram_partials, block_l1_partials

__all__ = ["SCORES", "PairSums", "Score", "scores_of"]


@dataclass(frozen=True)
class Score:
    """One number about a pair, and what it means."""

    name: str
    title: str
    formula: str
    summary: str


SCORES = (
    Score(
        "cancelled",
        "Cancelled magnitude",
        "1 − ‖u₁ + u₂‖₁ / (‖u₁‖₁ + ‖u₂‖₁)",
        "The share of all magnitude that opposite signs take from each other when the two are added: 0 where no signs "
        "clash, 1 where one is the other turned round; about 0.29 for independent normal numbers.",
    ),
    Score(
        "lost",
        "Lost energy",
        "1 − ‖u₁ + u₂‖² / (‖u₁‖² + ‖u₂‖²)",
        "How much shorter the sum is than it would be were the two at right angles: 0 at right angles, below 0 where "
        "they help each other, 1 where they cancel.",
    ),
    Score(
        "clash",
        "Clashing signs",
        "share of u₁ᵢ·u₂ᵢ below 0 among those not 0",
        "Of the elements to which both contribute, the share where their signs disagree; 0.5 is chance.",
    ),
    Score(
        "direction",
        "Direction kept",
        "mean over t of cos(u₁ + u₂, τₜ)",
        "How alike the merged vector and each of the two task vectors are: what a method gives up to avoid clashes is "
        "seen here; √½ = 0.71 for the sum of two of one length at right angles.",
    ),
    Score("kept", "Elements kept", "share of u₁ and u₂ that is not 0", "How many elements still contribute."),
)


@dataclass(frozen=True, eq=False)
class PairSums:
    """Sums over elements of what two experts contribute, u₁ and u₂, beside their task vectors τ₁ and τ₂."""

    elements: int
    products: NDArray[numpy.float64]
    """[4, 4]: inner products of u₁, u₂, τ₁, τ₂."""
    magnitudes: NDArray[numpy.float64]
    """[3]: ‖u₁‖₁, ‖u₂‖₁ and ‖u₁ + u₂‖₁."""
    counts: NDArray[numpy.int64]
    """[4]: elements of u₁ and of u₂ that are not zero, where both are not, and where their signs disagree."""

    @classmethod
    def empty(cls) -> PairSums:
        """Return the sums over nothing."""
        return cls(0, numpy.zeros((4, 4)), numpy.zeros(3), numpy.zeros(4, numpy.int64))

    def as_arrays(self) -> dict[str, NDArray[numpy.generic]]:
        """Return what a memory keeps."""
        return {
            "elements": numpy.array(self.elements),
            "products": self.products,
            "magnitudes": self.magnitudes,
            "counts": self.counts,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PairSums:
        """Read what `as_arrays` gave."""
        return cls(int(arrays["elements"]), arrays["products"], arrays["magnitudes"], arrays["counts"])

    def with_piece(self, parts: torch.Tensor, vectors: torch.Tensor) -> PairSums:
        """Add a piece of whole blocks, or the last one: parts [2, n] and vectors [2, n], float32.

        >>> found = PairSums.empty().with_piece(torch.tensor([[3.0, 0.0], [-1.0, 2.0]]), torch.ones(2, 2))
        >>> found.magnitudes.tolist(), found.counts.tolist()
        ([3.0, 3.0, 4.0], [1, 2, 1, 1])
        """
        products, magnitudes = self.products.copy(), self.magnitudes.copy()
        for block in block_gram_partials(torch.cat((parts, vectors))).numpy():
            products += block
        added = parts[0].double() + parts[1].double()
        for place, row in enumerate((parts[0], parts[1], added)):
            for value in block_l1_partials(row).tolist():
                magnitudes[place] += value
        first, second = parts
        both = (first != 0) & (second != 0)
        clashing = both & ((first > 0) != (second > 0))
        counts = [int(one.count_nonzero()) for one in (first, second, both, clashing)]
        return PairSums(self.elements + parts.shape[1], products, magnitudes, self.counts + numpy.array(counts))

    @property
    def length(self) -> float:
        """‖u₁ + u₂‖."""
        return math.sqrt(max(0.0, float(self.products[:2, :2].sum())))

    @property
    def usual(self) -> float:
        """The mean of ‖τ₁‖ and ‖τ₂‖."""
        return float(numpy.sqrt(self.products.diagonal()[2:]).mean())


def scores_of(sums: PairSums) -> dict[str, float | None]:
    """Return each of `SCORES`; nothing where its divisor is zero.

    >>> one, turned = torch.tensor([3.0, 4.0]), torch.tensor([-3.0, -4.0])
    >>> opposite = PairSums.empty().with_piece(torch.stack((one, turned)), torch.stack((one, turned)))
    >>> scores_of(opposite)
    {'cancelled': 1.0, 'lost': 1.0, 'clash': 1.0, 'direction': None, 'kept': 1.0}
    """
    own = sums.products.diagonal()
    energy = float(own[0] + own[1])
    magnitude = float(sums.magnitudes[0] + sums.magnitudes[1])
    shared = int(sums.counts[2])
    lengths = numpy.sqrt(own[2:]) * sums.length
    along = sums.products[2:, :2].sum(axis=1)
    return {
        "cancelled": max(0.0, 1.0 - float(sums.magnitudes[2]) / magnitude) if magnitude else None,
        "lost": -2.0 * float(sums.products[0, 1]) / energy if energy else None,
        "clash": int(sums.counts[3]) / shared if shared else None,
        "direction": float((along / lengths).mean()) if lengths.all() else None,
        "kept": int(sums.counts[0] + sums.counts[1]) / (2 * sums.elements) if sums.elements else None,
    }
