"""One model brought to another: the way between them as it is, after matching, and after REPAIR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy
import torch

from merging_core.alignment.activation_matching import Moments, moments_of
from merging_core.alignment.observing import Weights
from merging_core.alignment.permuting import permuted
from merging_core.alignment.repair import repaired
from merging_core.alignment.statistics import re_estimated
from merging_core.alignment.symmetry import Indices, Symmetry
from merging_core.alignment.weight_matching import at_home
from merging_core.analysis.aligning.matching import MATCHED, members
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

_HOME = 0.9
"""The share of units whose best partner is their namesake from which on models count as aligned."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure the naive middle, certify, match, measure the other ways, then everything finer."""
    subject = Subject(bench.points(spec), bench)
    told = Told(spec, bench.tasks)
    naive, matched, mended = (Way(what) for what in ("naive", "matched", "repaired"))
    grid = [
        index / (int(spec.params.number("points")) - 1) for index in coarse_to_fine(int(spec.params.number("points")))
    ]
    grid[1] = 1.0
    told.points = len(grid)
    yield from _measured(told, spec, bench, memory, subject, {naive: None}, grid[:3], "preview", 0.05)
    certificate = subject.certify(spec.seed)
    told.certificate, told.share = certificate, 0.08
    yield Finding(numbers_of(told, (naive,)), told.share)
    moments = moments_of(certificate.symmetry, subject.found.forward, *subject.models, subject.batches())
    told.home = at_home(certificate.symmetry, *subject.models)
    told.aligned = bool(certificate.symmetry.groups) and told.home >= _HOME
    for member, share in members(spec, bench, memory, subject, certificate.symmetry, moments, told):
        told.member, told.alike = member, _alike(certificate.symmetry, moments, member)
        told.share = 0.08 + 0.2 * share
        yield Finding(numbers_of(told, (naive,)), told.share)
    other = permuted(certificate.symmetry, subject.models[1], told.member or {})
    ways: dict[Way, Weights | None] = {naive: None, matched: other}
    if spec.params["repair"] == "repair":
        leaves = subject.layers(certificate.symmetry)
        told.re_estimated = bool(subject.found.statistics)
        told.layers = _repair(subject, other, 0.5, leaves)[1]
        ways[mended] = other
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
    ways: Mapping[Way, Weights | None],
    grid: list[float],
    subset: Subset,
    until: float,
) -> Iterator[Finding]:
    """Measure every way at the points of a grid, one point after the other; the last finding has this share."""
    parts, begun, count = parts_in(bench, spec.splits, subset), told.share, len(grid) * len(ways)
    for place, (t, (way, other)) in enumerate((t, pair) for t in grid for pair in ways.items()):
        bench.heed()

        def weights(t: float = t, way: Way = way, other: Weights | None = other) -> Weights:
            flat = subject.points.mixed((1.0 - t, t)) if other is None else subject.points.flats[0]
            named = subject.points.weights(flat)
            if other is None:
                return named
            if way.what == "repaired":
                return subject.unbound(_repair(subject, other, t, subject.layers(told.symmetry))[0], named)
            return subject.unbound(_mixed(subject.models[0], other, t), named)

        way.put(subset, t, scores_at(bench, memory, subject.points.config, f"{way.what} {t!r}", weights, parts))
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


def _mixed(first: Weights, other: Weights, t: float) -> dict[str, torch.Tensor]:
    if t in (0.0, 1.0):
        return dict(other if t else first)
    return {name: torch.mul(leaf, 1.0 - t).add_(torch.mul(other[name], t)) for name, leaf in first.items()}


def _repair(subject: Subject, other: Weights, t: float, leaves: tuple[str, ...]) -> tuple[Weights, Any]:
    """Mend the merge at t, at the ends the parents themselves; with batch normalisation by its running statistics."""
    first, forward, statistics = subject.models[0], subject.found.forward, subject.found.statistics
    merged, parents = _mixed(first, other, t), (first, other)
    if statistics:
        found = re_estimated(forward, merged, parents, subject.rows, statistics)
    else:
        found = repaired(forward, merged, parents, (1.0 - t, t), subject.rows, leaves)
    return found.weights, found.layers


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
    answer=_answer,
    tables=align_tables,
)  # fmt: skip
