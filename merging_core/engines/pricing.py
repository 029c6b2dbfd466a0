"""What a merge costs: readings of the experts, memory, time. Estimates from headers; the rates are said beside them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from merging_core.cores import MAX_WORKERS
from merging_core.engines.masking import is_identity, needs_standings, needs_threshold
from merging_core.engines.settings import Settings
from merging_core.engines.whole import whole_leaves
from merging_core.masks.registry import mask
from merging_core.methods.contract import Cost
from merging_core.recipes.stages import Stages
from merging_core.space.parameter_space import ParameterSpace

__all__ = [
    "LARGE_LEAF",
    "STREAMED_PIECE",
    "Passes",
    "amount",
    "available_memory",
    "costs_of",
    "live_memory",
    "merge_seconds",
    "operations_of",
    "passes_of",
    "seconds",
    "work_seconds",
]

STREAMED_PIECE = 1 << 18
"""Elements of each model that the streaming engine reads at once."""
LARGE_LEAF = 1 << 22
"""Elements of a leaf that is merged whole by one worker while the others wait."""
_DISK_BYTES_PER_SECOND = 1e9
_ELEMENTS_PER_SECOND = 6e7
_FLOAT = 4
_WIDE = 8
_OPERATIONS_PER_SECOND = 1e10
"""Of products and decompositions in float64, on one core."""


@dataclass(frozen=True)
class Passes:
    """How often the streaming engine reads the experts at most, and why."""

    reads: int
    why: tuple[str, ...]
    operations: float = 0.0
    """Of what the method does with leaves that it sees whole: products and decompositions."""

    @property
    def assumption(self) -> str:
        """The rates behind the estimated time."""
        disk, elements = (
            f"{_DISK_BYTES_PER_SECOND / 1e9:g} GB/s from disk",
            f"{_ELEMENTS_PER_SECOND / 1e6:g} M elements/s",
        )
        if not self.operations:
            return f"{disk} and {elements} per pass"
        rate = f"{_OPERATIONS_PER_SECOND / 1e9:g} G operations/s for {self.operations / 1e9:.3g} G of them on matrices"
        return f"{disk}, {elements} per pass and {rate}"


def passes_of(stages: Stages, settings: Settings, space: ParameterSpace, has_base: bool) -> Passes:
    """Count the readings: one to merge, one for statistics of each kind, up to three for thresholds.

    `space` says which leaves there are that the method sees whole, `settings` what is asked of each leaf.
    """
    why = []
    reads = 1
    if any(settings.masks_that(needs_threshold)):
        reads += 2
        why.append("up to two for the thresholds of the mask")
    asked = [one.name.replace("_", " ") for one in stages.method.statistics if one.needed(stages.params)]
    if asked:
        reads += 1
        why.append(f"one for {' and '.join(asked)}")
    for statistic in stages.method.rank_statistics:
        if statistic.needed(stages.params):
            reads += 2
            why.append(f"two for {statistic.name.replace('_', ' ')}")
    if stages.method.leaf_statistics:
        reads += 1
        why.append(
            "one for " + " and ".join(f"{statistic.name} of each leaf" for statistic in stages.method.leaf_statistics)
        )
    if stages.layer_scaling.needs_alpha and has_base:
        reads += 2
        why.append("two for the norms behind α")
    if any(mask(spec.kind).balanced(spec.params) for spec in stages.masks):
        reads += 2
        why.append("two for the norms of each leaf before and after the mask")
    why.append("one to merge and write")
    if any(settings.masks_that(needs_standings)):
        reads *= 2
        why.append("and each of them twice, to rank the changes first")
    operations = sum(cost.operations for cost in costs_of(stages, settings, space))
    twice = 2 if stages.layer_scaling.needs_alpha and has_base else 1
    return Passes(reads, tuple(why), twice * operations)


def live_memory(stages: Stages, settings: Settings, space: ParameterSpace, experts: int, has_base: bool) -> int:
    """Estimate the live engine's peak: base, task vectors, masked copies, the combination, the merge and a rounding."""
    masked = sum(settings.masks_that(lambda spec: not is_identity(spec)))
    if stages.layer_scaling.applies_to == "each":
        masked = experts
    standings = sum(settings.masks_that(needs_standings))
    costs = costs_of(stages, settings, space)
    whole = sum(sorted((cost.numbers for cost in costs), reverse=True)[:MAX_WORKERS])
    kept = experts * sum(cost.kept for cost in costs)
    vectors = int(has_base) + experts + masked + standings + 3
    return _FLOAT * space.size * vectors + _WIDE * (whole + kept)


def seconds(passes: Passes, read_bytes: int, written_bytes: int, elements: int) -> float:
    """Estimate the time: bytes read in every pass and written once, plus arithmetic per element, model and pass.

    >>> seconds(Passes(1, ()), 1_000_000_000, 1_000_000_000, 0)
    2.0
    """
    disk = (passes.reads * read_bytes + written_bytes) / _DISK_BYTES_PER_SECOND
    return disk + passes.reads * elements / _ELEMENTS_PER_SECOND + passes.operations / _OPERATIONS_PER_SECOND


def work_seconds(elements: int, read_bytes: int, written_bytes: int, operations: float, workers: int) -> float:
    """Estimate the time of a part of a merge, as `seconds` does, with work on whole leaves spread over `workers`.

    >>> work_seconds(60_000_000, 1_000_000_000, 0, 2e10, 2)
    3.0
    """
    work = operations / (_OPERATIONS_PER_SECOND * workers)
    return seconds(Passes(1, ()), read_bytes, written_bytes, elements) + work


def operations_of(stages: Stages, settings: Settings, space: ParameterSpace) -> dict[int, float]:
    """Return how many operations each leaf takes that the method sees whole, by its place."""
    places = whole_leaves(stages.method, stages.params, space.leaves)
    costs = costs_of(stages, settings, space)
    return {place: cost.operations for place, cost in zip(places, costs, strict=bool(costs))}


def merge_seconds(passes: Passes, elements: int, workers: int) -> float:
    """Estimate the time to combine what is in memory already, with the work on whole leaves spread over `workers`.

    >>> merge_seconds(Passes(1, (), operations=4e10), 60_000_000, 2)
    3.0
    """
    return elements / _ELEMENTS_PER_SECOND + passes.operations / (_OPERATIONS_PER_SECOND * workers)


def costs_of(stages: Stages, settings: Settings, space: ParameterSpace) -> tuple[Cost, ...]:
    """Return what each leaf costs that the method sees whole, in order."""
    info = stages.method
    if info.whole_leaf is None:
        return ()
    cost, own = info.whole_leaf.cost, settings.leaves
    voices = settings.of_each(lambda stages: sum(weight != 0.0 for weight in stages.weights))
    return tuple(
        cost(space.leaves[place].shape, voices[place], own[place].params)
        for place in whole_leaves(info, stages.params, space.leaves)
    )


def available_memory(groups: str = "/sys/fs/cgroup") -> int | None:
    """Return the bytes of memory that this process may use, where the system tells: the machine's, or its container's.

    `groups` is where Linux shows the limits of the control group that a container runs in.
    """
    known = []
    with suppress(AttributeError, ValueError, OSError):
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such limit, or the word “max”
            known.append(int(Path(groups, name).read_text(encoding="ascii")))
    return min(known, default=None)


def amount(size: int) -> str:
    """Write a number of bytes for people.

    >>> amount(1_500), amount(2_500_000)
    ('1.5 kB', '2.5 MB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"
