"""One expert's mask, ready to be applied to any piece of any leaf: thresholds found, coins keyed.

The thresholds are the statistics that a mask needs of a leaf, or of the whole model, before it can decide about one
element. Both engines find them here; they differ only in where the pieces come from: memory or disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import groupby

import torch

from merging_core.engines.kernel import mask_piece
from merging_core.engines.reductions import l1_norm
from merging_core.engines.settings import joined
from merging_core.masks.coins import coin_key
from merging_core.masks.info import MaskContext, MaskInfo, MaskSpec
from merging_core.masks.ranks import Rewalked
from merging_core.masks.ranks import standings as standings_of
from merging_core.masks.registry import mask
from merging_core.methods.info import Parameters
from merging_core.space.parameter_space import SpaceLeaf

__all__ = [
    "Group",
    "PreparedMask",
    "is_identity",
    "needs_standings",
    "needs_threshold",
    "prepare_mask",
    "ranked",
]


_HELD_LEAF = 1 << 22
"""Elements of a leaf that is held in memory rather than read twice."""
_SAMPLED_OF_LEAF = 1 << 14
"""Elements of it from which its thresholds are guessed."""


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
    params: tuple[Parameters, ...]
    """Of each leaf; neighbours with the same ones share one object."""
    factors: tuple[float, ...]
    """Layer scaling of each task vector, as float32 numbers; 1 where it applies to the merged vector."""
    thresholds: tuple[torch.Tensor | None, ...]
    """On the CPU, so that masks can read them while a device is busy."""
    keys: tuple[int, ...]
    standings: Callable[[int], torch.Tensor] | None = None
    """Where each element of a leaf stands by magnitude, for masks that ask for it."""
    gains: tuple[float, ...] = ()
    """What survives in each leaf is multiplied by; nothing for masks that are not balanced."""

    def apply(self, leaf: int, start: int, vector: torch.Tensor, *, own: bool = False) -> torch.Tensor:
        """Return elements start, start + 1, … of a leaf's task vector after layer scaling of each, and the mask.

        Shapes: vector [n] float32 → [n]; where nothing is to be done, the very same tensor. One that is the engine's
        `own` may be written to.
        """
        standings = self.standings(leaf)[start : start + vector.numel()] if self.standings is not None else None
        gain = self.gains[leaf] if self.gains else 1.0
        context = MaskContext(self.params[leaf], self.thresholds[leaf], standings, gain, self.keys[leaf], start, own)
        return mask_piece(vector, self.factors[leaf], self.info, context)

    def groups(self, spans: Sequence[tuple[int, int]]) -> tuple[Group, ...]:
        """Join neighbouring leaves with equal numbers, unless coins are counted from each leaf's start.

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
        return (
            self.factors[left] == self.factors[right]
            and self.params[left] is self.params[right]
            and self.thresholds[left] is self.thresholds[right]
        )


def is_identity(spec: MaskSpec) -> bool:
    """Say whether a mask keeps everything as it is.

    >>> is_identity(MaskSpec()), is_identity(MaskSpec("magnitude", Parameters(density=0.5)))
    (True, False)
    """
    return mask(spec.kind).keeps_all(spec.params)


def needs_threshold(spec: MaskSpec) -> bool:
    """Say whether the leaf or model must be walked before the mask can be applied."""
    return mask(spec.kind).ranks is not None and not is_identity(spec)


def needs_standings(spec: MaskSpec) -> bool:
    """Say whether the elements of a leaf must be ranked before the mask can be applied."""
    return mask(spec.kind).by_standing and not is_identity(spec)


def prepare_mask(  # noqa: PLR0913
    specs: Sequence[MaskSpec],
    leaves: Sequence[SpaceLeaf],
    factors: tuple[float, ...],
    walk: Callable[[range], Iterable[torch.Tensor]],
    *,
    seed: int,
    content: str,
    known: Sequence[torch.Tensor | None] | None = None,
    standings: Callable[[int], torch.Tensor] | None = None,
    sample: Callable[[], Iterable[tuple[int, torch.Tensor]]] | None = None,
) -> PreparedMask:
    """Find what the mask of one expert must know: thresholds of each leaf or of the model, standings, gains, keys.

    `specs` is the mask in each leaf, of one kind and scope; its numbers differ only where leaves are masked one by one.
    `walk(leaves)` yields the task vector of neighbouring leaves in order, float32, before any stage, in pieces of any
    size; it is called once per reading. `content` is the expert's digest; `known` are thresholds per leaf, and
    `standings(leaf)` those of one leaf, that were found elsewhere. `sample()` gives some of the vector, spread over all
    of it, as pieces of one leaf each with its place, where a walk costs much. Leaves without elements need nothing.
    """
    runs, spec = joined(specs), specs[0]
    info = mask(spec.kind)
    whole = all(is_identity(run.value) for run in runs)
    thresholds: list[torch.Tensor | None] = [None] * len(leaves) if known is None else list(known)
    if known is None and any(needs_threshold(run.value) for run in runs):
        if spec.scope == "model":
            size = sum(leaf.elements for leaf in leaves)
            some = partial(_sampled, factors, sample) if sample is not None else None
            all_of_it = Rewalked(lambda: _scaled(range(len(leaves)), factors, walk), size, some)
            everything = info.thresholds(all_of_it, spec.params).cpu()
            thresholds = [everything] * len(leaves)
        else:
            for index, leaf in enumerate(leaves):
                if leaf.stop > leaf.start and not is_identity(specs[index]):
                    pieces = Rewalked(partial(_scaled, range(index, index + 1), factors, walk), leaf.elements)
                    held = _in_memory(pieces) if leaf.elements <= _HELD_LEAF else pieces
                    thresholds[index] = info.thresholds(held, specs[index].params).cpu()
    if info.by_standing and not whole and standings is None:
        # A leaf is ranked when its first piece is asked for, and forgotten when the next leaf comes.
        standings = lru_cache(1)(
            lambda index: ranked(torch.cat([*_scaled(range(index, index + 1), factors, walk)]), leaves[index], spec)
        )
    keys = tuple(coin_key(seed, content, leaf.name) if info.stochastic and not whole else 0 for leaf in leaves)
    params = tuple(run.value.params for run in runs for _ in range(run.first, run.last))
    prepared = PreparedMask(info, params, factors, tuple(thresholds), keys, None if whole else standings)
    if not info.balanced(spec.params) or whole:
        return prepared
    gains = [
        _gain(prepared, index, partial(walk, range(index, index + 1))) if leaf.stop > leaf.start else 1.0
        for index, leaf in enumerate(leaves)
    ]
    return replace(prepared, gains=tuple(gains))


def ranked(vector: torch.Tensor, leaf: SpaceLeaf, spec: MaskSpec) -> torch.Tensor:
    """Return where each element of a leaf stands by magnitude, within its row or the leaf as the scope says: [n].

    A row is what belongs to one index of the first dimension; a leaf of one dimension or none is one row.
    """
    rows = leaf.shape[0] if spec.scope == "row" and len(leaf.shape) > 1 else 1
    return standings_of(vector.view(rows, -1)).view(-1) if vector.numel() else vector


def _gain(prepared: PreparedMask, leaf: int, walk: Callable[[], Iterable[torch.Tensor]]) -> float:
    """Return Σ|τ| / Σ|τ̂| of a leaf as a float32 number; 1 where nothing survived."""

    def masked() -> Iterator[torch.Tensor]:
        start = 0
        for piece in walk():
            yield prepared.apply(leaf, start, piece)
            start += piece.numel()

    factor = prepared.factors[leaf]
    before = l1_norm(piece if factor == 1.0 else piece * factor for piece in walk())
    after = l1_norm(masked())
    return float(torch.tensor(before / after, dtype=torch.float32)) if after > 0.0 else 1.0


def _in_memory(pieces: Rewalked) -> Rewalked:
    """Hold the pieces of a leaf; every so many elements of them are its sample."""
    held = list(pieces)
    step = 1 + sum(piece.numel() for piece in held) // _SAMPLED_OF_LEAF
    return Rewalked(lambda: iter(held), pieces.size, lambda: (piece[::step] for piece in held))


def _sampled(
    factors: Sequence[float], sample: Callable[[], Iterable[tuple[int, torch.Tensor]]]
) -> Iterator[torch.Tensor]:
    return (piece if factors[leaf] == 1.0 else piece * factors[leaf] for leaf, piece in sample())


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
