"""Representations: how alike models see the same inputs, layer by layer, and how far each has moved from the base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch

from merging_core.analysis.representations.alike import LEAST, gram_of
from merging_core.analysis.representations.measured import Measured
from merging_core.analysis.representations.said import place_of, said
from merging_core.analysis.representations.states import Reader, Tokens, reader
from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
from merging_core.analysis.studies.measuring import parts_in
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.engines.points import points_of
from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.batches import Batches
from merging_core.evaluation.evaluator import Part
from merging_core.learning.leaves import wide
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["REPRESENTATIONS"]

_ROWS = 50
"""Examples that one worker answers at once."""
_HELD = 1 << 27
"""Bytes of the states of one batch of examples in one model."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure batch after batch of each task in turn, in all models at once; a finding after each."""
    compared = [*([] if spec.base is None else [spec.base]), *spec.models]
    parts = parts_in(bench, spec.splits, spec.subset)
    _check(spec, len(compared), parts)
    points = points_of(bench.engine, compared, spec.base)
    weights = [points.weights(flat) for flat in points.flats]
    tokens, size, device = cast(Tokens, spec.params["tokens"]), int(spec.params.number("batch")), bench.evaluator.device
    readers = {task.name: [reader(points.config, one, task, device, tokens) for one in weights] for task in bench.tasks}
    pieces = [_Piece(part, readers[part.task.name], device, size, spec.base is not None) for part in parts]
    batches = Batches(device, _ROWS)
    done, steps = 0, sum(len(piece.ends) for piece in pieces)
    for turn in range(max(len(piece.ends) for piece in pieces)):
        for piece in pieces:
            if turn < len(piece.ends):
                bench.heed()
                if piece.known(memory).n < piece.ends[turn]:
                    piece.measure(memory, turn, batches, bench)
                done += 1
                found = {piece.part: (piece.names, piece.known(memory)) for piece in pieces}
                yield Finding(said(spec, found), done / steps)


def _check(spec: StudySpec, compared: int, parts: Sequence[Part]) -> None:
    problems = [
        Problem(f"representations are compared on at least {LEAST} rows of input", str(rows), part.task.name)
        for part in parts
        if (rows := _rows(part)) < LEAST
    ]
    if compared < 2:
        must = "representations are compared of two models, or of one and the base"
        problems.append(Problem(must, "one model", "models", "name a base, or another model"))
    problems += [
        Problem("model 0 is the base", "no base", f"study.params.{name}", "name a base, or count from 1")
        for name in ("rows", "columns")
        if spec.base is None and place_of(spec, name) is None
    ]
    if problems:
        raise EvaluationError(*problems)


def _rows(part: Part) -> int:
    """Return the rows of input of a part: windows of a text, else its examples."""
    return int(part.task.splits[part.split].rows(part.start, part.stop).stop)


@dataclass(frozen=True, eq=False)
class _Piece:
    """One task on one split, in all models, cut into batches of its rows."""

    part: Part
    readers: Sequence[Reader]
    device: torch.device
    size: int
    from_base: bool

    @cached_property
    def _widths(self) -> Mapping[str, int]:
        """The numbers of each state, found by one example."""
        return {name: state.shape[1] for name, state in self.readers[0].states(self._inputs(slice(0, 1))).items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The layers."""
        return tuple(self._widths)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where each batch ends; they are alike in size, and no larger than memory and the wanted size allow."""
        rows = _rows(self.part)
        most = max(LEAST, min(self.size, _HELD // (4 * sum(self._widths.values()))))
        count = max(1, min(-(-rows // most), rows // LEAST))
        return tuple(rows * (place + 1) // count for place in range(count))

    def known(self, memory: Memory) -> Measured:
        """Return what is known so far."""
        counts = len(self.readers), len(self._widths)
        return Measured.remembered(memory, self._name, *counts) or Measured.begun(*counts, self.from_base)

    def measure(self, memory: Memory, turn: int, batches: Batches, bench: StudyBench) -> None:
        """Add one batch to the memory."""
        inputs = self._inputs(slice(self.ends[turn - 1] if turn else 0, self.ends[turn]))
        widths = list(self._widths.values())
        grams, moves = [], []
        base: Sequence[torch.Tensor] = ()
        for one in self.readers:
            states = batches.run(one.joined, [inputs], bench.cancelled).split_with_sizes(widths, dim=1)
            grams += [gram_of(state) for state in states]
            if self.from_base:
                base = base or states
                moves += [_moved(state, origin) for state, origin in zip(states, base, strict=True)]
        moved = torch.stack(moves, dim=1).cpu().numpy() if moves else None
        self.known(memory).added(torch.stack(grams), moved).keep(memory, self._name)

    @property
    def _name(self) -> str:
        return f"{self.part.task.name}|{self.part.split}"

    def _inputs(self, rows: slice) -> torch.Tensor:
        return self.part.task.inputs(self.part.split)[rows].to(self.device)


def _moved(state: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """Return ‖h − h₀‖/‖h₀‖ and the cosine of h and h₀ of each example, `[2, n]`."""
    one, other = wide(state), wide(origin)
    distance = torch.linalg.vector_norm(one - other, dim=1) / torch.linalg.vector_norm(other, dim=1)
    return torch.stack((distance, torch.nn.functional.cosine_similarity(one, other, dim=1)))


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    labels, layers = cast("list[str]", numbers["models"]), cast("list[str]", numbers["layers"])

    def name(place: int | None) -> str:
        return "base" if place is None else labels[place]

    pairs = cast("list[dict[str, Any]]", numbers["pairs"])
    moved = cast("list[dict[str, Any]]", numbers["moved"])
    alike = tuple(
        (
            name(pair["first"]),
            name(pair["second"]),
            row["task"],
            row["split"],
            layer,
            cka["value"],
            *cka["interval"],
            row["n"],
        )
        for pair in pairs
        for row in [*pair["tasks"], *pair["means"]]
        for layer, cka in zip(layers, row["cka"], strict=True)
    )
    drift = tuple(
        (name(one["model"]), row["task"], row["split"], layer, far["value"], *far["interval"], near["value"],
         *near["interval"], row["n"])
        for one in moved
        for row in [*one["tasks"], *one["means"]]
        for layer, far, near in zip(layers, row["distance"], row["cosine"], strict=True)
    )  # fmt: skip
    ends = ("95 % low", "95 % high")
    found = {"cka": Table("CKA of each layer", ("model", "other", "task", "split", "layer", "CKA", *ends, "n"), alike)}
    if drift:
        header = ("model", "task", "split", "layer", "relative distance", *ends, "cosine", "cosine 95 % low",
                  "cosine 95 % high", "n")  # fmt: skip
        found["drift"] = Table("Distance of each layer from the base", header, drift)
    matrix = cast("dict[str, Any]", numbers["matrix"])
    rows = tuple((layer, *row) for layer, row in zip(layers, matrix["values"], strict=True))
    names = f"{name(matrix['first'])} (rows) and {name(matrix['second'])} (columns)"
    found["matrix"] = Table(f"CKA of every layer of {names}, mean over tasks", ("layer", *layers), rows)
    return found


REPRESENTATIONS = Study(
    name="representations",
    title="Representations",
    formula="CKA(X, Y) = HSIC(XXᵀ, YYᵀ) / √(HSIC(XXᵀ, XXᵀ)·HSIC(YYᵀ, YYᵀ)); drift ‖h − h₀‖ / ‖h₀‖",
    summary="How alike models see the same inputs, layer by layer, and how far each layer has moved from the base.",
    source=Source(
        "Kornblith, Norouzi, Lee and Hinton",
        2019,
        "Similarity of Neural Network Representations Revisited",
        "https://arxiv.org/abs/1905.00414",
        "section 3",
        "HSIC without bias, over batches, as Nguyen, Raghu and Kornblith 2021 (arXiv:2010.15327) take it, so that few "
        "examples of many numbers do not look alike by themselves; intervals by the jackknife over examples.",
    ),
    parameters=(
        ParameterInfo(
            "tokens", "Tokens", "choice", "all", "What of a layer is compared: all tokens side by side, their mean, or "
            "the first.", choices=("all", "mean", "first"),
        ),
        ParameterInfo(
            "batch", "Batch", "integer", 100, "Examples that are compared with each other; more are more exact.",
            LEAST, 512, slider=(20, 200), unit="examples",
        ),
        ParameterInfo(
            "rows", "Rows of the matrix", "integer", 1, "Which model the matrix of layers has as rows; 0 is the base.",
            0, 8,
        ),
        ParameterInfo(
            "columns", "Columns of the matrix", "integer", 2, "Which model it has as columns; 0 is the base.", 0, 8,
        ),
    ),
    group="behaviour",
    models=(1, 8),
    answer=_answer,
    tables=_tables,
)  # fmt: skip
