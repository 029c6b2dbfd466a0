"""One model brought to another: the way between them as it is, after matching, and after REPAIR."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy

from merging_core.alignment.activation_matching import Moments, take_in
from merging_core.alignment.observing import Weights
from merging_core.alignment.permuting import permuted
from merging_core.alignment.repair import Repaired, Spread, repaired, spreads
from merging_core.alignment.statistics import re_estimated
from merging_core.alignment.symmetry import Indices, Symmetry
from merging_core.alignment.weight_matching import at_home
from merging_core.analysis.aligning.matching import MATCHED, TRAINED, members
from merging_core.analysis.aligning.subject import Subject
from merging_core.analysis.aligning.telling import Told, align_tables, numbers_of
from merging_core.analysis.aligning.ways import Way
from merging_core.analysis.studies.contract import Finding, Study, StudyBench
from merging_core.analysis.studies.measuring import parts_in, scores_at
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.evaluation.paths import POINTS, coarse_to_fine
from merging_core.evaluation.report import Subset
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["ALIGN"]

WeightsAt = Callable[[float], Weights]
_HOME = 0.9
"""The share of units whose best partner is their namesake from which on models count as aligned."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure the naive middle, certify, match, measure the other ways, then everything finer."""
    subject = Subject(bench.points(spec), bench)
    told = Told(spec, bench.tasks)
    naive = Way("naive")
    grid = [
        index / (int(spec.params.number("points")) - 1) for index in coarse_to_fine(int(spec.params.number("points")))
    ]
    grid[1] = 1.0
    told.points = len(grid)
    ways: dict[Way, WeightsAt] = {naive: subject.between}
    yield from _measured(told, spec, bench, memory, subject, ways, grid[:3], "preview", 0.05)
    certificate = subject.certify(spec.seed)
    told.certificate, told.share = certificate, 0.08
    yield Finding(numbers_of(told, (naive,)), told.share)
    moments: dict[str, Moments] = {}
    for rows in subject.batches():
        bench.heed()
        take_in(moments, certificate.symmetry, subject.found.forward, *subject.models, rows)
        yield Finding(numbers_of(told, (naive,)), told.share)
    told.home = at_home(certificate.symmetry, *subject.models)
    told.aligned = bool(certificate.symmetry.groups) and told.home >= _HOME
    for step in members(spec, bench, memory, subject, certificate.symmetry, moments, told):
        told.member, told.alike = step.member, _alike(certificate.symmetry, moments, step.member)
        told.share = 0.08 + 0.2 * step.share
        yield Finding(numbers_of(told, (naive,)), told.share, step.long)
    other = permuted(certificate.symmetry, subject.models[1], told.member or {})
    matched = Way("matched", measured_as="naive" if told.aligned else "matched")
    ways[matched] = partial(subject.towards, other)
    if spec.params["repair"] == "repair":
        care = _Care(subject, other, subject.layers(certificate.symmetry))
        told.re_estimated = bool(subject.found.statistics)
        told.layers = care.at(0.5, tell=True).layers
        ways[Way("repaired")] = care.weights
    yield from _measured(told, spec, bench, memory, subject, ways, grid[:3], "preview", 0.35)
    yield from _measured(
        told, spec, bench, memory, subject, ways, grid, "preview", 0.6 if spec.subset == "full" else 1.0
    )
    if spec.subset == "full":
        yield from _measured(told, spec, bench, memory, subject, ways, grid, "full", 1.0)


def _measured(  # noqa: PLR0913
    told: Told,
    spec: StudySpec,
    bench: StudyBench,
    memory: Memory,
    subject: Subject,
    ways: Mapping[Way, WeightsAt],
    grid: list[float],
    subset: Subset,
    until: float,
) -> Iterator[Finding]:
    """Measure every way at the points of a grid, one point after the other; the last finding has this share."""
    parts, begun, count = parts_in(bench, spec.splits, subset), told.share, len(grid) * len(ways)
    for place, (t, (way, at)) in enumerate((t, pair) for t in grid for pair in ways.items()):
        bench.heed()
        name, weights = f"{way.measured_as} {t!r}", partial(at, t)
        way.put(subset, t, scores_at(bench, memory, subject.points.config, name, weights, parts))
        told.share = begun + (until - begun) * (place + 1) / count
        if place + 1 == count:
            told.share = until
        told.partial = told.share < 1.0 or spec.subset == "preview"
        if len(way.shown(told.points)) >= min(3, len(grid)) or place + 1 == count:
            yield Finding(numbers_of(told, tuple(ways)), told.share)


def _alike(symmetry: Symmetry, moments: Mapping[str, Moments], member: Mapping[str, Indices]) -> dict[str, Any]:
    """Return the correlation of each unit with its partner, before and after, for each class that layers show."""
    found = {}
    for name, one in moments.items():
        table = one.gains("correlation")
        rows = numpy.arange(len(table))
        found[name] = table[rows, rows], table[rows, member[name]]
    return found


@dataclass(frozen=True, eq=False)
class _Care:
    """REPAIR at any point of the way to `other`: what the parents' layers write is found once."""

    subject: Subject
    other: Weights
    leaves: tuple[str, ...]

    @cached_property
    def parents(self) -> tuple[dict[str, Spread], dict[str, Spread]]:
        """What the layers of both write."""
        first, second = (
            spreads(self.subject.found.forward, one, self.subject.rows, self.leaves)
            for one in (self.subject.models[0], self.other)
        )
        return first, second

    def at(self, t: float, *, tell: bool = False) -> Repaired:
        """Return the model at t, mended: with batch normalisation by its running statistics; the ends are parents.

        `tell`: whether it is said how much layers vary before.
        """
        subject = self.subject
        mixed, statistics = subject.mixed(self.other, t), subject.found.statistics
        if statistics:
            parents = subject.models[0], self.other
            return re_estimated(subject.found.forward, mixed, parents, subject.rows, statistics)
        forward, rows, leaves = subject.found.forward, subject.rows, self.leaves
        before = spreads(forward, mixed, rows, leaves) if tell else None
        return repaired(forward, mixed, self.parents, (1.0 - t, t), rows, leaves, before)

    def weights(self, t: float) -> Weights:
        """Return its weights by the names of the file."""
        return self.subject.unbound(self.at(t).weights)


ALIGN = Study(
    name="align",
    title="Alignment",
    formula="π* = argmax over certified π of ⟨A, π(B)⟩;  θ(t) = (1 − t)·A + t·π*(B);  REPAIR: σ → (1 − t)·σ_A + t·σ_B",
    summary="Brings the second model to the first by permuting its units, and shows the way between them before and "
    "after, and with the lost variance repaired.",
    source=Source(
        "Ainsworth, Hayase and Srinivasa",
        2023,
        "Git Re-Basin: Merging Models modulo Permutation Symmetries",
        "https://arxiv.org/abs/2209.04836",
        "algorithm 1",
        deviation="Heads of an attention are matched as a whole; every symmetry is certified before it is used. "
        "REPAIR: Jordan et al. 2023, arXiv:2211.08403; batch normalisation gets running statistics of the "
        "merge instead.",
    ),
    parameters=(
        *MATCHED,
        ParameterInfo(
            "repair", "Afterwards", "choice", "repair", "Whether the lost variance of each layer is repaired.",
            choices=("repair", "nothing"),
        ),
        ParameterInfo("points", "Points", "integer", POINTS, "Points on each way, both ends included.", 3, 201),
    ),
    group="paths",
    models=(2, 2),
    splits=("validation", "train"),
    trains=TRAINED,
    answer=_answer,
    tables=align_tables,
)  # fmt: skip
