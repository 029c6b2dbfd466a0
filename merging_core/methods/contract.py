"""What a merge method is made of: its record, its pure function and what that function may know.

The stages of a merge, in order, and who owns the numbers in each:

    task vectors τₜ → mask (the recipe's, or the method's own: `owned_mask`) → statistics of the whole model, or of each
    leaf → combine (weights wₜ inside), piece by piece or whole leaves → layer scaling → λ → + θ₀

Weight-domain methods skip the mask: their vectors are the weights θₜ; with a base, combine(θ) − θ₀ is what is scaled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from merging_core.masks.info import never
from merging_core.masks.ranks import joined, magnitudes_of_rows
from merging_core.methods.info import Description, ParameterInfo, Parameters, ParameterValue
from merging_core.methods.measured import Measured, Measures
from merging_core.space.reductions import BLOCK, blocks

__all__ = [
    "CombineContext",
    "Cost",
    "Group",
    "LeafStatistic",
    "MethodInfo",
    "RankStatistic",
    "Statistic",
    "Terms",
    "Walk",
    "WeightRule",
    "WholeLeaf",
    "added",
    "always",
    "contexts_of_leaves",
    "gather",
    "gather_leaf",
    "gather_ranks",
    "gather_walks",
    "measured",
    "ranks_of_walks",
    "reads_statistics",
]

Group = Literal["averages", "task vectors", "sign consensus", "sparsifying", "spherical", "subspace"]
WeightRule = Literal["any", "not negative", "none"]
"""Which weights a method takes: any number, 0 or more, or none at all (each is 1)."""


def _go_on() -> None:
    return None


@dataclass(frozen=True)
class CombineContext:
    """What a combination knows besides vectors and weights: its parameters and the finished statistics, by name."""

    params: Parameters = field(default_factory=Parameters)
    statistics: Mapping[str, torch.Tensor] = field(default_factory=dict)
    found: tuple[tuple[torch.Tensor, ...], ...] = ()
    """For each model what `WholeLeaf.of_each` found in this leaf."""
    check: Callable[[], None] = field(default=_go_on, compare=False, repr=False)
    """Raises where the merge is no longer wanted; asked between the steps of whatever takes many."""
    measured: Measured | None = None
    """For a method that `measures`; None where nothing was."""


@dataclass(frozen=True, eq=False)
class Terms:
    """With what a method combines a leaf; neighbours that are combined alike share one."""

    weights: torch.Tensor
    """[T] float32."""
    params: Parameters
    """Every number in it is one number, or one for each model (`Parameters.each`)."""


@dataclass(frozen=True, eq=False)
class Walk:
    """The pieces [T, n] of neighbouring leaves that share their terms; walked as often as `pieces` can be."""

    pieces: Iterable[torch.Tensor]
    terms: Terms


def always(params: Parameters) -> bool:
    """Say yes, whatever the parameters are."""
    return True


@dataclass(frozen=True)
class Statistic:
    """Something that must be known of the whole model before any piece of it can be combined.

    `of_piece(vectors [T, n], weights [T], params)` gives a small tensor; those of all pieces are added in order, and
    `finish` turns the sum into what the combination reads. Integers add up to the same bits however the model is cut.
    """

    name: str
    of_piece: Callable[[torch.Tensor, torch.Tensor, Parameters], torch.Tensor]
    finish: Callable[[torch.Tensor], torch.Tensor]
    needed: Callable[[Parameters], bool] = always
    """Whether the combination reads it with these parameters."""


@dataclass(frozen=True)
class RankStatistic:
    """Scores at certain ranks among those of the whole model, found for each model one after the other statistic.

    `scores(vectors [T, n], weights [T], context) -> [T, n]` float32, 0 or more, knows the statistics before it. The
    combination reads the scores at `ranks(N, params)` of each model, [T, R]; rank 1 is the largest.
    """

    name: str
    scores: Callable[[torch.Tensor, torch.Tensor, CombineContext], torch.Tensor]
    ranks: Callable[[int, Parameters], tuple[int, ...]]
    needed: Callable[[Parameters], bool] = always
    """Whether the combination reads it with these parameters."""


@dataclass(frozen=True)
class LeafStatistic:
    """Something that must be known of each leaf before any piece of it can be combined, such as an angle.

    `of_blocks(vectors [T, n])` gives a float64 tensor for each 65 536 elements of a leaf, counted from its start:
    [⌈n / 65 536⌉, …] on the CPU. Blocks are added in order, so the bits do not depend on how the leaf is cut. `finish`
    turns the sums of all leaves [L, …] into what the combination reads of each: [L, …] float32.
    """

    name: str
    of_blocks: Callable[[torch.Tensor], torch.Tensor]
    finish: Callable[[torch.Tensor, torch.Tensor, Parameters], torch.Tensor]
    """`finish(sums [L, …] float64, weights [T] float64, params)`; everything on the CPU."""
    over_the_model: Callable[[Parameters], bool] = never
    """Whether the sums of all leaves are added, in order, and every leaf reads the same."""


@dataclass(frozen=True)
class Cost:
    """What one leaf costs: floating-point operations, and how many float64 numbers are held."""

    operations: float
    numbers: int
    """At once, while it is combined."""
    kept: int = 0
    """Of each model between requests of the live engine."""


@dataclass(frozen=True)
class WholeLeaf:
    """How a method combines the leaves that it must see whole and in their shape, such as matrices.

    `combine(leaves [T, *shape] float32, weights [T] float32, context) -> [*shape]` is pure. On a CPU the engines run it
    on one core from end to end, so products and decompositions have the same bits for any number of threads.
    """

    takes: Callable[[str, tuple[int, ...], Parameters], bool]
    """`takes(name, shape, params)`: whether a leaf is combined here; all others go to `MethodInfo.combine`."""
    combine: Callable[[torch.Tensor, torch.Tensor, CombineContext], torch.Tensor]
    cost: Callable[[tuple[int, ...], int, Parameters], Cost]
    """`cost(shape, T, params)` of one leaf."""
    of_each: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] | None = None
    """What can be found in one model's leaf [*shape] before weights and parameters are known; kept between requests."""


@dataclass(frozen=True, kw_only=True)
class MethodInfo(Description):
    """One merge method: its record and its pure function.

    `combine(vectors [T, n] float32, weights [T] float32, context) -> [n]` works on any contiguous piece of the flat
    vector, changes none of its arguments and gives the same bits however the model is cut. Leaves that `whole_leaf`
    takes are left to it.
    """

    domain: Literal["task_vector", "weight"]
    group: Group
    default_lambda: float
    combine: Callable[[torch.Tensor, torch.Tensor, CombineContext], torch.Tensor]
    statistics: tuple[Statistic, ...] = ()
    rank_statistics: tuple[RankStatistic, ...] = ()
    leaf_statistics: tuple[LeafStatistic, ...] = ()
    whole_leaf: WholeLeaf | None = None
    owned_mask: str = ""
    """Kind of the mask that is part of the method; the method's parameters of the same names are that mask's."""
    needs_base: bool = True
    measures: Measures = ""
    """What it reads beside the models: `models[i].statistics` of a recipe."""
    symmetric: bool = True
    """Whether the order of the models does not matter (but for the last bit of a sum)."""
    stochastic: bool = False
    models: tuple[int, int | None] = (1, None)
    """The fewest and the most models that it takes."""
    weights: WeightRule = "any"
    weights_problem: Callable[[tuple[float, ...], Parameters], tuple[str, str] | None] | None = None
    """Says what must hold for the weights, and what to do, if they do not go together; nothing if they do."""
    searched: tuple[tuple[str, tuple[ParameterValue, ...]], ...] = ()
    """The one or two parameters that tell most, each with the few values that a short search tries."""

    @property
    def needs_data(self) -> bool:
        """Whether something must have been measured on examples before it merges."""
        return bool(self.measures)

    @property
    def owns(self) -> frozenset[str]:
        """The stages that have no control of their own beside this method."""
        return frozenset({"mask"}) if self.owned_mask else frozenset()

    def sees_whole(self, name: str, shape: tuple[int, ...], params: Parameters) -> bool:
        """Say whether a leaf is combined whole."""
        return self.whole_leaf is not None and self.whole_leaf.takes(name, shape, params)

    def per_model(self) -> tuple[ParameterInfo, ...]:
        """Return the parameters that one expert may override."""
        return tuple(parameter for parameter in self.parameters if parameter.per_model)

    def as_json(self) -> dict[str, object]:
        """Return the record without its functions."""
        return {
            **self.describe(),
            "domain": self.domain,
            "group": self.group,
            "default_lambda": self.default_lambda,
            "owns": sorted(self.owns),
            "owned_mask": self.owned_mask,
            "needs_base": self.needs_base,
            "needs_data": self.needs_data,
            "symmetric": self.symmetric,
            "stochastic": self.stochastic,
            "models": list(self.models),
            "weights": self.weights,
        }


def gather(
    info: MethodInfo, pieces: Iterable[torch.Tensor], weights: torch.Tensor, params: Parameters
) -> dict[str, torch.Tensor]:
    """Compute every statistic of a method over the pieces of a model, walked once and in order.

    Shapes: each piece [T, n] float32 (after the mask), weights [T] float32.

    >>> from merging_core.methods.ties import TIES
    >>> gather(TIES, [torch.tensor([[1.0, 2.0, -3.0]])], torch.ones(1), Parameters())["majority_sign"].item()
    1.0
    """
    return gather_walks(info, [Walk(pieces, Terms(weights, params))])


def gather_walks(info: MethodInfo, walks: Iterable[Walk]) -> dict[str, torch.Tensor]:
    """Compute every statistic of a method over the leaves of a model, each seen with its own weights and parameters."""
    walks = list(walks)
    if not any(reads_statistics(info, walk.terms.params) for walk in walks):
        return {}
    return added(
        info,
        (measured(info, piece, walk.terms.weights, walk.terms.params) for walk in walks for piece in walk.pieces),
    )


def reads_statistics(info: MethodInfo, params: Parameters) -> bool:
    """Say whether a combination with these parameters reads something of the whole model that pieces add up to."""
    return any(statistic.needed(params) for statistic in info.statistics)


def measured(
    info: MethodInfo, piece: torch.Tensor, weights: torch.Tensor, params: Parameters
) -> tuple[torch.Tensor, ...]:
    """Return what each statistic of a method says of one piece [T, n]."""
    return tuple(statistic.of_piece(piece, weights, params) for statistic in info.statistics)


def added(info: MethodInfo, pieces: Iterable[tuple[torch.Tensor, ...]]) -> dict[str, torch.Tensor]:
    """Add what was measured of all pieces, in order, and finish each statistic; there is at least one piece."""
    sums: tuple[torch.Tensor, ...] = ()
    for found in pieces:
        sums = tuple(one + more for one, more in zip(sums, found, strict=True)) if sums else found
    return {statistic.name: statistic.finish(total) for statistic, total in zip(info.statistics, sums, strict=True)}


def gather_ranks(
    info: MethodInfo, pieces: Iterable[torch.Tensor], size: int, weights: torch.Tensor, common: CombineContext
) -> Mapping[str, torch.Tensor]:
    """Return the statistics of the context and, after them, the method's scores at its ranks, one after the other.

    `pieces` [T, n] are those of a model of `size` elements; they are walked twice for each of these statistics.
    """
    return ranks_of_walks(info, [Walk(pieces, Terms(weights, common.params))], size, common)


def ranks_of_walks(
    info: MethodInfo, walks: Sequence[Walk], size: int, common: CombineContext
) -> Mapping[str, torch.Tensor]:
    """Return what `gather_ranks` does where leaves have weights and parameters of their own.

    Which ranks are read is up to `common.params`: those numbers are the same for every leaf.
    """
    known = dict(common.statistics)
    for statistic in info.rank_statistics:
        if not statistic.needed(common.params):
            continue
        scores = _Scored(statistic, walks, known)
        known = {**known, statistic.name: magnitudes_of_rows(scores, statistic.ranks(size, common.params))}
    return known


@dataclass(frozen=True)
class _Scored:
    """The scores of pieces, walked again as often as the pieces can be."""

    statistic: RankStatistic
    walks: Sequence[Walk]
    known: Mapping[str, torch.Tensor]

    def __iter__(self) -> Iterator[torch.Tensor]:
        for walk in self.walks:
            context = CombineContext(walk.terms.params, self.known)
            for piece in joined(walk.pieces, BLOCK):
                yield self.statistic.scores(piece, walk.terms.weights, context)


def gather_leaf(info: MethodInfo, pieces: Iterable[torch.Tensor], at_once: int = 1) -> dict[str, torch.Tensor]:
    """Sum what a method's leaf statistics say of one leaf, whose pieces are walked once and in order.

    Shapes: each piece [T, n] float32 (after the mask) → for each statistic a float64 tensor on the CPU; nothing for a
    leaf without elements. `at_once` blocks of 65 536 elements are worked on together; it is not in the bits.

    >>> from merging_core.methods.slerp import SLERP
    >>> gather_leaf(SLERP, [torch.tensor([[3.0], [1.0]]), torch.tensor([[4.0], [0.0]])])["coefficients"].tolist()
    [[25.0, 3.0], [3.0, 1.0]]
    """
    sums: dict[str, torch.Tensor] = {}
    if not info.leaf_statistics:
        return sums
    for run in blocks(pieces, at_once):
        for statistic in info.leaf_statistics:
            for found in statistic.of_blocks(run):
                sums[statistic.name] = sums[statistic.name] + found if statistic.name in sums else found
    return sums


def contexts_of_leaves(
    info: MethodInfo,
    common: CombineContext,
    sums: Sequence[Mapping[str, torch.Tensor]],
    weights: torch.Tensor | Sequence[Terms],
) -> tuple[CombineContext, ...]:
    """Return what the combination may know of each leaf: what all share, and the finished statistics of its own.

    `sums` come from `gather_leaf`, one for each leaf in the order of the model; weights [T] float32, or the terms of
    each leaf.
    """
    terms = [Terms(weights, common.params)] * len(sums) if isinstance(weights, torch.Tensor) else weights
    contexts: dict[int, CombineContext] = {}
    for each in terms:
        if id(each) not in contexts:
            contexts[id(each)] = replace(common, params=each.params)
    if not info.leaf_statistics:
        return tuple([contexts[id(each)] for each in terms])
    known = [leaf for leaf, found in enumerate(sums) if found]
    found: dict[int, dict[str, torch.Tensor]] = {leaf: {} for leaf in known}
    for statistic in info.leaf_statistics:
        for leaf, value in _finished(statistic, {leaf: sums[leaf][statistic.name] for leaf in known}, terms).items():
            found[leaf] = {**found[leaf], statistic.name: value}
    return tuple(
        replace(contexts[id(each)], statistics={**common.statistics, **found[leaf]})
        if leaf in found
        else contexts[id(each)]
        for leaf, each in enumerate(terms)
    )


def _finished(
    statistic: LeafStatistic, sums: Mapping[int, torch.Tensor], terms: Sequence[Terms]
) -> dict[int, torch.Tensor]:
    """Return what the combination reads of each leaf, with the leaves of the same terms finished together."""
    alike: dict[int, list[int]] = {}
    for leaf in sums:
        alike.setdefault(id(terms[leaf]), []).append(leaf)
    finished: dict[int, torch.Tensor] = {}
    for leaves in alike.values():
        own = terms[leaves[0]]
        shared = statistic.over_the_model(own.params)
        rows = [_in_order(sums.values())] if shared else [sums[leaf] for leaf in leaves]
        values = statistic.finish(torch.stack(rows), own.weights.cpu().to(torch.float64), own.params)
        placed = values.to(torch.float32).to(own.weights.device)
        finished |= {leaf: placed[0 if shared else row] for row, leaf in enumerate(leaves)}
    return finished


def _in_order(sums: Iterable[torch.Tensor]) -> torch.Tensor:
    whole, *rest = sums
    for more in rest:
        whole = whole + more
    return whole
