"""The parameter space: the leaves that base and experts share, laid out in one flat vector; the policy for the rest.

Floating leaves are merged; they lie in the flat vector in natural order without gaps. Integer and boolean leaves
(position indices, masks, counters) and constants of the architecture have no meaning when averaged: they are copied
from the base, or from the first model where there is no base, and the other models need not have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from merging_core.checkpoints.adapter_leaves import is_factor
from merging_core.checkpoints.dtypes import is_floating
from merging_core.checkpoints.finite import check_finite
from merging_core.checkpoints.header import LeafHeader, LeafSpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import Problem, SpaceError
from merging_core.space.architecture import architecture_problems
from merging_core.space.averaged import is_averaged, why_not
from merging_core.space.depth import Depth, depths
from merging_core.space.naming import named_like
from merging_core.space.token_leaves import has_tokens

__all__ = ["CopiedLeaf", "DepthSegment", "ParameterSpace", "SpaceLeaf", "build_space"]

_LISTED = 8
"""Problems of one kind and one model that are told one by one; the rest are counted."""
_ROWS = "write vocabulary: common rows, or by token, or base, into the recipe"


@dataclass(frozen=True)
class SpaceLeaf(LeafSpec):
    """A merged leaf: elements `start ≤ i < stop` of the flat vector. `dtype` is the base's."""

    start: int
    stop: int
    depth: Depth


@dataclass(frozen=True)
class CopiedLeaf(LeafSpec):
    """A leaf that is taken over as it is, and why."""

    source: str
    """The label of the model that it comes from."""
    reason: str


@dataclass(frozen=True)
class DepthSegment:
    """The merged leaves of one depth, as ranges of the flat vector (neighbouring leaves joined)."""

    depth: Depth
    spans: tuple[tuple[int, int], ...]

    @property
    def elements(self) -> int:
        """The number of scalars at this depth."""
        return sum(stop - start for start, stop in self.spans)


@dataclass(frozen=True)
class ParameterSpace:
    """What base and experts have in common; equal spaces lay out the same flat vector."""

    leaves: tuple[SpaceLeaf, ...]
    """In natural order; the flat vector is their concatenation."""
    copied: tuple[CopiedLeaf, ...]
    size: int
    """N, the length of the flat vector."""

    def flat(self, checkpoint: Checkpoint, device: torch.device | str = "cpu") -> torch.Tensor:
        """Read the merged leaves of a checkpoint into a new float32 vector `[N]`.

        Raises CheckpointError and NonFiniteError as reading does, the latter also where a float64 value is too large
        for float32, and SpaceError where a leaf has another shape than in this space. CheckpointError too where what is
        tied differs.
        """
        checkpoint.check_twins()
        vector = torch.empty(self.size, dtype=torch.float32, device=device)
        with checkpoint.reading() as reading:
            for leaf in self.leaves:
                values = reading.read(leaf.name)
                if values.shape != leaf.shape:
                    where = f"{checkpoint.label}: {leaf.name}"
                    raise SpaceError(Problem(f"the leaf has shape {list(leaf.shape)}", f"{list(values.shape)}", where))
                part = vector[leaf.start : leaf.stop]
                part.copy_(values.reshape(-1))
                if values.dtype == torch.float64:
                    check_finite(part, f"{checkpoint.label}: {leaf.name} in float32")
        return vector

    def views(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the leaves of a flat vector `[N]` in their shapes, sharing its memory.

        Raises SpaceError when the vector is not of this space's length.
        """
        if flat.shape != (self.size,):
            raise SpaceError(Problem(f"a vector of this space has shape ({self.size},)", f"{tuple(flat.shape)}"))
        return {leaf.name: flat[leaf.start : leaf.stop].view(leaf.shape) for leaf in self.leaves}

    @property
    def segments_by_depth(self) -> tuple[DepthSegment, ...]:
        """The merged leaves grouped by depth: stack by stack, before the blocks, block by block, after them."""
        grouped: dict[Depth, list[tuple[int, int]]] = {}
        for leaf in self.leaves:
            spans = grouped.setdefault(leaf.depth, [])
            if spans and spans[-1][1] == leaf.start:
                spans[-1] = (spans[-1][0], leaf.stop)
            else:
                spans.append((leaf.start, leaf.stop))
        ordered = sorted(grouped, key=lambda depth: depth.order)
        return tuple(DepthSegment(depth, tuple(grouped[depth])) for depth in ordered)


def build_space(base: Checkpoint | None, experts: Sequence[Checkpoint]) -> ParameterSpace:
    """Build the space that the base (or, without one, the first expert) and all experts share, from headers alone.

    Every model has the same weights with the same shapes, a module in front of all names aside; a leaf is floating in
    all of them or in none (F16, BF16 and F32 may meet); configurations agree on the architecture. Raises SpaceError
    with every problem found, naming the model and the leaf; after eight of one kind in one model the rest are counted.
    """
    models = [base, *experts] if base is not None else list(experts)
    if not models:
        raise SpaceError(Problem("a space is built from one model or more", "none"))
    reference = models[0]
    problems = [problem for model in models for problem in _own_problems(model)]
    for model in models[1:]:
        problems.extend(architecture_problems(reference.config, model.config, model.label, reference.label))
        problems.extend(_leaf_problems(reference, named_like(reference, model)))
    if problems:
        raise SpaceError(*problems)
    return _laid_out(reference, "the base" if base is not None else "the first model")


def _own_problems(model: Checkpoint) -> list[Problem]:
    problems = []
    if model.adapter is not None:
        must, fix = "the model has weights of its own", "name it among the models of a recipe with its base"
        return [Problem(must, "a LoRA adapter alone", model.label, fix)]
    if any(map(is_factor, model.leaves)):
        must, fix = "a LoRA adapter lies beside its adapter_config.json", "name the folder that holds both"
        return [Problem(must, "the factors of one alone", model.label, fix)]
    if model.config.get("quantization_config"):
        fix = "merge the original weights and quantise the result"
        problems.append(Problem("weights are not quantised", "a quantization_config", f"{model.label}: config", fix))
    if not any(is_averaged(leaf) for leaf in model.leaves.values()):
        problems.append(Problem("some leaf is floating", "none", model.label))
    return problems


def _leaf_problems(reference: Checkpoint, model: Checkpoint) -> list[Problem]:
    ours, theirs = reference.leaves, model.leaves
    missing = [
        Problem(f"the leaf is there, as in {reference.label}", "no such leaf", f"{model.label}: {name}")
        for name, leaf in ours.items()
        if name not in theirs and is_averaged(leaf)
    ]
    extra = [
        Problem(f"every leaf is in {reference.label} too", "an extra leaf", f"{model.label}: {name}")
        for name, leaf in theirs.items()
        if name not in ours and is_averaged(leaf)
    ]
    shapes, kinds = [], []
    for name in ours.keys() & theirs.keys():
        a, b = ours[name], theirs[name]
        if a.shape != b.shape and not any(is_floating(leaf.dtype) and not is_averaged(leaf) for leaf in (a, b)):
            fix = _ROWS if has_tokens(a, b) else ""
            shapes.append(_differs(f"the shape is {list(a.shape)}", f"{list(b.shape)}", reference, model, name, fix))
        if is_averaged(a) != is_averaged(b):
            kinds.append(_differs(f"the dtype is {_kind(a)}", _kind(b), reference, model, name))
    place = {name: at for at, name in enumerate(ours)}
    for found in (shapes, kinds):
        found.sort(key=lambda problem: place[problem.where.removeprefix(f"{model.label}: ")])
    return [
        *_summarised(missing, model, "missing leaves"),
        *_summarised(extra, model, "extra leaves"),
        *_summarised(shapes, model, "leaves of another shape"),
        *_summarised(kinds, model, "leaves of another kind of dtype"),
    ]


def _differs(must: str, got: str, reference: Checkpoint, model: Checkpoint, name: str, fix: str = "") -> Problem:
    return Problem(f"{must} as in {reference.label}", got, f"{model.label}: {name}", fix)


def _kind(leaf: LeafHeader) -> str:
    return f"{'floating' if is_floating(leaf.dtype) else 'not floating'} ({leaf.dtype})"


def _summarised(problems: list[Problem], model: Checkpoint, what: str) -> list[Problem]:
    more = len(problems) - _LISTED
    if more <= 0:
        return problems
    rest = Problem("base and experts share all leaves", f"{more} more {what}", model.label)
    return [*problems[:_LISTED], rest]


def _laid_out(reference: Checkpoint, source: str) -> ParameterSpace:
    found = depths(reference.leaves)
    leaves, copied = [], []
    end = 0
    for leaf in reference.leaves.values():
        if is_averaged(leaf):
            start, end = end, end + leaf.elements
            leaves.append(SpaceLeaf(leaf.name, leaf.dtype, leaf.shape, start, end, found[leaf.name]))
        else:
            reason = f"{why_not(leaf)}; taken from {source}"
            copied.append(CopiedLeaf(leaf.name, leaf.dtype, leaf.shape, reference.label, reason))
    return ParameterSpace(tuple(leaves), tuple(copied), end)
