"""With what a streaming merge works: how much is read at once and ahead, by how many, within the memory it may take.

The figures are those of the process, and are estimates from headers on the safe side of what was measured
(docs/performance.md). What is there beside the merge, Python and torch, is counted as the program.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from merging_core.checkpoints.reader import Checkpoint
from merging_core.cores import MAX_WORKERS, cores
from merging_core.engines.masking import needs_standings, needs_threshold
from merging_core.engines.pricing import LARGE_LEAF, STREAMED_PIECE, amount, available_memory, costs_of
from merging_core.engines.settings import Settings
from merging_core.engines.whole import whole_leaves
from merging_core.engines.with_adapters import adapters_held
from merging_core.errors import Problem
from merging_core.masks.ranks import MOST_HELD
from merging_core.recipes.stages import Stages
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf
from merging_core.space.reductions import BLOCK

__all__ = [
    "PROGRAM_BYTES",
    "Means",
    "Need",
    "Room",
    "means_for",
    "need_of",
    "room_problem",
    "room_words",
    "this_program",
]

PROGRAM_BYTES = 300_000_000
"""What Python and torch for CPUs take before anything is read."""
_FLOAT, _WIDE = 4, 8
_ALWAYS = 24_000_000
"""Headers, a journal, and what the system's memory keeps for threads."""
_OF_EACH, _OF_ALL = 22, 72
"""Bytes that a worker has for each element of its piece: of every model, and altogether."""
_BLOCK_OF_EACH, _BLOCK_OF_ALL = 44, 120
"""The same of a block that is summed in float64."""
_COUNTING, _SCORING = 64_000_000, 8_000_000
"""What finding ranks by counting takes, and more for each expert whose scores are ranked together."""
_RANKING = 80
"""Bytes for each element of a leaf that is being ranked: its sorted copy, the order and places as whole numbers."""
_WHOLE, _SCATTERED = 1.2, 1.6
"""Of what a step on a whole leaf is said to hold, for what it forgets, and for what is left between small blocks."""
_SCATTERED_BELOW = (32 << 20) // _WIDE
"""Elements of a leaf whose blocks are kept for later when they are free (`process.keep_freed_memory`)."""
_HELD, _HELD_EACH = 0.4, 16
"""Bytes for each element of a model whose thresholds are guessed, and for each that is held at the most."""
_LEAST_PIECE = 1 << 13
_SLOW = 1 << 16
"""Elements of a piece that takes twice as long for each of them as a large one."""


@dataclass(frozen=True)
class Room:
    """The memory that the process of a merge may take, and what of it is the program's own."""

    total: int | None = None
    """Bytes; None for all that the machine or its container has."""
    program: int = PROGRAM_BYTES


@dataclass(frozen=True)
class Means:
    """With what the streaming engine works; none of it is in the bits."""

    piece: int
    """Elements of each model that are read at once."""
    workers: int
    ahead: int
    """Pieces that are worked on or wait to be counted."""
    guess: bool
    """Whether thresholds are guessed from a sample first: one walk less, for what lies near them in memory."""


@dataclass(frozen=True)
class Need:
    """What of a merge its memory depends on."""

    models: int
    """Experts."""
    measured: int
    """Experts of which the method reads what was measured of them."""
    output_item: int
    largest: int
    """Elements of the largest leaf."""
    undivided: SpaceLeaf | None
    """The largest leaf that is seen whole, or ranked."""
    beside: int
    """Elements of the largest that another worker may have at the same time."""
    numbers: tuple[int, int]
    """Of float64, that the method holds at once for one leaf, and for one that another worker may have."""
    ranked: int
    """Experts whose changes are ranked."""
    guessed: int
    """Elements among which thresholds are sought."""
    scored: int
    """Experts whose scores are ranked together."""
    sums: bool
    """Whether something of each leaf is summed before it is merged."""
    adapters: int
    """Bytes of what a worker holds of LoRA adapters."""

    def peak(self, means: Means) -> int:
        """Estimate the bytes that a merge takes at its peak, the program left out.

        Each worker has pieces of its own, and some wait to be counted. Where changes are ranked, each expert's largest
        leaf of standings is held, and one is being ranked. A leaf that the method sees whole is held of every model; of
        leaves with more than `LARGE_LEAF` elements one at a time.
        """
        piece = min(means.piece, self.largest)
        working = means.workers * piece * (_OF_EACH * (self.models + self.measured) + _OF_ALL)
        waiting = means.ahead * piece * _FLOAT * self.models
        held = min(int(_HELD * self.guessed), MOST_HELD * _HELD_EACH) if means.guess else 0
        counting = _COUNTING + _SCORING * self.scored if self.guessed or self.scored else 0
        block = min(BLOCK, self.largest) * (_BLOCK_OF_EACH * self.models + _BLOCK_OF_ALL) if self.sums else 0
        own = means.workers * (block + self.adapters) + self._whole(means.workers)
        return _ALWAYS + working + waiting + held + counting + own

    def _whole(self, workers: int) -> int:
        if self.undivided is None:
            return 0
        each = _FLOAT * (2 * self.models + self.measured + 1) + self.output_item
        each += _FLOAT * self.ranked + _RANKING if self.ranked else 0

        def held(size: int, numbers: int) -> int:
            return int((_SCATTERED if size < _SCATTERED_BELOW else _WHOLE) * (size * each + _WIDE * numbers))

        return held(self.undivided.elements, self.numbers[0]) + (workers - 1) * held(self.beside, self.numbers[1])


def need_of(
    stages: Stages, settings: Settings, space: ParameterSpace, experts: Sequence[Checkpoint], output_item: int
) -> Need:
    """Return what of a merge its memory depends on."""
    thresholds = any(settings.masks_that(needs_threshold))
    ranked = sum(settings.masks_that(needs_standings))
    places = range(len(space.leaves)) if ranked else whole_leaves(stages.method, stages.params, space.leaves)
    sizes = [space.leaves[place].elements for place in places]
    numbers = [cost.numbers for cost in costs_of(stages, settings, space)]
    seen = whole_leaves(stages.method, stages.params, space.leaves) if numbers else ()
    shared = [count for place, count in zip(seen, numbers, strict=True) if space.leaves[place].elements <= LARGE_LEAF]
    return Need(
        models=len(experts),
        measured=len(experts) if stages.method.measures else 0,
        output_item=output_item,
        largest=max((leaf.elements for leaf in space.leaves), default=0),
        undivided=max((space.leaves[place] for place in places), key=lambda leaf: leaf.elements, default=None),
        beside=max((size for size in sizes if size <= LARGE_LEAF), default=0),
        numbers=(max(numbers, default=0), max(shared, default=0)),
        ranked=ranked,
        guessed=space.size if thresholds else 0,
        scored=len(experts) if any(one.needed(stages.params) for one in stages.method.rank_statistics) else 0,
        sums=bool(stages.method.leaf_statistics),
        adapters=adapters_held(experts),
    )


def means_for(need: Need, reads: int, room: Room) -> Means:
    """Return what works fastest within the room, or what needs the least memory where nothing fits.

    `reads`: walks over the experts where thresholds are guessed.
    """
    total = room.total if room.total is not None else available_memory()
    choices = list(_choices(need))
    fitting = [one for one in choices if total is None or room.program + need.peak(one) <= total]
    if not fitting:
        return min(choices, key=need.peak)
    return min(fitting, key=lambda one: _slowness(one, reads))


def room_problem(need: Need, means: Means, room: Room) -> Problem | None:
    """Say what must hold where the least memory that a merge can do with is more than it may take."""
    total = room.total if room.total is not None else available_memory()
    least = room.program + need.peak(means)
    if total is None or least <= total:
        return None
    got = f"{amount(least)}, {amount(room.program)} of them for the program,"
    if need.undivided is not None and need.peak(means) > 2 * _ALWAYS:
        got = f"{amount(least)} for {need.undivided.name}, which is seen whole of {need.models} models,"
    if room.total is None:
        return Problem(f"a merge fits the machine's {amount(total)} of memory", got, "memory", "use a larger machine")
    must = f"a merge fits the {amount(total)} of memory that it may take"
    return Problem(must, got, "memory", f"allow {amount(least)} or more")


def room_words(room: Room, means: Means, peak: int) -> tuple[str, ...]:
    """Say what the memory that was allowed comes to, where somebody set it."""
    if room.total is None:
        return ()
    by = f"{means.workers} worker{'s' if means.workers > 1 else ''} and pieces of {means.piece:,} elements"
    with_program = f"{amount(peak)} with the program's {amount(room.program)}"
    return (f"{amount(room.total)} of memory: at most {with_program}, by {by}",)


def this_program() -> int:
    """Return what this process takes now, where the system tells it, and no less than `PROGRAM_BYTES`."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return max(PROGRAM_BYTES, int(line.split()[1]) * 1024)
    return PROGRAM_BYTES


def _choices(need: Need) -> Iterator[Means]:
    most = min(MAX_WORKERS, cores())
    pieces = [_LEAST_PIECE]
    while pieces[-1] < STREAMED_PIECE:
        pieces.append(2 * pieces[-1])
    guesses = (True, False) if need.guessed else (True,)
    for workers, piece, guess in itertools.product({most, max(1, most // 2), 1}, pieces, guesses):
        yield Means(piece, workers, 2 * workers, guess)
        if workers == 1:
            yield Means(piece, 1, 1, guess)


def _slowness(means: Means, reads: int) -> float:
    walks = reads + (0 if means.guess else 1)
    return walks * (1.0 + _SLOW / means.piece) / means.workers * (1.0 if means.ahead > 1 else 1.5)
