"""The streaming engine: piece by piece from disk to disk, with the bits of the live engine.

Each worker reads a piece of every model, merges it on a core of its own and writes it at the place that the plan gives
it, so that reading, computing and writing overlap and nothing is held but a few pieces. Where a stage must know the
whole model first (thresholds of a mask, a majority sign, the norms behind LiNeS's α), the experts are read before;
`Plan.passes` says how often. The k-th largest magnitude is found by counting, so no sorted copy of a model exists at
any time. A merge whose process was killed is gone on with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from merging_core import __version__
from merging_core.checkpoints.draft import Draft
from merging_core.checkpoints.dtypes import item_size
from merging_core.checkpoints.growing import check_target
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.learned import BESIDE_NAME
from merging_core.checkpoints.writer import drafting
from merging_core.engines.identifying import identify, watched
from merging_core.engines.kernel import cuts, finished, non_finite
from merging_core.engines.lanes import CORES, LEAST_PART, Lane, Tile, in_parts, with_less
from merging_core.engines.pieces import Cancelled, Pieces, reading
from merging_core.engines.plan import Opens, Plan
from merging_core.engines.preparing import Prepared, prepare
from merging_core.engines.pricing import STREAMED_PIECE
from merging_core.engines.progress import Meter, Progress, Standing
from merging_core.engines.stoppable import stoppable
from merging_core.errors import CheckpointError, PlanError, Problem

__all__ = ["RECIPE_NAME", "Cancelled", "Progress", "Standing", "stream_leaves", "stream_merge"]

RECIPE_NAME = "recipe.json"

_LARGEST = {"float32": math.inf, "float16": 65520.0, "bfloat16": (2 - 2**-8) * 2.0**127}
"""Numbers from here on are rounded to infinity."""


def stream_merge(  # noqa: PLR0913
    plan: Plan,
    catalog: Opens,
    out_dir: str | Path,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    chunk_elements: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    shard_bytes: int | None = None,
    extra: Mapping[str, str | bytes] | None = None,
    lane: Lane = CORES,
) -> Path:
    """Carry out a plan and write the merged checkpoint as a new folder; return the folder.

    It holds `model.safetensors` (with the recipe's hash in its metadata), or several files of at most `shard_bytes` and
    their index; the base's `config.json` with the `dtype` of the result; `recipe.json`, the recipe with every reference
    pinned, and `recipe.tensors`, what was learned, where it has some; and `extra` files by name. The folder appears
    whole or not at all. What a killed process has written of the same merge, into a hidden neighbour, is not computed
    again.
    `chunk_elements` (at least 1) is how many elements of each model are read at once, and `workers` how many threads
    there are, by default what the plan's memory allows (`Plan.means`); neither changes a bit. `lane` is what computes,
    if not the cores of the CPU: where its memory does not suffice pieces become smaller, and the CPU does what it
    cannot (`devices.lane_for`).
    `progress(standing)` is called from another thread.

    Raises CancelledError soon after `cancelled()` becomes true, also where a worker is in one long call (its thread
    then ends after it), CheckpointError when an input changed since the plan,
    NonFiniteError when a leaf that is read is not finite, PlanError when a merged number does not fit the recipe's
    dtype or the output cannot be written.
    """
    check_target(out_dir, plan.output_bytes, overwrite=overwrite)
    with watched(progress, cancelled):
        _check_unchanged(plan, catalog)
    identify(plan, progress, cancelled)
    specs = [LeafSpec(leaf.name, leaf.dtype, leaf.shape) for leaf in plan.outputs]
    drafted = drafting(
        out_dir,
        specs,
        _config(plan.survey.reference.config, plan.recipe.dtype),
        extra={**(extra or {}), RECIPE_NAME: _recipe_text(plan)},
        metadata={"basin_recipe": plan.hash},
        overwrite=overwrite,
        shard_bytes=shard_bytes,
        identity=_identity(plan, shard_bytes, lane),
        copies=_learned_file(plan),
    )
    with drafted as draft:

        def run(lane: Lane, size: int) -> None:
            with _pieces(plan, size, workers, cancelled, lane) as pieces:
                writing = _Writing(plan, draft, pieces, progress or _silent)
                stoppable(writing.run, writing.look, pieces.stop)

        size = lane.piece or _size(plan, chunk_elements)
        with_less(lane, size, min(size, STREAMED_PIECE), run)
    return draft.folder


def stream_leaves(
    plan: Plan,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    chunk_elements: int | None = None,
    workers: int | None = None,
    lane: Lane = CORES,
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every leaf of the merged checkpoint in natural order, each computed when it is asked for.

    Raises as `stream_merge` does, while it is walked.
    """
    with _pieces(plan, _size(plan, chunk_elements), workers, cancelled, lane) as pieces:
        pieces.check()
        with watched(progress, cancelled):
            for checkpoint in plan.survey.checkpoints:
                checkpoint.check_twins()
        meter = pieces.meter = Meter(plan, 0, progress or _silent)
        with lane.working():
            prepared = prepare(pieces, meter.say)
        meter.found()
        place = {leaf.name: index for index, leaf in enumerate(plan.space.leaves)}
        for spec in plan.outputs:
            index = place.get(spec.name)
            if index is None:
                yield spec.name, plan.survey.reference.read(spec.name)
                meter.wrote(spec.nbytes, spec.name)
                continue
            tiles = pieces.each(lambda tile: list(_merged(prepared, tile)), prepared.tiles_of(index))
            parts = [made for parts in tiles for _, made in parts]
            leaf = plan.space.leaves[index]
            meter.wrote(spec.nbytes, leaf.name, index, leaf.elements)
            empty = torch.empty(0, dtype=getattr(torch, plan.recipe.dtype))
            yield leaf.name, torch.cat([empty, *parts]).view(leaf.shape)


class _Writing:
    """One merge on its way to the disk."""

    def __init__(self, plan: Plan, draft: Draft, pieces: Pieces, progress: Progress) -> None:
        self._plan = plan
        self._draft = draft
        self._pieces = pieces
        self._progress = progress

    def run(self) -> None:
        """Write whatever is missing."""
        self._pieces.check()
        written = self._plan.output_bytes - sum(
            item_size(spec.dtype) * (stop - start)
            for spec in self._plan.outputs
            for start, stop in self._draft.missing(spec.name)
        )
        meter = self._pieces.meter = Meter(self._plan, written, self._progress)
        meter.say("going on where it was stopped" if self._draft.begun else "starting")
        for name, count in self._pieces.each(self._copy, self._copied()):
            meter.wrote(count, name)
        names = [leaf.name for leaf in self._plan.space.leaves]
        if not any(self._draft.missing(name) for name in names):
            return
        with self._pieces.lane.working():
            prepared = prepare(self._pieces, meter.say)
        meter.found()
        tiles = (tile for tile in prepared.tiles() if self._is_missing(names[tile.leaf], tile))
        for tile, count in self._pieces.each(lambda tile: self._merge(prepared, tile), tiles):
            meter.wrote(count, names[tile.leaf], tile.leaf, tile.stop - tile.start)

    def look(self) -> None:
        """Tell how it stands where a step takes long; raise CancelledError if somebody asked for it."""
        self._pieces.check()
        if self._pieces.meter is not None:
            self._pieces.meter.beat()

    def _merge(self, prepared: Prepared, tile: Tile) -> tuple[Tile, int]:
        count = 0
        if self._pieces.meter is not None and prepared.undivided(tile.leaf):
            self._pieces.meter.begins(self._plan.space.leaves[tile.leaf].name)
        for part, merged in _merged(prepared, tile):
            self._pieces.check()
            self._draft.write(self._plan.space.leaves[tile.leaf].name, part.start, merged)
            count += merged.numel() * merged.element_size()
        return tile, count

    def _copied(self) -> Iterator[tuple[str, int, int]]:
        """Cut the leaves that are taken over as they are."""
        for leaf in self._plan.copied:
            for start, stop in self._draft.missing(leaf.name):
                for at, end in cuts(stop - start, self._pieces.size):
                    yield leaf.name, start + at, start + end

    def _copy(self, part: tuple[str, int, int]) -> tuple[str, int]:
        name, start, stop = part
        self._pieces.check()
        values = self._plan.survey.reference.read_range(name, start, stop)
        self._draft.write(name, start, values)
        return name, values.numel() * values.element_size()

    def _is_missing(self, name: str, tile: Tile) -> bool:
        return any(start < tile.stop and tile.start < stop for start, stop in self._draft.missing(name))


def _merged(prepared: Prepared, tile: Tile) -> Iterator[tuple[Tile, torch.Tensor]]:
    """Yield a piece of the merged weights, in parts where its lane has no memory for all of it."""
    size = tile.stop - tile.start
    least = size if prepared.undivided(tile.leaf) else LEAST_PART
    return in_parts(prepared.pieces.lane, tile, least, partial(_merged_part, prepared))


def _merged_part(prepared: Prepared, tile: Tile) -> torch.Tensor:
    """Return a piece of the merged weights in the recipe's dtype. Raises PlanError where a number does not fit it."""
    plan, pieces = prepared.pieces.plan, prepared.pieces
    origin = pieces.origin(tile)
    combined = prepared.combined(tile, origin)
    coefficient, domain = prepared.coefficients[tile.leaf], plan.stages.method.domain
    made = finished(combined, origin, coefficient, domain, getattr(torch, plan.recipe.dtype))
    out, largest = pieces.lane.give(*made)
    if not largest.item() < _LARGEST[plan.recipe.dtype]:
        error = non_finite([(plan.space.leaves[tile.leaf].name, out)], plan.recipe.dtype)
        raise error or PlanError(Problem("every merged number is finite", "one that is not", "merge"))
    return out


def _size(plan: Plan, chunk_elements: int | None) -> int:
    return plan.means.piece if chunk_elements is None else chunk_elements


def _pieces(
    plan: Plan, size: int, workers: int | None, cancelled: Cancelled | None, lane: Lane
) -> AbstractContextManager[Pieces]:
    if size < 1:
        raise ValueError("a piece has at least one element")
    return reading(plan, size, workers or lane.workers or plan.means.workers, cancelled, lane)


def _identity(plan: Plan, shard_bytes: int | None, lane: Lane) -> str:
    """Return what a merge must be to be gone on with: of leaves that are seen whole a device has bits of its own."""
    own = plan.stages.method.whole_leaf is not None and lane.device.type != "cpu"
    return f"{__version__} {plan.hash} {shard_bytes}" + (f" {lane.device.type}" if own else "")


def _silent(standing: Standing) -> None:
    return None


def _check_unchanged(plan: Plan, catalog: Opens) -> None:
    """Open every checkpoint of a plan again; raise CheckpointError naming all whose files changed since.

    Then read what their configurations tie: it must be tied.
    """
    problems = []
    learned = plan.survey.learned
    measured = [found.checkpoint for found in plan.survey.statistics if found is not None]
    for planned in (*plan.survey.checkpoints, *([learned.checkpoint] if learned is not None else []), *measured):
        if catalog.open(planned.ref).files != planned.files:
            fix = "plan the merge again"
            problems.append(Problem("the files are those of the plan", "files that changed", planned.label, fix))
    if problems:
        raise CheckpointError(*problems)
    for planned in plan.survey.checkpoints:
        planned.check_twins()


def _learned_file(plan: Plan) -> dict[str, Path]:
    """Return the file of a plan's learned tensors by the name that it gets beside the recipe."""
    learned = plan.survey.learned
    return {} if learned is None else {BESIDE_NAME: learned.checkpoint.folder / next(iter(learned.checkpoint.files))}


def _config(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Return a configuration that says the result's dtype as transformers 5 writes it: `dtype`, not `torch_dtype`.

    Parts of a composite model (`vision_config`, …) that state a dtype state the new one too.
    """
    stated = {key: value for key, value in config.items() if key != "torch_dtype"}
    for key, part in config.items():
        if key.endswith("_config") and isinstance(part, dict) and not part.keys().isdisjoint(("dtype", "torch_dtype")):
            stated[key] = _config(part, dtype)
    return {**stated, "dtype": dtype} if config else {}


def _recipe_text(plan: Plan) -> str:
    """Return the canonical recipe for people to read, and for `merge` to read back."""
    return json.dumps(json.loads(plan.canonical), indent=2, ensure_ascii=False) + "\n"
