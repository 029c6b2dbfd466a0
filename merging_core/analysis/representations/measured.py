"""What is known of the representations of some models on one task: sums over batches, and what each example does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy
import torch
from numpy.typing import NDArray

from merging_core.analysis.representations.alike import alikeness, left_out, products
from merging_core.analysis.studies.memory import Memory

__all__ = ["Estimates", "Measured"]

Numbers = NDArray[numpy.float64]


@dataclass(frozen=True, eq=False)
class Estimates:
    """Numbers and the standard error of each, alike in shape."""

    values: Numbers
    errors: Numbers


@dataclass(frozen=True, eq=False)
class Measured:
    """`layers` states of `models` models on the same n examples.

    `sums`: Σ over batches of HSIC times the batch's size, of every state with every other `[k, k]`, states model by
    model. `changes`: what leaving out an example adds to such a sum, `[pairs, n]`: for each pair of models each
    layer with itself, then each state with itself. `moves`: relative distance and cosine to the first model's state of
    each example, `[2, k, n]`, or nothing.
    """

    models: int
    layers: int
    sums: Numbers
    changes: Numbers
    moves: Numbers | None

    @classmethod
    def begun(cls, models: int, layers: int, moves: bool) -> Measured:
        """Return what is known before the first batch."""
        states, pairs = models * layers, models * (models - 1) // 2 * layers
        none = numpy.zeros((2, states, 0)) if moves else None
        return cls(models, layers, numpy.zeros((states, states)), numpy.zeros((pairs + states, 0)), none)

    @classmethod
    def remembered(cls, memory: Memory, name: str, models: int, layers: int) -> Measured | None:
        """Return what `keep` put under a name."""
        found = memory.get(name)
        if found is None:
            return None
        wide = {key: numpy.asarray(array, dtype=numpy.float64) for key, array in found.items()}
        return cls(models, layers, wide["sums"], wide["changes"], wide.get("moves"))

    def keep(self, memory: Memory, name: str) -> None:
        """Put everything into a memory under a name."""
        moves = {} if self.moves is None else {"moves": self.moves}
        memory.put(name, sums=self.sums, changes=self.changes, **moves)

    @property
    def n(self) -> int:
        """Examples so far."""
        return int(self.changes.shape[1])

    def added(self, grams: torch.Tensor, moves: Numbers | None) -> Measured:
        """Return what is known with one more batch, of Gram matrices `[k, size, size]`, states model by model."""
        size = grams.shape[-1]
        found = products(grams)
        left, right = self._pairs
        without = numpy.stack([left_out(grams[a], grams[b]) for a, b in zip(left, right, strict=True)])
        changes = (size - 1) * without - size * found[left, right][:, None]
        both = None if self.moves is None or moves is None else numpy.concatenate((self.moves, moves), axis=2)
        return Measured(
            self.models, self.layers, self.sums + size * found, numpy.concatenate((self.changes, changes), axis=1), both
        )

    @cached_property
    def _pairs(self) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
        """The states whose products are in `changes`."""
        across = [
            (one * self.layers + layer, other * self.layers + layer)
            for one, other in combinations(range(self.models), 2)
            for layer in range(self.layers)
        ]
        alone = [(state, state) for state in range(self.models * self.layers)]
        left, right = numpy.array([*across, *alone], dtype=numpy.int64).T
        return left, right

    @property
    def matrix(self) -> Numbers:
        """CKA of every state with every other, `[k, k]`."""
        own = self.sums.diagonal()
        return alikeness(self.sums, own[:, None], own[None, :])

    @property
    def likeness(self) -> Estimates:
        """CKA of each pair of models at each layer, `[pairs, layers]`, with the error that the jackknife finds."""
        left, right = self._pairs
        across = len(left) - self.models * self.layers
        alone = self.sums.diagonal()[:, None] + self.changes[across:]
        first, second = left[:across], right[:across]
        together = self.sums[first, second][:, None] + self.changes[:across]
        without = alikeness(together, alone[first], alone[second])
        shape = (across // self.layers, self.layers)
        spread = numpy.sqrt((self.n - 1) * without.var(axis=1))
        return Estimates(self.matrix[first, second].reshape(shape), spread.reshape(shape))

    @property
    def moved(self) -> Sequence[Estimates]:
        """Mean distance and mean cosine to the first model, each `[models, layers]`."""
        if self.moves is None:
            return ()
        shape = (self.models, self.layers)
        return [
            Estimates(
                values.mean(axis=1).reshape(shape),
                (values.std(axis=1, ddof=1) / math.sqrt(self.n)).reshape(shape),
            )
            for values in self.moves
        ]
