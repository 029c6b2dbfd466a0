"""A LoRA adapter from the difference of two models: each matrix by its leading directions, the rest by a stated policy.

Leaves are worked on one by one, each on one core from end to end, so that the bits do not depend on the number of
threads; the factors are held until all ranks are known, and written at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from merging_core.analysis.adapters import added_to
from merging_core.analysis.layers import is_tied, is_turned, module_of, why_no_matrix
from merging_core.analysis.low_rank import error_of, factors, low_rank, rank_for
from merging_core.analysis.peft_config import peft_config
from merging_core.analysis.peft_names import kept_whole, names_of_factors
from merging_core.analysis.sums import pieces_of
from merging_core.checkpoints.adapter_config import ADAPTER_CONFIG, ADAPTER_MODEL
from merging_core.checkpoints.dtypes import torch_dtype
from merging_core.checkpoints.growing import check_target
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.writer import write_checkpoint
from merging_core.cores import MAX_WORKERS, cores, single_threaded_pool
from merging_core.engines.ahead import ahead
from merging_core.engines.pricing import available_memory
from merging_core.errors import PlanError, Problem, closest
from merging_core.masks.coins import coin_key
from merging_core.space.naming import named_like
from merging_core.space.parameter_space import ParameterSpace, build_space
from merging_core.space.reductions import block_sum_of_squares

__all__ = ["Extracted", "Extraction", "Others", "Rest", "Settings", "check_extraction", "extract_lora"]

Others = Literal["leave-out", "save"]
Progress = Callable[[float, str], None]

_HELD = 4 * 8
"""Bytes that an element of a matrix takes at most while it is decomposed: a few float64 copies."""


@dataclass(frozen=True)
class Settings:
    """How an adapter is made."""

    rank: int | None = None
    """One rank for all leaves; None where the energy decides."""
    energy: float = 0.9
    """The share of ‖E − B‖² of each leaf that its rank keeps, in (0, 1]."""
    max_rank: int = 128
    oversampling: int = 10
    iterations: int = 2
    filters: tuple[str, ...] = ()
    """Parts of names; only leaves with one of them are taken. None takes all."""
    others: Others = "leave-out"
    """What becomes of a leaf that is no matrix and differs."""
    dtype: str = "F32"
    seed: int = 0


@dataclass(frozen=True)
class Extracted:
    """A matrix that the adapter holds as two factors."""

    name: str
    shape: tuple[int, ...]
    rank: int
    difference: float
    """‖E − B‖²."""
    energy: float
    """The share of it that the leading directions hold before they are rounded."""
    lost: float
    """‖E − B − s·B·A‖² of the factors as they are written."""

    @property
    def error(self) -> float:
        """‖E − B − s·B·A‖/‖E − B‖."""
        return math.sqrt(self.lost / self.difference)


@dataclass(frozen=True)
class Rest:
    """A leaf that differs and is not held as factors."""

    name: str
    shape: tuple[int, ...]
    difference: float
    reason: str
    saved: bool
    """Whether the adapter holds it whole."""


@dataclass(frozen=True)
class Extraction:
    """What `extract_lora` wrote."""

    folder: Path
    extracted: tuple[Extracted, ...]
    rest: tuple[Rest, ...]
    unchanged: int
    """Leaves that are the same numbers in both models."""
    adapter_bytes: int
    expert_bytes: int

    @property
    def difference(self) -> float:
        """‖E − B‖² of all leaves."""
        held = [leaf.difference for leaf in self.extracted]
        return math.fsum([*held, *(leaf.difference for leaf in self.rest)])

    @property
    def left_out(self) -> float:
        """The share of ‖E − B‖² in leaves that the adapter does not hold at all."""
        return math.fsum([leaf.difference for leaf in self.rest if not leaf.saved]) / self.difference

    @property
    def error(self) -> float:
        """‖E − (B with the adapter)‖/‖E − B‖ over the whole model."""
        lost = [leaf.lost for leaf in self.extracted] + [leaf.difference for leaf in self.rest if not leaf.saved]
        return math.sqrt(math.fsum(lost) / self.difference)


@dataclass(frozen=True, eq=False)
class _Done:
    """What was found of one leaf: its difference, and its factors A [r, in] and B [out, r] where it has some."""

    leaf: LeafSpec
    difference: float
    factors: tuple[torch.Tensor, torch.Tensor] | None = None
    energy: float = 0.0
    lost: float = 0.0


def extract_lora(  # noqa: PLR0913
    base: Checkpoint,
    expert: Checkpoint,
    out_dir: str | Path,
    settings: Settings = Settings(),
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Extraction:
    """Write the adapter that brings `base` near to `expert` as a new folder, in PEFT's form, and say how near.

    Each matrix of the difference E − B is replaced by its leading directions U·S·Vᵀ; A = √S·Vᵀ, B = U·√S and α = r, so
    that s·B·A = B·A. What is no matrix is left out, or, with `others="save"`, held whole as PEFT's `modules_to_save`.
    Raises SpaceError where the models have other leaves, PlanError where the settings take no leaf, no matrix differs
    or the folder cannot be written, CheckpointError and NonFiniteError as reading does.
    """
    check_extraction(base, expert, out_dir, settings)
    expert, space = _agreed(base, expert)
    wanted = _wanted([leaf.name for leaf in space.leaves], settings.filters)
    for model in (base, expert):
        model.check_twins()
    total, done, found = space.size or 1, 0, list[_Done]()

    def work(leaf: LeafSpec) -> _Done:
        if leaf.name in wanted and not why_no_matrix(leaf):
            return _decomposed(base, expert, leaf, settings)
        return _Done(leaf, _difference(base, expert, leaf))

    many = _workers(space.leaves) if workers is None else workers
    with single_threaded_pool(many, "basin-analysis") as pool:
        for one in ahead(pool, many + 1, work, space.leaves):
            found.append(one)
            done += one.leaf.elements
            if progress is not None:
                progress(done / total, "decomposing")
    return _written(base, expert, out_dir, found, wanted, settings)


def check_extraction(base: Checkpoint, expert: Checkpoint, out_dir: str | Path, settings: Settings) -> None:
    """Raise what `extract_lora` would, as far as headers show it: before anything is downloaded or read."""
    _, space = _agreed(base, expert)
    check_target(out_dir, 0)
    wanted = _wanted([leaf.name for leaf in space.leaves], settings.filters)
    if not any(leaf.name in wanted and not why_no_matrix(leaf) for leaf in space.leaves):
        must = "some leaf that is asked for is the matrix of a linear layer"
        raise PlanError(Problem(must, "none", base.label, "look at --leaves"))


def _agreed(base: Checkpoint, expert: Checkpoint) -> tuple[Checkpoint, ParameterSpace]:
    (expert,) = added_to(base, (expert,))
    expert = named_like(base, expert.tied_by(base.config))
    return expert, build_space(base, [expert])


def _wanted(names: Sequence[str], filters: Sequence[str]) -> frozenset[str]:
    problems = [
        Problem("a filter is part of a leaf's name", f"“{part}”", "--leaves", closest(part, names))
        for part in filters
        if not part or not any(part in name for name in names)
    ]
    if problems:
        raise PlanError(*problems)
    return frozenset(name for name in names if not filters or any(part in name for part in filters))


def _workers(leaves: Sequence[LeafSpec]) -> int:
    """Return how many leaves are worked on side by side: as many as cores, and as the largest allows by its memory."""
    largest = max((leaf.elements for leaf in leaves if not why_no_matrix(leaf)), default=0)
    room = (available_memory() or 8 << 30) // 2
    return max(1, min(MAX_WORKERS, cores(), room // max(1, largest * _HELD)))


def _decomposed(base: Checkpoint, expert: Checkpoint, leaf: LeafSpec, settings: Settings) -> _Done:
    matrix = expert.read(leaf.name).double()
    flat = matrix.view(-1)
    for start, stop in pieces_of(leaf.elements):
        flat[start:stop] -= base.read_range(leaf.name, start, stop).double()
    if not math.isfinite(block_sum_of_squares(flat)):
        must, where = "‖E − B‖² is a number of float64", f"{expert.label}: {leaf.name}"
        raise PlanError(Problem(must, "a larger one", where, "leave the leaf out with --leaves"))
    if is_turned(module_of(leaf.name), base.config):
        matrix = matrix.T.contiguous()
    most = settings.max_rank if settings.rank is None else settings.rank
    key = coin_key(settings.seed, "lora", leaf.name)
    directions = low_rank(matrix, most, key, settings.oversampling, settings.iterations)
    rank = rank_for(directions, settings.energy) if settings.rank is None else len(directions.values)
    if not rank:
        return _Done(leaf, directions.total)
    b, a = (factor.to(torch_dtype(settings.dtype)) for factor in factors(directions, rank))
    return _Done(leaf, directions.total, (a, b), directions.kept(rank), error_of(matrix, b, a))


def _difference(base: Checkpoint, expert: Checkpoint, leaf: LeafSpec) -> float:
    total = 0.0
    for start, stop in pieces_of(leaf.elements):
        ours, theirs = base.read_range(leaf.name, start, stop), expert.read_range(leaf.name, start, stop)
        total += block_sum_of_squares(theirs.double() - ours.double())
    return total


def _written(  # noqa: PLR0913
    base: Checkpoint,
    expert: Checkpoint,
    out_dir: str | Path,
    found: Sequence[_Done],
    wanted: frozenset[str],
    settings: Settings,
) -> Extraction:
    held = {module_of(one.leaf.name): (one, *one.factors) for one in found if one.factors is not None}
    if not held:
        must = f"some matrix of {expert.label} differs from {base.label}"
        raise PlanError(Problem(must, "none", fix="compare them with diff, and look at --leaves"))
    differing = [one for one in found if one.factors is None and one.difference]
    asked = [one.leaf.name for one in differing if one.leaf.name in wanted] if settings.others == "save" else []
    tied = {name for name in asked if is_tied(name, base.config)}
    whole = kept_whole([name for name in asked if name not in tied], held.keys(), base.leaves.keys())
    sources = {name: expert if name in expert.leaves else base for name in whole}
    specs = [
        LeafSpec(name, settings.dtype, tuple(factor.shape))
        for module, (_, *pair) in held.items()
        for name, factor in zip(names_of_factors(module), pair, strict=True)
    ]
    specs += [LeafSpec(key, *_form(sources[name], name)) for name, key in whole.items()]

    def leaves() -> Iterator[tuple[str, torch.Tensor]]:
        for module, (_, *pair) in held.items():
            yield from zip(names_of_factors(module), pair, strict=True)
        yield from ((key, sources[name].read(name)) for name, key in whole.items())

    text = peft_config(
        {module: a.shape[0] for module, (_, a, _) in held.items()},
        {module_of(name) for name in whole} - held.keys(),
        base.leaves.keys(),
        base,
        turned=any(is_turned(module, base.config) for module in held),
        biases=any(module_of(name) in held for name in whole),
    )
    folder = write_checkpoint(out_dir, leaves(), specs, {}, extra={ADAPTER_CONFIG: text}, file=ADAPTER_MODEL)
    return Extraction(
        folder=folder,
        extracted=tuple(
            Extracted(one.leaf.name, one.leaf.shape, a.shape[0], one.difference, one.energy, one.lost)
            for one, a, _ in held.values()
        ),
        rest=tuple(
            Rest(
                one.leaf.name,
                one.leaf.shape,
                one.difference,
                _reason(one.leaf, wanted, tied),
                one.leaf.name in whole,
            )
            for one in differing
        ),
        unchanged=sum(1 for one in found if not one.difference),
        adapter_bytes=sum(spec.nbytes for spec in specs),
        expert_bytes=expert.nbytes,
    )


def _form(model: Checkpoint, name: str) -> tuple[str, tuple[int, ...]]:
    return model.leaves[name].dtype, model.leaves[name].shape


def _reason(leaf: LeafSpec, wanted: frozenset[str], tied: set[str]) -> str:
    if leaf.name not in wanted:
        return "not asked for"
    return why_no_matrix(leaf) + (" that is tied to another layer" if leaf.name in tied else "")
