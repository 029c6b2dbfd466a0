"""Measuring many places on ever more examples: sums for each place and task, the same examples for all places.

A picture compares its places, so all of them are shown on the same first examples of each split: at first on the
preview's, then on three times as many, and so on to the whole split. What one stage measured the next one adds to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
from numpy.typing import NDArray

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.stacked import TOGETHER, scores_of_many

__all__ = ["Sums", "growing", "measured"]

_GROWTH, _NEARLY = 3, 1.5


@dataclass(frozen=True, eq=False)
class Sums:
    """What is known of some places [P] on some parts [K], measured on each part's first examples.

    `correct` [P, K] counts right answers, `losses` [P, K] adds their losses (nats); `known` [P] says which places were
    measured. `share`: how much of all the work is done.
    """

    parts: tuple[Part, ...]
    correct: NDArray[numpy.float64]
    losses: NDArray[numpy.float64]
    known: NDArray[numpy.bool_]
    share: float

    @property
    def sizes(self) -> NDArray[numpy.float64]:
        """How many examples of each part were measured at every known place [K]."""
        return numpy.array([part.stop for part in self.parts], dtype=numpy.float64)

    @property
    def partial(self) -> bool:
        """Whether a place is missing, or a part is not the whole split."""
        return not self.known.all() or any(part.stop < len(part.task.splits[part.split]) for part in self.parts)


def growing(first: Sequence[Part], whole: Sequence[Part]) -> tuple[tuple[Part, ...], ...]:
    """Return the parts of every stage: those of the preview, then three times as many examples each, until all.

    A last stage that would add little is one with the stage before it.
    """
    stages, parts = [], tuple(first)
    while any(part.stop < end.stop for part, end in zip(parts, whole, strict=True)):
        stages.append(parts)
        parts = tuple(
            end if part.stop * _GROWTH * _NEARLY > end.stop else replace(part, stop=part.stop * _GROWTH)
            for part, end in zip(parts, whole, strict=True)
        )
    return (*stages, parts)


def measured(
    bench: StudyBench,
    memory: Memory,
    config: Mapping[str, Any],
    weights: Callable[[int], Weights],
    count: int,
    stages: Sequence[Sequence[Part]],
) -> Iterator[Sums]:
    """Measure places 0 … count − 1 in this order, stage by stage; yield after each step of some that were not known.

    While a later stage is under way, what is yielded is the whole stage before; each stage is yielded once it is whole.
    Raises as `Evaluator.scores` does.
    """
    sizes = [sum(part.stop for part in parts) for parts in stages]
    total, before, shown = count * sizes[-1], 0, None
    for number, parts in enumerate(stages):
        found = _read(memory, number, count, len(parts))
        earlier = stages[number - 1] if number else [replace(part, stop=0) for part in parts]
        added = [replace(part, start=old.stop) for part, old in zip(parts, earlier, strict=True)]
        kept = [place for place, part in enumerate(added) if part.start < part.stop]
        asked, step = [added[place] for place in kept], sizes[number] - before
        waiting = [place for place in range(count) if not found[0, place].any()]
        at_once = TOGETHER if waiting and bench.evaluator.stacks(config, asked) else 1
        for start in range(0, len(waiting), at_once):
            bench.heed()
            places = waiting[start : start + at_once]
            rows = scores_of_many(bench.evaluator, config, [weights(place) for place in places], asked, bench.cancelled)
            found = found.copy()
            for place, row in zip(places, rows, strict=True):
                found[:, place] = 0.0 if shown is None else shown[:, place]
                for at, score in zip(kept, row, strict=True):
                    found[:, place, at] += score.n, score.correct.sum(), score.losses.sum(dtype=numpy.float64)
            memory.put(_name(number), sums=found)
            done = int(found[0].any(axis=1).sum())
            share = (count * before + step * done) / total
            if done < count:
                yield _sums(found, parts, share) if shown is None else _sums(shown, earlier, share)
        shown, before = found, sizes[number]
        yield _sums(found, parts, count * before / total)


def _sums(found: NDArray[numpy.float64], parts: Sequence[Part], share: float) -> Sums:
    return Sums(tuple(parts), found[1], found[2], found[0].any(axis=1), share)


def _read(memory: Memory, stage: int, places: int, parts: int) -> NDArray[numpy.float64]:
    """Return sums [3, places, parts] of a stage: examples, right answers, losses."""
    found = memory.get(_name(stage))
    return numpy.zeros((3, places, parts)) if found is None else found["sums"].astype(numpy.float64)


def _name(stage: int) -> str:
    return f"stage {stage}"
