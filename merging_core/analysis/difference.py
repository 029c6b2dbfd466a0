"""How two models differ, leaf by leaf and depth by depth; and how their task vectors do, beside what both came from.

Leaves are read piece by piece, side by side; nothing is held but a few pieces and the sums of each block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from merging_core.analysis.adapters import added_to
from merging_core.analysis.sums import PieceSums, Sums, added, pieces_of, sums_of_leaf, sums_of_piece
from merging_core.checkpoints.dtypes import is_floating
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.cores import MAX_WORKERS, cores, single_threaded_pool
from merging_core.engines.ahead import ahead
from merging_core.engines.layer_stats import label_of
from merging_core.errors import Problem, SpaceError
from merging_core.space.architecture import architecture_problems
from merging_core.space.depth import Depth, depths
from merging_core.space.naming import named_like

__all__ = [
    "CountedLeaf",
    "DepthDifference",
    "Difference",
    "LeafDifference",
    "Unshared",
    "check_difference",
    "difference",
]

_Sorted = tuple[list[str], list[str], tuple["Unshared", ...]]
Progress = Callable[[float, str], None]
"""Called with the share that is done, in [0, 1], and what is being done."""


@dataclass(frozen=True)
class LeafDifference:
    """One floating leaf that both models have in one shape."""

    name: str
    shape: tuple[int, ...]
    dtypes: tuple[str, str]
    label: str
    """Of its depth, as in `DepthDifference`."""
    sums: Sums


@dataclass(frozen=True)
class DepthDifference:
    """The floating leaves of one depth."""

    depth: Depth
    label: str
    """How a chart calls it: `before`, `0`, `1`, …, `after`; with the stack's name where there are several."""
    leaves: int
    sums: Sums


@dataclass(frozen=True)
class CountedLeaf:
    """A leaf of integers or booleans that both models have: only whether its elements are equal is known."""

    name: str
    dtype: str
    elements: int
    equal: int


@dataclass(frozen=True)
class Unshared:
    """A leaf that is not compared, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Difference:
    """What `difference` found."""

    a: str
    b: str
    base: str | None
    whole: Sums
    depths: tuple[DepthDifference, ...]
    leaves: tuple[LeafDifference, ...]
    """In natural order."""
    counted: tuple[CountedLeaf, ...]
    unshared: tuple[Unshared, ...]
    without_base: tuple[Unshared, ...]
    """Leaves that are compared, but have no task vectors."""
    notes: tuple[str, ...]
    """Where the configurations describe models that compute something else."""

    def most_different(self, count: int) -> tuple[LeafDifference, ...]:
        """Return the leaves that differ most, relative to A; those that are zero in A alone come first."""
        different = [leaf for leaf in self.leaves if leaf.sums.difference]

        def key(leaf: LeafDifference) -> tuple[bool, float]:
            relative = leaf.sums.relative
            return (relative is not None, -(leaf.sums.norm if relative is None else relative))

        return tuple(sorted(different, key=key)[:count])

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "a": self.a,
            "b": self.b,
            "base": self.base,
            "whole": _numbers(self.whole),
            "depths": [{"depth": row.label, "leaves": row.leaves, **_numbers(row.sums)} for row in self.depths],
            "leaves": [
                {
                    "leaf": leaf.name,
                    "depth": leaf.label,
                    "shape": list(leaf.shape),
                    "dtypes": list(leaf.dtypes),
                    **_numbers(leaf.sums),
                }
                for leaf in self.leaves
            ],
            "not_floating": [
                {"leaf": leaf.name, "dtype": leaf.dtype, "elements": leaf.elements, "equal": leaf.equal}
                for leaf in self.counted
            ],
            "not_compared": [{"leaf": leaf.name, "reason": leaf.reason} for leaf in self.unshared],
            "without_base": [{"leaf": leaf.name, "reason": leaf.reason} for leaf in self.without_base],
            "notes": list(self.notes),
        }


def difference(
    a: Checkpoint,
    b: Checkpoint,
    base: Checkpoint | None = None,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Difference:
    """Compare two models leaf by leaf, and their task vectors where a base is given.

    Leaves that only one of them has, or that have another shape, are named and not compared; names that differ by a
    module in front of all of them, or by what a configuration ties, are one. A LoRA adapter stands for the base with
    it. `workers` is how many threads read and add up, as many as cores by default; it changes no number.
    Raises SpaceError when the models share no floating leaf, CheckpointError and NonFiniteError as reading does.
    """
    a, b, base, (shared, counted, unshared) = _agreed(a, b, base)
    missing = () if base is None else tuple(_missing_in(base, [a.leaves[name] for name in shared]))
    alone = {leaf.name for leaf in missing}
    found: dict[str, list[PieceSums]] = {name: [] for name in shared}
    counts: dict[str, int] = dict.fromkeys(counted, 0)
    total = sum(a.leaves[name].elements for name in (*shared, *counted)) or 1
    done = 0

    def work(piece: tuple[str, int, int]) -> PieceSums | int:
        name, start, stop = piece
        first, second = a.read_range(name, start, stop), b.read_range(name, start, stop)
        if name in counts:
            return int(_as_integers(first).eq(_as_integers(second)).count_nonzero())
        third = None if base is None or name in alone else base.read_range(name, start, stop)
        return sums_of_piece(first, second, third)

    pieces = [(name, *cut) for name in (*shared, *counted) for cut in pieces_of(a.leaves[name].elements)]
    many = min(MAX_WORKERS, cores()) if workers is None else workers
    with single_threaded_pool(many, "basin-analysis") as pool:
        for (name, start, stop), piece in zip(pieces, ahead(pool, 2 * many, work, pieces), strict=True):
            if isinstance(piece, int):
                counts[name] += piece
            else:
                found[name].append(piece)
            done += stop - start
            if progress is not None:
                progress(done / total, "comparing")
    sums = {
        name: sums_of_leaf(pieces, with_base=base is not None and name not in alone) for name, pieces in found.items()
    }
    by_depth, leaves = _by_depth(a, b, sums)
    return Difference(
        a=a.label,
        b=b.label,
        base=None if base is None else base.label,
        whole=added(sums.values()),
        depths=by_depth,
        leaves=leaves,
        counted=tuple(
            CountedLeaf(name, a.leaves[name].dtype, a.leaves[name].elements, equal) for name, equal in counts.items()
        ),
        unshared=unshared,
        without_base=missing,
        notes=_notes(a, b, base),
    )


def check_difference(a: Checkpoint, b: Checkpoint, base: Checkpoint | None = None) -> None:
    """Raise what `difference` would, as far as headers show it: before anything is downloaded or read."""
    _agreed(a, b, base)


def _agreed(
    a: Checkpoint, b: Checkpoint, base: Checkpoint | None
) -> tuple[Checkpoint, Checkpoint, Checkpoint | None, _Sorted]:
    a, b = added_to(base, (a, b))
    b = named_like(a, b.tied_by(a.config))
    base = named_like(a, base.tied_by(a.config)) if base is not None else None
    found = _sorted_out(a, b)
    if not found[0]:
        must, got = f"{b.label} has a floating leaf of a name and shape that are in {a.label} too", "none"
        raise SpaceError(Problem(must, got, "", "compare models of one architecture"))
    return a, b, base, found


def _sorted_out(a: Checkpoint, b: Checkpoint) -> _Sorted:
    """Return the floating leaves that both have, the others that both have, and what is not compared."""
    shared, counted, unshared = list[str](), list[str](), list[Unshared]()
    for name, ours in a.leaves.items():
        theirs = b.leaves.get(name)
        if theirs is None:
            unshared.append(Unshared(name, f"only in {a.label}"))
        elif ours.shape != theirs.shape:
            unshared.append(Unshared(name, f"{_shape(ours)} in {a.label}, {_shape(theirs)} in {b.label}"))
        elif is_floating(ours.dtype) and is_floating(theirs.dtype):
            shared.append(name)
        elif ours.dtype == theirs.dtype:
            counted.append(name)
        else:
            unshared.append(Unshared(name, f"{ours.dtype} in {a.label}, {theirs.dtype} in {b.label}"))
    unshared += [Unshared(name, f"only in {b.label}") for name in b.leaves if name not in a.leaves]
    return shared, counted, tuple(unshared)


def _missing_in(base: Checkpoint, shared: Sequence[LeafSpec]) -> Iterator[Unshared]:
    for leaf in shared:
        origin = base.leaves.get(leaf.name)
        if origin is None:
            yield Unshared(leaf.name, f"not in {base.label}")
        elif origin.shape != leaf.shape:
            yield Unshared(leaf.name, f"{_shape(origin)} in {base.label}")
        elif not is_floating(origin.dtype):
            yield Unshared(leaf.name, f"{origin.dtype} in {base.label}")


def _by_depth(
    a: Checkpoint, b: Checkpoint, sums: Mapping[str, Sums]
) -> tuple[tuple[DepthDifference, ...], tuple[LeafDifference, ...]]:
    known = depths(a.leaves)
    several = len({known[name].stack for name in sums}) > 1
    groups: dict[Depth, list[str]] = {}
    for name in sums:
        groups.setdefault(known[name], []).append(name)
    rows = tuple(
        DepthDifference(depth, label_of(depth, several), len(names), added(sums[name] for name in names))
        for depth, names in sorted(groups.items(), key=lambda group: group[0].order)
    )
    leaves = tuple(
        LeafDifference(
            name,
            a.leaves[name].shape,
            (a.leaves[name].dtype, b.leaves[name].dtype),
            label_of(known[name], several),
            found,
        )
        for name, found in sums.items()
    )
    return rows, leaves


def _notes(a: Checkpoint, b: Checkpoint, base: Checkpoint | None) -> tuple[str, ...]:
    others = [b] if base is None else [b, base]
    return tuple(
        str(problem)
        for other in others
        for problem in architecture_problems(a.config, other.config, other.label, a.label)
    )


def _shape(leaf: LeafSpec) -> str:
    return str(list(leaf.shape))


def _as_integers(values: torch.Tensor) -> torch.Tensor:
    """View integers or booleans as signed integers of the same bytes, which every torch can compare."""
    return values.view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()])


def _numbers(sums: Sums) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "elements": sums.elements,
        "norms": list(sums.norms),
        "norm": sums.norm,
        "relative": sums.relative,
        "cosine": sums.cosine,
        "largest": sums.largest,
        "equal": sums.equal,
        "equal_share": sums.equal_share,
    }
    if sums.task is not None:
        numbers["task"] = {
            "norms": list(sums.task.norms),
            "cosine": sums.task.cosine,
            "shared": sums.task.shared,
            "conflicting": sums.task.conflicting,
            "sign_conflict": sums.task.sign_conflict,
        }
    return numbers
