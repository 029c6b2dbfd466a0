"""The streaming engine: leaf by leaf, piece by piece, from disk to disk, with the bits of the live engine.

Nothing is held but pieces of every model and one leaf of the output. Where a stage must know the whole model first (the
thresholds of a mask, a majority sign, the norms behind LiNeS's α), the experts are read again; `Plan.passes` says how
often. The k-th largest magnitude is found by counting, so no sorted copy of a model exists at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from merging_core.checkpoints.finite import check_finite
from merging_core.checkpoints.growing import check_target
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.writer import write_checkpoint
from merging_core.engines.coefficients import after_combine, before_mask
from merging_core.engines.crew import Crew
from merging_core.engines.kernel import combine_piece, combine_whole, cuts, finish_, non_finite, subtract_
from merging_core.engines.masking import PreparedMask, Rewalked, prepare_mask
from merging_core.engines.plan import Opens, Plan
from merging_core.engines.pricing import STREAMED_PIECE
from merging_core.engines.reductions import l1_norm
from merging_core.engines.settings import Same, joined, terms_of
from merging_core.engines.whole import whole_leaves
from merging_core.errors import CancelledError, CheckpointError, Problem
from merging_core.methods.contract import (
    CombineContext,
    Terms,
    Walk,
    contexts_of_leaves,
    gather_leaf,
    gather_walks,
    ranks_of_walks,
)
from merging_core.methods.sums import weighted_sum
from merging_core.scaling.profiles import alpha_from_norms
from merging_core.space.parameter_space import SpaceLeaf

__all__ = ["RECIPE_NAME", "Cancelled", "Progress", "stream_leaves", "stream_merge"]

RECIPE_NAME = "recipe.json"

Progress = Callable[[float, str], None]
"""Called with the share that is done, in [0, 1], and what is being done."""
Cancelled = Callable[[], bool]


def stream_merge(  # noqa: PLR0913
    plan: Plan,
    catalog: Opens,
    out_dir: str | Path,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    chunk_elements: int = STREAMED_PIECE,
    overwrite: bool = False,
    shard_bytes: int | None = None,
    extra: Mapping[str, str | bytes] | None = None,
) -> Path:
    """Carry out a plan and write the merged checkpoint as a new folder; return the folder.

    It holds `model.safetensors` (with the recipe's hash in its metadata), or several files of at most `shard_bytes` and
    their index; the base's `config.json` with the `dtype` of the result; `recipe.json`, the recipe with every reference
    pinned; and `extra` files by name. The folder appears whole or not at all.
    `chunk_elements` (at least 1) is how many elements of each model are read at once; it does not change a bit.

    Raises CancelledError when `cancelled()` becomes true, CheckpointError when an input changed since the plan,
    NonFiniteError when a leaf that is read is not finite, PlanError when a merged number does not fit the recipe's
    dtype or the output cannot be written.
    """
    check_target(out_dir, plan.output_bytes, overwrite=overwrite)
    _check_unchanged(plan, catalog)
    leaves = stream_leaves(plan, progress=progress, cancelled=cancelled, chunk_elements=chunk_elements)
    specs = [LeafSpec(leaf.name, leaf.dtype, leaf.shape) for leaf in plan.outputs]
    config = _config(plan.survey.reference.config, plan.recipe.dtype)
    return write_checkpoint(
        out_dir,
        leaves,
        specs,
        config,
        extra={**(extra or {}), RECIPE_NAME: _recipe_text(plan)},
        metadata={"basin_recipe": plan.hash},
        overwrite=overwrite,
        shard_bytes=shard_bytes,
    )


def stream_leaves(
    plan: Plan,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    chunk_elements: int = STREAMED_PIECE,
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every leaf of the merged checkpoint in natural order, each computed when it is asked for.

    Raises as `stream_merge` does, while it is walked.
    """
    if chunk_elements < 1:
        raise ValueError("a piece has at least one element")
    whole = whole_leaves(plan.stages.method, plan.stages.params, plan.space.leaves)
    return _Job(plan, chunk_elements, progress, cancelled, frozenset(whole), Crew(torch.device("cpu"), 1)).leaves()


def _check_unchanged(plan: Plan, catalog: Opens) -> None:
    """Open every checkpoint of a plan again; raise CheckpointError naming all whose files changed since."""
    problems = []
    for planned in plan.survey.checkpoints:
        if catalog.open(planned.ref).files != planned.files:
            fix = "plan the merge again"
            problems.append(Problem("the files are those of the plan", "files that changed", planned.label, fix))
    if problems:
        raise CheckpointError(*problems)


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


@dataclass(frozen=True, eq=False)
class _Job:
    """One merge: its plan, how it is cut, and whom it tells. Its methods are generators that read as they go."""

    plan: Plan
    piece: int
    progress: Progress | None
    cancelled: Cancelled | None
    whole: frozenset[int]
    """Places of the leaves that the method must see whole."""
    crew: Crew

    def check(self) -> None:
        """Stop here if somebody asked for it."""
        if self.cancelled is not None and self.cancelled():
            raise CancelledError(
                Problem("a merge runs to its end", "a request to cancel it", fix="nothing was written")
            )

    def tell(self, share: float, what: str) -> None:
        if self.progress is not None:
            self.progress(min(1.0, share), what)

    def leaves(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield every leaf of the output in order, each computed when it is asked for."""
        try:
            yield from self._leaves()
        finally:
            self.crew.close()

    def _leaves(self) -> Iterator[tuple[str, torch.Tensor]]:
        self.check()
        plan, space = self.plan, self.plan.space
        found = plan.stages
        masks = self._masks()
        terms = terms_of(plan.settings)
        contexts = self._contexts(masks, terms)
        depths = [leaf.depth for leaf in space.leaves]
        coefficients = after_combine(found, depths, plan.settings.lambdas, self._alpha(masks, terms, contexts))
        place = {leaf.name: index for index, leaf in enumerate(space.leaves)}
        done = 0
        for spec in plan.outputs:
            index = place.get(spec.name)
            if index is None:
                yield spec.name, plan.survey.reference.read(spec.name)
                continue
            leaf = space.leaves[index]
            out = torch.empty(leaf.elements, dtype=getattr(torch, plan.recipe.dtype))
            for start, stop, origin, combined in self._combined(masks, index, terms[index], contexts[index]):
                merged = finish_(torch.empty_like(combined), combined, origin, coefficients[index], found.method.domain)
                out[start:stop] = merged
            error = non_finite([(leaf.name, out)], plan.recipe.dtype)
            if error is not None:
                raise error
            done += leaf.elements
            self.tell(done / space.size, leaf.name)
            yield leaf.name, out.view(leaf.shape)

    def _masks(self) -> tuple[PreparedMask, ...]:
        """Prepare each expert's mask; walks the experts whose masks have thresholds."""
        plan, space = self.plan, self.plan.space
        found = plan.stages
        factors = before_mask(found, [leaf.depth for leaf in space.leaves])
        prepared = []
        for model, expert in enumerate(plan.survey.experts):
            self.tell(0.0, f"mask of {expert.label}")

            def walk(leaves: range, model: int = model) -> Iterator[torch.Tensor]:
                for leaf in leaves:
                    for start, stop in self._ranges(space.leaves[leaf]):
                        where = space.leaves[leaf]
                        yield self._vector(model, where, start, stop, self._origin(where, start, stop))

            content = expert.content() if found.stochastic else ""
            specs = [run.value for run in plan.settings.mask_runs(model) for _ in range(run.first, run.last)]
            prepared.append(prepare_mask(specs, space.leaves, factors, walk, seed=found.seed, content=content))
        return tuple(prepared)

    def _contexts(self, masks: tuple[PreparedMask, ...], terms: Sequence[Terms]) -> tuple[CombineContext, ...]:
        """Gather the statistics that the method needs of the whole model and of each leaf; one walk for each kind."""
        found, leaves = self.plan.stages, range(len(self.plan.space.leaves))

        def stacked(run: Same[Terms]) -> Iterator[torch.Tensor]:
            places = range(run.first, run.last)
            return (torch.stack(pieces) for index in places for pieces in self._walk(masks, index))

        walks = [Walk(Rewalked(partial(stacked, run)), run.value) for run in joined(terms)]
        common = CombineContext(found.params, gather_walks(found.method, walks))
        ranked = ranks_of_walks(found.method, walks, self.plan.space.size, common)
        common = replace(common, statistics=ranked)
        sums = [
            {} if index in self.whole else gather_leaf(found.method, map(torch.stack, self._walk(masks, index)))
            for index in leaves
        ]
        return contexts_of_leaves(found.method, common, sums, terms)

    def _alpha(
        self, masks: tuple[PreparedMask, ...], terms: Sequence[Terms], contexts: Sequence[CombineContext]
    ) -> float | None:
        """Compute LiNeS's α from the norms of the whole model, where the recipe asks for it; two walks."""
        plan, found = self.plan, self.plan.stages
        base, space = plan.survey.base, plan.space
        if not found.layer_scaling.needs_alpha or base is None:
            return None
        origin = base

        def summed() -> Iterator[torch.Tensor]:
            for leaf, own in zip(space.leaves, terms, strict=True):
                for start, stop in self._ranges(leaf):
                    before = self._read(origin, leaf, start, stop)
                    raw = [subtract_(self._read(expert, leaf, start, stop), before) for expert in plan.survey.experts]
                    yield weighted_sum(torch.stack(raw), own.weights)

        def merged() -> Iterator[torch.Tensor]:
            for index in range(len(space.leaves)):
                for _, _, before, piece in self._combined(masks, index, terms[index], contexts[index]):
                    yield piece - before if found.method.domain == "weight" and before is not None else piece

        norms = l1_norm(summed()), l1_norm(merged())
        return alpha_from_norms(*norms, len(plan.survey.experts), found.layer_scaling.alpha_rule)

    def _combined(
        self, masks: tuple[PreparedMask, ...], index: int, own: Terms, context: CombineContext
    ) -> Iterator[tuple[int, int, torch.Tensor | None, torch.Tensor]]:
        """Yield pieces of one leaf: start, stop, the base's piece, and what the method makes of all models there."""
        leaf, info = self.plan.space.leaves[index], self.plan.stages.method
        if index not in self.whole or info.whole_leaf is None:
            for start, stop in self._ranges(leaf):
                origin = self._origin(leaf, start, stop)
                pieces = self._inputs(masks, index, start, stop, origin)
                yield start, stop, origin, combine_piece(pieces, own.weights, info, context)
            return
        whole = info.whole_leaf
        models = [torch.cat(pieces).view(leaf.shape) for pieces in zip(*self._walk(masks, index), strict=True)]
        (combined,) = self.crew.on_one_core(lambda one: combine_whole(one, own.weights, whole, context), [models])
        for start, stop in self._ranges(leaf):
            yield start, stop, self._origin(leaf, start, stop), combined.reshape(-1)[start:stop]

    def _walk(self, masks: tuple[PreparedMask, ...], index: int) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield what the method combines of one leaf, piece by piece."""
        leaf = self.plan.space.leaves[index]
        for start, stop in self._ranges(leaf):
            yield self._inputs(masks, index, start, stop, self._origin(leaf, start, stop))

    def _ranges(self, leaf: SpaceLeaf) -> Iterator[tuple[int, int]]:
        for start, stop in cuts(leaf.elements, self.piece):
            self.check()
            yield start, stop

    def _inputs(
        self, masks: tuple[PreparedMask, ...], leaf: int, start: int, stop: int, origin: torch.Tensor | None
    ) -> tuple[torch.Tensor, ...]:
        """Return what the method combines of one piece of a leaf, after the mask, for every model."""
        where = self.plan.space.leaves[leaf]
        return tuple(
            prepared.apply(leaf, start, self._vector(model, where, start, stop, origin))
            for model, prepared in enumerate(masks)
        )

    def _vector(self, model: int, leaf: SpaceLeaf, start: int, stop: int, origin: torch.Tensor | None) -> torch.Tensor:
        """Return a piece of one task vector, or of one model's weights in the weight domain."""
        expert = self._read(self.plan.survey.experts[model], leaf, start, stop)
        if self.plan.stages.method.domain == "weight" or origin is None:
            return expert
        return subtract_(expert, origin)

    def _origin(self, leaf: SpaceLeaf, start: int, stop: int) -> torch.Tensor | None:
        base = self.plan.survey.base
        return None if base is None else self._read(base, leaf, start, stop)

    def _read(self, checkpoint: Checkpoint, leaf: SpaceLeaf, start: int, stop: int) -> torch.Tensor:
        piece = checkpoint.read_range(leaf.name, start, stop)
        if piece.dtype is torch.float64:
            piece = piece.to(torch.float32)
            check_finite(piece, f"{checkpoint.label}: {leaf.name} in float32")
        return piece.to(torch.float32)
