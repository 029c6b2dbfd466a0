"""Task vectors side by side: norms, cosines, clashing signs, common largest elements, effective ranks; leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy
import torch

from merging_core.analysis.studies.contract import Finding, Study, StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.analysis.vectors.findings import matrix_numbers, numbers_so_far, rank_numbers, tables
from merging_core.analysis.vectors.measures import LeafSums, with_piece
from merging_core.analysis.vectors.pictures import blocks_of_rows, grid_of
from merging_core.analysis.vectors.reading import TaskVectors, task_vectors_of
from merging_core.analysis.vectors.spectra import entropy_rank, has_spectrum, spectrum_of, stable_rank
from merging_core.engines.samples import scattered
from merging_core.errors import Problem, RecipeError
from merging_core.masks.magnitude import largest, scope_parameter
from merging_core.masks.ranks import magnitudes_at, magnitudes_of_rows
from merging_core.methods.info import ParameterInfo, Parameters, Source
from merging_core.space.parameter_space import SpaceLeaf
from merging_core.space.reductions import BLOCK

__all__ = ["VECTORS"]

_AT_ONCE = 1 << 20
"""Numbers of all models that are worked on between two findings."""
_AT_LEAST_SAMPLED = 1 << 24
"""Numbers of all models from which on a sample answers first."""
_VALUES = 256
"""Singular values that are shown of the chosen matrix."""
_SAMPLED = 0.001
"""The share of the work that a sample is."""
_DECOMPOSED = 3e7
"""Elements times shorter side that are decomposed between two findings."""
_SIDES = ((2, 96), (4, 64), (16, 40))
"""How many blocks high and wide a picture is, by the number of models."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Read every leaf once or twice, then decompose the matrices, and draw the one that was chosen."""
    vectors = task_vectors_of(bench.engine, spec.models, str(spec.base))
    chosen = _chosen(spec, vectors)
    leaves = vectors.space.leaves if chosen is None else (chosen,)
    work = _Work(spec, bench, memory, vectors, leaves)
    labels = [model if isinstance(model, str) else "merge" for model in spec.models]

    def finding() -> Finding:
        numbers = numbers_so_far(vectors.space, leaves, work.sums(), work.sampled(), labels)
        numbers["chosen"] = int(spec.params.number("leaf"))
        numbers["ranks"] = rank_numbers(vectors.space, work.matrices, work.ranks())
        if chosen is not None:
            values = [(memory.get(_values_of(chosen, t)) or {}).get("values") for t in range(len(vectors))]
            numbers["matrix"] = matrix_numbers(chosen, work.grid, memory.get("picture"), values)
        share = work.done()
        return Finding({**numbers, "partial": share < 1.0}, share)

    bench.heed()
    if work.needs_sample():
        work.take_sample()
        yield finding()
    before = work.done()
    for step in (work.add_up, *((work.draw,) if chosen is not None else ()), work.decompose):
        for _ in step():
            bench.heed()
            yield finding()
    if before == 1.0:
        yield finding()


class _Work:
    """What there is to do for one answer, and how much of it the memory holds."""

    def __init__(
        self, spec: StudySpec, bench: StudyBench, memory: Memory, vectors: TaskVectors, leaves: Sequence[SpaceLeaf]
    ) -> None:
        self._spec, self._bench, self._memory, self._vectors, self._leaves = spec, bench, memory, vectors, leaves
        self.matrices = [leaf for leaf in leaves if has_spectrum(leaf)]
        self.grid = grid_of(leaves[0].shape, next(side for most, side in _SIDES if len(vectors) <= most))
        self._density = Parameters(density=spec.params.number("top"))
        self._step = max(BLOCK, _AT_ONCE // len(vectors) // BLOCK * BLOCK)

    def sums(self) -> dict[str, LeafSums]:
        """Return the sums of each leaf of which something was read."""
        found = {leaf.name: self._memory.get(_sums_of(leaf)) for leaf in self._leaves}
        return {name: LeafSums.of_arrays(arrays) for name, arrays in found.items() if arrays is not None}

    def sampled(self) -> LeafSums | None:
        """Return the sums of the sample, where one was taken."""
        found = self._memory.get("sample")
        return None if found is None else LeafSums.of_arrays(found)

    def ranks(self) -> dict[str, list[Mapping[str, Any] | None]]:
        """Return what is known of the matrices of each leaf, model by model."""
        models = range(len(self._vectors))
        return {leaf.name: [self._memory.get(_rank_of(leaf, t)) for t in models] for leaf in self.matrices}

    def done(self) -> float:
        """Return the share of the work that is done: half of it is reading, half decomposing."""
        of = sum(leaf.elements for leaf in self._leaves)
        read = sum(sums.elements for sums in self.sums().values()) / of if of else 1.0
        models = range(len(self._vectors))
        costs = [(leaf, t, float(leaf.elements) * min(leaf.shape)) for leaf in self.matrices for t in models]
        all_costs = sum(cost for _, _, cost in costs)
        known = sum(cost for leaf, t, cost in costs if _rank_of(leaf, t) in self._memory)
        parts = [read, *([known / all_costs] if costs else [])]
        if len(self._leaves) == 1 and self._spec.params.number("leaf"):
            parts.append(self._drawn() / (len(self.grid.rows) - 1))
        return min(1.0, max(sum(parts) / len(parts), _SAMPLED if "sample" in self._memory else 0.0))

    def needs_sample(self) -> bool:
        """Say whether a sample answers before everything was read."""
        many = self._vectors.space.size * (1 + len(self._vectors)) >= _AT_LEAST_SAMPLED
        return many and len(self._leaves) > 1 and "sample" not in self._memory

    def take_sample(self) -> None:
        """Add up what a sample of the whole model shows."""
        piece = self._vectors.sampled(scattered(self._vectors.space))
        least = torch.cat([magnitudes_at([row], self._rank) for row in piece[1:]])
        self._memory.put("sample", **with_piece(LeafSums.empty(len(self._vectors)), piece, least).as_arrays())

    def add_up(self) -> Iterator[None]:
        """Read every leaf, and stop after so many numbers each time."""
        whole = self._least_of_all() if self._spec.params["scope"] == "model" else None
        waiting = 0
        for leaf in self._leaves:
            known = self._memory.get(_sums_of(leaf))
            sums = LeafSums.empty(len(self._vectors)) if known is None else LeafSums.of_arrays(known)
            least = whole
            while sums.elements < leaf.elements:
                if least is None:
                    least = self._least_of(leaf)
                piece = self._vectors.piece(leaf, sums.elements, min(sums.elements + self._step, leaf.elements))
                sums = with_piece(sums, piece, least)
                self._memory.put(_sums_of(leaf), **sums.as_arrays())
                waiting += piece.shape[1]
                if waiting >= self._step:
                    waiting = 0
                    yield
        if waiting:
            yield

    def decompose(self) -> Iterator[None]:
        """Find the singular values of every matrix, and stop after so much work each time."""
        waiting = 0.0
        for leaf in self.matrices:
            for t in range(len(self._vectors)):
                if _rank_of(leaf, t) in self._memory:
                    continue
                self._bench.heed()
                found = spectrum_of(self._vectors.one(leaf, t))
                entropy = entropy_rank(found)
                if len(self._leaves) == 1:
                    self._memory.put(_values_of(leaf, t), values=found.values[:_VALUES].numpy())
                whole = numpy.array([stable_rank(found), numpy.nan if entropy is None else entropy])
                self._memory.put(_rank_of(leaf, t), ranks=whole)
                waiting += float(leaf.elements) * min(leaf.shape)
                if waiting >= _DECOMPOSED:
                    waiting = 0.0
                    yield
        if waiting:
            yield

    def draw(self) -> Iterator[None]:
        """Draw the chosen leaf, row of blocks by row of blocks."""
        (leaf,), grid, waiting = self._leaves, self.grid, 0
        high, wide = len(grid.rows) - 1, len(grid.columns) - 1
        across = grid.columns[-1]
        while (row := self._drawn()) < high:
            known = self._memory.get("picture")
            pictures = numpy.zeros((len(self._vectors), high, wide)) if known is None else known["pictures"].copy()
            clashes = numpy.zeros((high, wide)) if known is None else known["clashes"].copy()
            piece = self._vectors.piece(leaf, grid.rows[row] * across, grid.rows[row + 1] * across)[1:]
            found, clashing = blocks_of_rows(piece.view(len(self._vectors), -1, across), grid.columns)
            pictures[:, row], clashes[row] = found.numpy(), clashing.numpy()
            self._memory.put("picture", rows=numpy.array(row + 1), pictures=pictures, clashes=clashes)
            waiting += max(1, piece.numel())
            if waiting >= _AT_ONCE:
                waiting = 0
                yield
        if waiting:
            yield

    def _drawn(self) -> int:
        found = self._memory.get("picture")
        return 0 if found is None else int(found["rows"])

    def _rank(self, size: int) -> tuple[int]:
        return largest(size, self._density)

    def _least_of(self, leaf: SpaceLeaf) -> torch.Tensor:
        """Return the smallest magnitude among the largest of each task vector within a leaf: [T]."""
        if leaf.elements <= self._step:
            return torch.cat(
                [magnitudes_at([row], self._rank) for row in self._vectors.piece(leaf, 0, leaf.elements)[1:]]
            )
        return magnitudes_of_rows(_Pieces(self._vectors, [leaf], self._step, self._bench), self._rank(leaf.elements))[
            :, 0
        ]

    def _least_of_all(self) -> torch.Tensor:
        known = self._memory.get("least")
        if known is None:
            space = self._vectors.space
            pieces = _Pieces(self._vectors, space.leaves, self._step, self._bench)
            known = {"least": magnitudes_of_rows(pieces, self._rank(space.size))[:, 0].numpy()}
            self._memory.put("least", **known)
        return torch.from_numpy(known["least"].astype(numpy.float32))


class _Pieces:
    """The task vectors of some leaves in pieces [T, n], walked as often as one wants."""

    def __init__(self, vectors: TaskVectors, leaves: Sequence[SpaceLeaf], step: int, bench: StudyBench) -> None:
        self._vectors, self._leaves, self._step, self._bench = vectors, leaves, step, bench

    def __iter__(self) -> Iterator[torch.Tensor]:
        for leaf in self._leaves:
            for start in range(0, leaf.elements, self._step):
                self._bench.heed()
                yield self._vectors.piece(leaf, start, min(start + self._step, leaf.elements))[1:]


def _chosen(spec: StudySpec, vectors: TaskVectors) -> SpaceLeaf | None:
    number, leaves = int(spec.params.number("leaf")), vectors.space.leaves
    if number > len(leaves):
        must, fix = f"leaf is one of the {len(leaves)} leaves of the model", "0 looks at the whole model"
        raise RecipeError(Problem(must, str(number), "study.params.leaf", fix))
    return leaves[number - 1] if number else None


def _sums_of(leaf: SpaceLeaf) -> str:
    return f"sums|{leaf.name}"


def _rank_of(leaf: SpaceLeaf, model: int) -> str:
    return f"rank|{leaf.name}|{model}"


def _values_of(leaf: SpaceLeaf, model: int) -> str:
    return f"values|{leaf.name}|{model}"


VECTORS = Study(
    name="vectors",
    title="Task vectors",
    formula="τₜ = θₜ − θ₀; cos(τₛ, τₜ); effective rank exp(−Σ pᵢ·log pᵢ), pᵢ = σᵢ/Σσ",
    summary="How alike what the experts learned is: directions, signs and largest changes, from the whole to a matrix.",
    source=Source(
        "Ilharco et al.",
        2023,
        "Editing Models with Task Arithmetic",
        "https://arxiv.org/abs/2212.04089",
        "section 5 (cosines); Yadav et al. 2023, arXiv 2306.01708, section 3 (signs and largest elements)",
        deviation="The largest elements are compared with what chance would give; ranks are those of Roy and Vetterli "
        "(2007) and Rudelson and Vershynin (2007).",
    ),
    parameters=(
        ParameterInfo(
            "top",
            "Largest elements",
            "number",
            0.2,
            "The fraction of each task vector's elements, the largest ones, whose overlap is counted.",
            0.0,
            1.0,
            minimum_excluded=True,
            unit="fraction",
        ),
        scope_parameter("leaf"),
        ParameterInfo(
            "leaf",
            "Leaf from close by",
            "integer",
            0,
            "The number of one leaf that is looked at alone, as the table of leaves counts them; 0 looks at all.",
            0,
            1_000_000,
            step=1,
            slider=(0, 200),
        ),
    ),
    group="task vectors",
    models=(1, 16),
    needs_base=True,
    measures=False,
    splits=(),
    answer=_answer,
    tables=tables,
)
