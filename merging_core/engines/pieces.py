"""Pieces of every model of a plan, read from its files: what the streaming engine walks over, once or several times."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TypeVar

import torch

from merging_core.checkpoints.finite import check_finite
from merging_core.checkpoints.reader import Checkpoint, Reading
from merging_core.cores import single_threaded_pool
from merging_core.engines.ahead import ahead
from merging_core.engines.kernel import cuts
from merging_core.engines.lanes import CORES, Lane, Tile
from merging_core.engines.learned import MASK
from merging_core.engines.plan import Plan
from merging_core.engines.progress import Meter
from merging_core.engines.stoppable import GRACE
from merging_core.errors import CancelledError, Problem
from merging_core.methods.measured import Measured
from merging_core.native import loops
from merging_core.space.parameter_space import SpaceLeaf

__all__ = ["Cancelled", "Pieces", "Tile", "cancellation", "reading"]

Cancelled = Callable[[], bool]
_SAMPLES, _SAMPLED = 128, 4096
"""How many pieces a sample has, and the elements of each."""
_LEAST_DISTANCE = 8 * _SAMPLED

Item = TypeVar("Item")
Found = TypeVar("Found")


def cancellation() -> CancelledError:
    """Return what is raised where somebody asked for a merge to stop."""
    return CancelledError(Problem("a merge runs to its end", "a request to cancel it", fix="nothing was written"))


class Pieces:
    """Reads pieces of the models of a plan as float32; safe to use from several threads.

    `size`: elements of each model that are read at once. `workers`: how many threads read and compute. `lane`: on what.
    """

    def __init__(self, plan: Plan, size: int, workers: int, cancelled: Cancelled | None, lane: Lane = CORES) -> None:
        self.plan = plan
        self.size = size
        self.workers = workers
        self.ahead = plan.means.ahead if workers == plan.means.workers else 2 * workers
        self.lane = lane
        self.meter: Meter | None = None
        """Hears of what is read of the experts."""
        self._cancelled = cancelled
        self._stopped = threading.Event()
        self._busy = 0
        self._idle = threading.Condition()
        self._own = threading.local()
        self.alone = threading.Lock()
        """Held by a worker while it has a large leaf in memory."""
        self._finite: dict[tuple[int, int], bytearray] = {}
        self._opened = ExitStack()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def check(self) -> None:
        """Stop here if somebody asked for it: raise CancelledError."""
        if self._stopped.is_set() or (self._cancelled is not None and self._cancelled()):
            raise cancellation()

    def stop(self) -> None:
        """Let every worker stop at its next look."""
        self._stopped.set()

    def each(self, function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
        """Yield function(item) for each item, in order, side by side on cores of their own and a little ahead.

        A worker that needs more pieces for its own item reads them itself.
        """

        def work(item: Item) -> Found:
            self._own.works = True
            with self._working(), self.lane.working():
                self.check()
                return function(item)

        if getattr(self._own, "works", False) or self._pool is None:
            yield from ahead(None, 0, function, items)
            return
        for found in ahead(self._pool, self.ahead, work, items):
            yield found
            if self.meter is not None:
                self.meter.tick()

    def tiles(self, leaves: Iterable[int]) -> Iterator[Tile]:
        """Cut leaves into pieces, in order."""
        for leaf in leaves:
            for start, stop in cuts(self.plan.space.leaves[leaf].elements, self.size):
                yield Tile(leaf, start, stop)

    def sample(self) -> Iterator[Tile]:
        """Cut out small pieces at equal distances, in order; none of a model that is read as fast.

        None either where there is no memory for what is guessed by it.
        """
        leaves = self.plan.space.leaves
        distance, at = self.plan.space.size // _SAMPLES, 0
        if distance < _LEAST_DISTANCE or not self.plan.means.guess:
            return
        for place, leaf in enumerate(leaves):
            while at < leaf.stop:
                start = at - leaf.start
                yield Tile(place, start, min(start + _SAMPLED, leaf.elements))
                at += distance

    def origin(self, tile: Tile) -> torch.Tensor | None:
        """Return θ₀ in a piece; None where there is no base."""
        base = self.plan.survey.base
        return None if base is None else self._read(base, tile)

    def vector(
        self, model: int, tile: Tile, origin: torch.Tensor | None, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return τₜ in a piece, or θₜ in the weight domain; the caller's own, in `out` where that is given."""
        return self._expert(model, tile, None if self.plan.stages.method.domain == "weight" else origin, out)

    def task_vector(self, model: int, tile: Tile, origin: torch.Tensor) -> torch.Tensor:
        """Return τₜ in a piece, whatever the domain; the caller's own."""
        return self._expert(model, tile, origin, None)

    def _expert(self, model: int, tile: Tile, minus: torch.Tensor | None, out: torch.Tensor | None) -> torch.Tensor:
        read = self._read(self.plan.survey.experts[model], tile, minus, out)
        if self.meter is not None:
            self.meter.looked_at(tile.leaf, model, tile.stop - tile.start)
        return read

    def learned_mask(self, tile: Tile) -> torch.Tensor | None:
        """Return the learned mask in a piece; None where the leaf has none."""
        learned, leaf = self.plan.survey.learned, self.plan.space.leaves[tile.leaf]
        if learned is None or leaf.name not in learned.masked:
            return None
        self.check()
        read = partial(self._reading(learned.checkpoint).read_range, MASK + leaf.name, tile.start, tile.stop)
        return self.lane.take(read, check=True).to(torch.float32)

    def measured(self, tile: Tile, like: Sequence[torch.Tensor]) -> Measured | None:
        """Return what was measured of the experts in a piece that looks `like` theirs; None where nothing was."""
        known = [one for one in self.plan.survey.statistics if one is not None]
        if not known:
            return None
        leaf, parts = self.plan.space.leaves[tile.leaf], []
        for found, other in zip(known, like, strict=True):
            header = found.leaves.get(leaf.name)
            self.check()
            if header is None:
                parts.append(torch.full_like(other, float("nan")))
                continue
            read = partial(self._reading(found.checkpoint).read_range, header.name, tile.start, tile.stop)
            parts.append(self.lane.take(read, check=True).to(torch.float32))
        return Measured(tuple(parts), tuple(one.size for one in known))

    def measured_leaf(self, place: int) -> Measured | None:
        """Return the Gram matrices of a leaf that is seen whole; None where nothing was measured."""
        known = [one for one in self.plan.survey.statistics if one is not None]
        leaf, grams = self.plan.space.leaves[place].name, []
        for found in known:
            header = found.leaves.get(leaf)
            self.check()
            if header is None:
                grams.append(torch.empty(0, 0))
                continue
            read = partial(self._reading(found.checkpoint).read_range, header.name, 0, header.elements)
            grams.append(self.lane.take(read, check=True).to(torch.float32).view(header.shape))
        return Measured(tuple(grams), turned=any(one.turned(leaf) for one in known)) if known else None

    def _read(
        self,
        checkpoint: Checkpoint,
        tile: Tile,
        minus: torch.Tensor | None = None,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return a piece of a checkpoint in float32, less `minus`, in `out` or memory of its own.

        Raises NonFiniteError, the first time that it is read, where it is not finite.
        """
        self.check()
        leaf: SpaceLeaf = self.plan.space.leaves[tile.leaf]
        known = self._known(checkpoint, tile)
        first, last = tile.start // self.size, -(-tile.stop // self.size)
        checked = all(known[first:last])
        read = partial(self._reading(checkpoint).read_range, leaf.name, tile.start, tile.stop)
        at_once = self.lane is CORES
        piece = self.lane.take(read, check=not (checked or at_once))
        room = torch.empty(piece.numel(), device=piece.device) if out is None else out
        finite = loops.widen_(room, piece, minus)
        if finite is False and not checked and at_once:
            read(check=True)
        if finite is None:
            if at_once and not checked:
                check_finite(piece, f"{checkpoint.label}: {leaf.name}")
            wide = piece.to(torch.float32)
            if piece.dtype is torch.float64:
                check_finite(wide, f"{checkpoint.label}: {leaf.name} in float32")
            room = room.copy_(wide) if minus is None else torch.sub(wide, minus, out=room)
        if tile.start % self.size == 0 and (tile.stop % self.size == 0 or tile.stop == leaf.elements):
            known[first:last] = b"\1" * (last - first)
        return room

    def _known(self, checkpoint: Checkpoint, tile: Tile) -> bytearray:
        """Return which pieces of a leaf were read before and found finite, 1 or 0 for each."""
        key = (id(checkpoint), tile.leaf)
        if key not in self._finite:
            pieces = -(-self.plan.space.leaves[tile.leaf].elements // self.size)
            self._finite.setdefault(key, bytearray(pieces))
        return self._finite[key]

    def _reading(self, checkpoint: Checkpoint) -> Reading:
        """Return this thread's own open file of a checkpoint."""
        known: dict[int, Reading] = self._own.__dict__.setdefault("readings", {})
        if id(checkpoint) not in known:
            with self._lock:
                known[id(checkpoint)] = self._opened.enter_context(checkpoint.reading())
        return known[id(checkpoint)]

    def open(self) -> None:
        """Start the workers."""
        self._pool = single_threaded_pool(self.workers, "basin-streaming")

    def close(self) -> None:
        """Let go of workers and files; of a worker that is in one long call only its work is left.

        It ends after that call, and the last one closes the files.
        """
        self.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            with self._idle:
                idle = self._idle.wait_for(lambda: not self._busy, GRACE)
            if idle:
                self._pool.shutdown(wait=True)
            self._pool = None
        with self._idle:
            if not self._busy:
                self._opened.close()

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                if not self._busy:
                    self._idle.notify_all()
                    if self._pool is None:
                        self._opened.close()


@contextmanager
def reading(plan: Plan, size: int, workers: int, cancelled: Cancelled | None, lane: Lane = CORES) -> Iterator[Pieces]:
    """Give the pieces of a plan's models, with workers that are gone at the end."""
    pieces = Pieces(plan, size, workers, cancelled, lane)
    try:
        pieces.open()
        yield pieces
    finally:
        pieces.close()
