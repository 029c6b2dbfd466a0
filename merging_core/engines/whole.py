"""Leaves that a method must see whole: which they are, what is found in each expert's, and what becomes of them.

Each leaf is worked on by one core of a CPU from end to end, several leaves side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from merging_core.engines.crew import Crew
from merging_core.engines.kernel import combine_whole
from merging_core.errors import CancelledError, Problem
from merging_core.methods.contract import CombineContext, MethodInfo, Terms
from merging_core.methods.info import Parameters
from merging_core.methods.measured import Measured
from merging_core.space.parameter_space import SpaceLeaf

__all__ = ["Found", "combine_leaves_", "found_in", "whole_leaves"]

Found = tuple[tuple[torch.Tensor, ...], ...]
"""What `WholeLeaf.of_each` says of one model's leaves, one entry for each leaf."""


def whole_leaves(info: MethodInfo, params: Parameters, leaves: Sequence[SpaceLeaf]) -> tuple[int, ...]:
    """Return the places of the leaves that a method combines whole; leaves without elements never are."""
    return tuple(
        place for place, leaf in enumerate(leaves) if leaf.elements and info.sees_whole(leaf.name, leaf.shape, params)
    )


def found_in(vector: torch.Tensor, info: MethodInfo, leaves: Sequence[SpaceLeaf], crew: Crew) -> Found:
    """Return what the method finds in each of these leaves of one model's flat vector; nothing if it does not look."""
    whole = info.whole_leaf
    if whole is None or whole.of_each is None:
        return ()
    return tuple(crew.on_one_core(whole.of_each, [_view(vector, leaf) for leaf in leaves]))


def combine_leaves_(  # noqa: PLR0913
    out: torch.Tensor,
    vectors: Sequence[torch.Tensor],
    terms: Sequence[Terms],
    info: MethodInfo,
    context: CombineContext,
    leaves: Sequence[SpaceLeaf],
    found: Sequence[Found],
    crew: Crew,
    cancelled: Callable[[], bool] | None = None,
    beside: Callable[[SpaceLeaf], Measured | None] | None = None,
) -> torch.Tensor:
    """Write what the method makes of these leaves into the flat vector `out`; `found` comes from `found_in`.

    `terms` are those of these leaves, and `context` what all leaves share.
    `beside` says what was measured of a leaf. `cancelled()` is asked before each leaf; raises CancelledError when it
    says so.
    """
    whole = info.whole_leaf
    if whole is None:
        return out

    def one(place: int) -> None:
        if cancelled is not None and cancelled():
            raise CancelledError(Problem("a merge runs while its answer is wanted", "a newer request"))
        leaf = leaves[place]
        known = [of_model[place] for of_model in found] if whole.of_each is not None else None
        views = [_view(vector, leaf) for vector in vectors]
        known_of = beside(leaf) if beside is not None else None
        own = replace(context, params=terms[place].params, measured=known_of)
        _view(out, leaf).copy_(combine_whole(views, terms[place].weights, whole, own, known))

    crew.on_one_core(one, range(len(leaves)))
    return out


def _view(vector: torch.Tensor, leaf: SpaceLeaf) -> torch.Tensor:
    return vector[leaf.start : leaf.stop].view(leaf.shape)
