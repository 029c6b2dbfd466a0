"""What must be known of whole models before the first element of a merge: masks, statistics, α. Each is a walk or more.

Pieces are read and masked by workers, ahead of the thread that counts and adds; it takes them in order, so the bits do
not depend on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch

from merging_core.cores import one_core
from merging_core.engines.coefficients import after_combine, before_mask
from merging_core.engines.flat import ACCELERATOR_BLOCKS
from merging_core.engines.kernel import combine_piece, combine_whole
from merging_core.engines.masking import PreparedMask, prepare_mask
from merging_core.engines.measured import check_measured_experts
from merging_core.engines.pieces import Pieces, Tile
from merging_core.engines.pricing import LARGE_LEAF
from merging_core.engines.reductions import l1_norm
from merging_core.engines.settings import joined, terms_of
from merging_core.engines.whole import whole_leaves
from merging_core.masks.ranks import Rewalked
from merging_core.methods.contract import (
    CombineContext,
    Terms,
    Walk,
    contexts_of_leaves,
    gather_leaf,
    gather_walks,
    ranks_of_walks,
    reads_statistics,
)
from merging_core.methods.sums import weighted_sum
from merging_core.scaling.profiles import alpha_from_norms

__all__ = ["Prepared", "prepare"]

Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A merge of which any piece can be computed by itself."""

    pieces: Pieces
    masks: tuple[PreparedMask, ...]
    terms: tuple[Terms, ...]
    contexts: tuple[CombineContext, ...]
    whole: frozenset[int]
    """Places of the leaves that the method must see whole."""
    coefficients: tuple[float, ...] = ()
    """λ(ℓ)·λ of each leaf."""

    def inputs(self, tile: Tile, origin: torch.Tensor | None) -> torch.Tensor:
        """Return what the method combines in a piece, after the mask, of every model: [T, n]."""
        rows = torch.empty((len(self.masks), tile.stop - tile.start), device=self.pieces.lane.device)
        for model, masked in enumerate(self.masks):
            row = self.pieces.vector(model, tile, origin, rows[model])
            found = masked.apply(tile.leaf, tile.start, row, own=True)
            if found is not row:
                row.copy_(found)
        return rows

    def combined(self, tile: Tile, origin: torch.Tensor | None) -> torch.Tensor:
        """Return what the method makes of a piece; of a leaf that it sees whole, the piece is all of it."""
        with self.pieces.alone if tile.stop - tile.start > max(LARGE_LEAF, self.pieces.size) else nullcontext():
            combined, mask = self._combined(tile, origin), self.pieces.learned_mask(tile)
            return combined if mask is None else combined.mul_(mask)

    def _combined(self, tile: Tile, origin: torch.Tensor | None) -> torch.Tensor:
        info, terms, context = self.pieces.plan.stages.method, self.terms[tile.leaf], self.contexts[tile.leaf]
        inputs = self.inputs(tile, origin)
        if tile.leaf not in self.whole or info.whole_leaf is None:
            if info.measures:
                context = replace(context, measured=self.pieces.measured(tile, list(inputs)))
            return combine_piece(inputs, terms.weights, info, context)
        if info.measures:
            context = replace(context, measured=self.pieces.measured_leaf(tile.leaf))
        shape = self.pieces.plan.space.leaves[tile.leaf].shape
        models = [row.view(shape) for row in inputs]
        return combine_whole(models, terms.weights, info.whole_leaf, context).reshape(-1)

    def tiles(self) -> Iterator[Tile]:
        """Cut the model into pieces, in order."""
        for place in range(len(self.pieces.plan.space.leaves)):
            yield from self.tiles_of(place)

    def undivided(self, place: int) -> bool:
        """Say whether a leaf is seen whole, or ranked."""
        return place in self.whole or any(masked.standings is not None for masked in self.masks)

    def tiles_of(self, place: int) -> Iterator[Tile]:
        """Cut a leaf into pieces; one that is seen whole, or ranked, is one piece."""
        leaf = self.pieces.plan.space.leaves[place]
        whole = self.undivided(place) and leaf.elements
        return iter([Tile(place, 0, leaf.elements)]) if whole else self.pieces.tiles([place])


def prepare(pieces: Pieces, tell: Tell) -> Prepared:
    """Walk the models as often as the recipe needs; `tell(what)` says what for. Raises as reading does."""
    with one_core():
        return _prepared(pieces, tell)


def _prepared(pieces: Pieces, tell: Tell) -> Prepared:
    plan = pieces.plan
    check_measured_experts(plan.survey.statistics, plan.survey.experts)
    terms = terms_of(plan.settings, pieces.lane.device)
    whole = frozenset(whole_leaves(plan.stages.method, plan.stages.params, plan.space.leaves))
    found = Prepared(pieces, _masks(pieces, tell), terms, (), whole)
    method = plan.stages.method
    if reads_statistics(method, plan.stages.params) or method.rank_statistics or method.leaf_statistics:
        tell("what the method must know of the whole model")
    found = replace(found, contexts=_contexts(found))
    if plan.stages.layer_scaling.needs_alpha:
        tell("the norms behind α")
    depths = [leaf.depth for leaf in plan.space.leaves]
    return replace(found, coefficients=after_combine(plan.stages, depths, plan.settings.lambdas, _alpha(found)))


def _masks(pieces: Pieces, tell: Tell) -> tuple[PreparedMask, ...]:
    """Prepare each expert's mask; walks the experts whose masks have thresholds."""
    plan, leaves = pieces.plan, pieces.plan.space.leaves
    found = plan.stages
    factors = before_mask(found, [leaf.depth for leaf in leaves])
    prepared = []
    for model, expert in enumerate(plan.survey.experts):
        tell(f"mask of {expert.label}")

        def read(tile: Tile, model: int = model) -> torch.Tensor:
            return pieces.vector(model, tile, pieces.origin(tile))

        def walk(places: range, read: Callable[[Tile], torch.Tensor] = read) -> Iterator[torch.Tensor]:
            return pieces.each(read, pieces.tiles(places))

        def sample(read: Callable[[Tile], torch.Tensor] = read) -> Iterator[tuple[int, torch.Tensor]]:
            return pieces.each(lambda tile: (tile.leaf, read(tile)), pieces.sample())

        content = expert.content() if found.stochastic else ""
        specs = [run.value for run in plan.settings.mask_runs(model) for _ in range(run.first, run.last)]
        prepared.append(prepare_mask(specs, leaves, factors, walk, seed=found.seed, content=content, sample=sample))
    return tuple(prepared)


def _contexts(found: Prepared) -> tuple[CombineContext, ...]:
    """Gather the statistics that the method needs of the whole model and of each leaf; one walk for each kind."""
    plan = found.pieces.plan
    method, places = plan.stages.method, range(len(plan.space.leaves))
    walks = [
        Walk(Rewalked(partial(_stacked, found, range(run.first, run.last))), run.value) for run in joined(found.terms)
    ]
    common = CombineContext(plan.stages.params, gather_walks(method, walks), check=found.pieces.check)
    common = replace(common, statistics=ranks_of_walks(method, walks, plan.space.size, common))

    def of_leaf(place: int) -> dict[str, torch.Tensor]:
        if place in found.whole:
            return {}
        pieces = (_stack(found, tile) for tile in found.pieces.tiles([place]))
        return gather_leaf(method, pieces, 1 if found.pieces.lane.device.type == "cpu" else ACCELERATOR_BLOCKS)

    sums = list(found.pieces.each(of_leaf, places)) if method.leaf_statistics else [{}] * len(places)
    return contexts_of_leaves(method, common, sums, found.terms)


def _stacked(found: Prepared, places: Iterable[int]) -> Iterator[torch.Tensor]:
    """Yield what the method combines of some leaves, [T, n] a piece."""
    return found.pieces.each(partial(_stack, found), found.pieces.tiles(places))


def _stack(found: Prepared, tile: Tile) -> torch.Tensor:
    return found.inputs(tile, found.pieces.origin(tile))


def _alpha(found: Prepared) -> float | None:
    """Compute LiNeS's α from the norms of the whole model, where the recipe asks for it; two walks."""
    pieces, plan = found.pieces, found.pieces.plan
    if not plan.stages.layer_scaling.needs_alpha or plan.survey.base is None:
        return None
    weight_domain = plan.stages.method.domain == "weight"

    def summed(tile: Tile) -> torch.Tensor:
        origin = _known(pieces.origin(tile))
        raw = [pieces.task_vector(model, tile, origin) for model in range(len(plan.survey.experts))]
        return weighted_sum(torch.stack(raw), found.terms[tile.leaf].weights)

    def merged(tile: Tile) -> torch.Tensor:
        origin = _known(pieces.origin(tile))
        combined = found.combined(tile, origin)
        return combined - origin if weight_domain else combined

    plain = l1_norm(pieces.each(summed, pieces.tiles(range(len(plan.space.leaves)))))
    whole = l1_norm(pieces.each(merged, found.tiles()))
    return alpha_from_norms(plain, whole, len(plan.survey.experts), plan.stages.layer_scaling.alpha_rule)


def _known(origin: torch.Tensor | None) -> torch.Tensor:
    if origin is None:
        raise ValueError("a merge without a base has no task vectors")
    return origin
