"""One expert's mask, ready to be applied to any piece of any leaf: thresholds found, coins keyed.

The thresholds are the statistics that a mask needs of a leaf, or of the whole model, before it can decide about one
element. Both engines find them here; they differ only in where the pieces come from: memory or disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch

from merging_core.engines.kernel import mask_piece
from merging_core.masks.coins import coin_key
from merging_core.masks.info import MaskContext, MaskInfo, MaskSpec
from merging_core.masks.registry import mask
from merging_core.methods.info import Parameters

__all__ = ["Group", "PreparedMask", "Rewalked", "is_identity", "needs_threshold", "prepare_mask"]


@dataclass(frozen=True)
class Rewalked:
    """Pieces that can be walked more than once: each walk calls `read` again.

    >>> pieces = Rewalked(lambda: iter([1, 2]))
    >>> list(pieces), list(pieces)
    ([1, 2], [1, 2])
    """

    read: Callable[[], Iterator[torch.Tensor]]

    def __iter__(self) -> Iterator[torch.Tensor]:
        return self.read()


@dataclass(frozen=True)
class Group:
    """Neighbouring leaves that a mask treats alike: `leaf` stands for all; elements start … stop − 1 of the vector."""

    leaf: int
    start: int
    stop: int


@dataclass(frozen=True)
class PreparedMask:
    """A mask with everything it must know beforehand, per leaf of one expert."""

    info: MaskInfo
    params: Parameters
    factors: tuple[float, ...]
    """Layer scaling of each task vector, as float32 numbers; 1 where it applies to the merged vector."""
    thresholds: tuple[torch.Tensor | None, ...]
    keys: tuple[int, ...]

    def apply(self, leaf: int, start: int, vector: torch.Tensor) -> torch.Tensor:
        """Return elements start, start + 1, … of a leaf's task vector after layer scaling of each, and the mask.

        Shapes: vector [n] float32 → [n]; where nothing is to be done, the very same tensor.
        """
        context = MaskContext(self.params, self.thresholds[leaf], self.keys[leaf], start)
        return mask_piece(vector, self.factors[leaf], self.info, context)

    def groups(self, spans: Sequence[tuple[int, int]]) -> tuple[Group, ...]:
        """Join neighbouring leaves of equal factor and threshold, unless coins are counted from each leaf's start.

        The mask decides element by element, so a group gives the same bits as its leaves one by one.
        """
        joined: list[Group] = []
        for leaf, (start, stop) in enumerate(spans):
            if start == stop:
                continue
            if joined and not self.info.stochastic and self._alike(joined[-1].leaf, leaf):
                joined[-1] = Group(joined[-1].leaf, joined[-1].start, stop)
            else:
                joined.append(Group(leaf, start, stop))
        return tuple(joined)

    def _alike(self, left: int, right: int) -> bool:
        return self.factors[left] == self.factors[right] and self.thresholds[left] is self.thresholds[right]


def is_identity(spec: MaskSpec) -> bool:
    """Say whether a mask keeps everything as it is.

    >>> is_identity(MaskSpec()), is_identity(MaskSpec("magnitude", Parameters(density=0.5)))
    (True, False)
    """
    return spec.kind == "none" or spec.params.get("density") == 1.0


def needs_threshold(spec: MaskSpec) -> bool:
    """Say whether the leaf or model must be walked before the mask can be applied."""
    return mask(spec.kind).threshold is not None and not is_identity(spec)


def prepare_mask(  # noqa: PLR0913
    spec: MaskSpec,
    names: Sequence[str],
    spans: Sequence[tuple[int, int]],
    factors: tuple[float, ...],
    walk: Callable[[range], Iterable[torch.Tensor]],
    *,
    seed: int,
    content: str,
    known: Sequence[torch.Tensor | None] | None = None,
) -> PreparedMask:
    """Find what the mask of one expert must know: thresholds per leaf or for the model, and keys of coins.

    `walk(leaves)` yields the task vector of neighbouring leaves in order, float32, before any stage, in pieces of any
    size; it is called once per reading. `content` is the expert's digest; `known` are thresholds per leaf that were
    found elsewhere. Leaves without elements need nothing.
    """
    info = mask(spec.kind)
    thresholds: list[torch.Tensor | None] = [None] * len(spans) if known is None else list(known)
    if known is None and info.threshold is not None and needs_threshold(spec):
        if spec.scope == "model":
            everything = info.threshold(Rewalked(lambda: _scaled(range(len(spans)), factors, walk)), spec.params)
            thresholds = [everything] * len(spans)
        else:
            for leaf, (start, stop) in enumerate(spans):
                if stop > start:
                    pieces = Rewalked(partial(_scaled, range(leaf, leaf + 1), factors, walk))
                    thresholds[leaf] = info.threshold(pieces, spec.params)
    keyed = info.stochastic and not is_identity(spec)
    keys = tuple(coin_key(seed, content, name) if keyed else 0 for name in names)
    return PreparedMask(info, spec.params, factors, tuple(thresholds), keys)


def _scaled(
    leaves: range, factors: Sequence[float], walk: Callable[[range], Iterable[torch.Tensor]]
) -> Iterator[torch.Tensor]:
    """Yield the pieces of neighbouring leaves after layer scaling of each, joining leaves of one factor."""
    first = leaves.start
    for factor, group in groupby(factors[leaf] for leaf in leaves):
        last = first + sum(1 for _ in group)
        for piece in walk(range(first, last)):
            yield piece if factor == 1.0 else piece * factor
        first = last
