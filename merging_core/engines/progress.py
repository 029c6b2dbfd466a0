"""How far a merge is: bytes in all passes, its pace, and the time that it still takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from merging_core.checkpoints.dtypes import item_size
from merging_core.engines.plan import Plan
from merging_core.engines.pricing import amount, operations_of, work_seconds
from merging_core.pace import Pace, spell

__all__ = ["Meter", "Progress", "Standing"]

_TOLD_EVERY, _BEAT = 0.2, 1.0


@dataclass(frozen=True)
class Standing:
    """How a merge stands, in bytes: of the experts that were read, in every pass, and of the output that was written.

    In the stage `content` what a checkpoint holds is found out by reading all of it; the bytes are that checkpoint's.
    """

    done: int
    total: int
    """Of all passes; while what must be known first is looked for, the most that it can be."""
    what: str
    number: int = 1
    """Of the pass, from 1."""
    passes: int = 1
    at_most: bool = False
    """Whether there may be fewer passes and bytes than said."""
    rate: float | None = None
    """Bytes in a second; None where that is not known yet."""
    left: float | None = None
    """Seconds that the stage still takes; None where that is not known yet."""
    written: int = 0
    """Bytes of the output that are written."""
    output: int = 0
    """Bytes of the whole output."""
    stage: Literal["content", "merge"] = "merge"

    @property
    def share(self) -> float:
        """The part that is done, in [0, 1].

        >>> Standing(1, 4, "").share
        0.25
        """
        return min(1.0, self.done / self.total) if self.total else 1.0

    def in_words(self) -> str:
        """Say bytes, pass, pace and the time that is left.

        >>> Standing(1_500_000, 4_000_000, "", 2, 3, True, 2e6, 94.0).in_words()
        '1.5 MB of at most 4.0 MB, pass 2 of at most 3, 2.0 MB/s, at most 1.6 min left'
        """
        most = "at most " if self.at_most else ""
        words = [f"{amount(self.done)} of {most}{amount(self.total)}"]
        if self.passes > 1:
            words.append(f"pass {self.number} of {most}{self.passes}")
        if self.rate is not None:
            words.append(f"{amount(round(self.rate))}/s")
        if self.left is not None and self.done < self.total:
            words.append(f"{most or 'about '}{spell(self.left)} left")
        return ", ".join(words)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "stage": self.stage,
            "what": self.what,
            "words": self.in_words(),
            "share": round(self.share, 6),
            "done_bytes": self.done,
            "total_bytes": self.total,
            "pass": self.number,
            "passes": self.passes,
            "at_most": self.at_most,
            "bytes_per_second": None if self.rate is None else round(self.rate),
            "seconds_left": None if self.left is None else round(self.left, 1),
            "written_bytes": self.written,
            "output_bytes": self.output,
        }


Progress = Callable[[Standing], None]


class Meter:
    """Adds up what a merge has read and written, and tells it.

    `written` are the bytes of the output that are there before it begins. Time is counted by what the plan's rates say
    that work takes, so that a matrix that is decomposed weighs more than a leaf that is only added.
    """

    def __init__(self, plan: Plan, written: int, tell: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._hears = tell
        self._turn = threading.Lock()
        self._clock = clock
        self._what, self._told = "", clock()
        self._lock = threading.Lock()
        self._experts = [expert.leaves for expert in plan.survey.experts]
        self._names = [leaf.name for leaf in plan.space.leaves]
        self._operations = operations_of(plan.stages, plan.settings, plan.space)
        self._sizes = [leaf.elements for leaf in plan.space.leaves]
        self._pass = sum(self._read_bytes(place, size) for place, size in enumerate(self._sizes))
        self._elements = plan.space.size * len(self._experts)
        self._output = plan.output_bytes
        self._reads = plan.passes.reads
        self._before = 0
        """Bytes read before the pass that writes."""
        self._looking = True
        self._work = 0.0
        operations = sum(self._operations.values())
        merge_work = work_seconds(self._elements, self._pass, self._output, operations, plan.means.workers)
        self._workers = plan.means.workers
        share = written / self._output if self._output else 0.0
        self._written, self._merged = written, int(share * self._pass)
        self._left_to_write = (1.0 - share) * merge_work
        self._bytes, self._pace = Pace(clock), Pace(clock)
        self._hear()

    def say(self, what: str) -> None:
        """Tell how it stands, while this is done."""
        with self._turn:
            self._tell(what)

    def beat(self) -> None:
        """Tell again where nothing was told for a second, while one step takes long; never waits."""
        if self._clock() - self._told >= _BEAT and self._turn.acquire(blocking=False):
            try:
                self._tell(self._what)
            finally:
                self._turn.release()

    def begins(self, what: str) -> None:
        """Name what is worked on now; it is told with the next word."""
        self._what = what

    def tick(self) -> None:
        """Tell again, a few times a second, how far the look at whole models is."""
        if self._looking and self._clock() - self._told >= _TOLD_EVERY:
            self.say(self._what)

    def looked_at(self, place: int, model: int, elements: int) -> None:
        """Add so many elements of a leaf of an expert, read for what must be known before."""
        leaf = self._experts[model][self._names[place]]
        with self._lock:
            if self._looking:
                size = item_size(leaf.dtype) * elements
                self._before = min(self._before + size, (self._reads - 1) * self._pass)
                self._work += work_seconds(elements, size, 0, 0.0, 1)

    def found(self) -> None:
        """What must be known is known: the passes are those that were made, and the one that writes."""
        with self._lock:
            self._looking = False
            self._reads = 1 + (round(self._before / self._pass) if self._pass else 0)

    def wrote(self, nbytes: int, what: str, place: int | None = None, elements: int = 0) -> None:
        """Add what was written: bytes of the output, of a leaf that was merged from so many elements of each expert."""
        with self._turn:
            with self._lock:
                self._written += nbytes
                read, operations = 0, 0.0
                if place is not None:
                    read = self._read_bytes(place, elements)
                    operations = self._operations.get(place, 0.0) * elements / max(1, self._sizes[place])
                self._merged += read
                work = work_seconds(elements * len(self._experts), read, nbytes, operations, self._workers)
                self._work += work
                self._left_to_write = max(0.0, self._left_to_write - work)
            self._tell(what)

    def _tell(self, what: str) -> None:
        """Tell how it stands; one thread at a time, so that what is told only rises."""
        with self._lock:
            self._what, self._told = what, self._clock()
            standing = self._standing(what)
        self._hears(standing)

    def _read_bytes(self, place: int, elements: int) -> int:
        name = self._names[place]
        return sum(item_size(leaves[name].dtype) for leaves in self._experts) * elements

    def _hear(self) -> int:
        done = self._before + self._merged + self._written
        self._bytes.hear(done)
        self._pace.hear(self._work)
        return done

    def _standing(self, what: str) -> Standing:
        done = self._hear()
        ahead = (self._reads - 1) * self._pass - self._before if self._looking else 0
        total = self._before + ahead + self._pass + self._output
        more = self._left_to_write
        if ahead and self._pass:
            more += work_seconds(int(self._elements * ahead / self._pass), ahead, 0, 0.0, 1)
        number = 1 + self._before // self._pass if self._looking and self._pass else self._reads
        return Standing(
            done=min(done, total),
            total=total,
            what=what,
            number=min(number, self._reads),
            passes=self._reads,
            at_most=self._looking and self._reads > 1,
            rate=self._bytes.per_second,
            left=self._pace.left(more),
            written=self._written,
            output=self._output,
        )
