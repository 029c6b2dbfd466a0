"""Interference: how much pairs of task vectors get into each other's way, and what merge methods make of that."""

from __future__ import annotations

from collections.abc import Iterator

from merging_core.analysis.studies.contract import Finding, Study, StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.analysis.vectors.effects import EFFECTS, SUM
from merging_core.analysis.vectors.ground import ground_of
from merging_core.analysis.vectors.interference_numbers import numbers_of, tables
from merging_core.analysis.vectors.measures import pairs_of
from merging_core.analysis.vectors.pair_merges import PairMerges
from merging_core.analysis.vectors.pair_scores import AT_ONCE, PairScores
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["INTERFERENCE"]

_PREVIEW, _FULL = AT_ONCE // 3, AT_ONCE
"""What measuring a merge counts, in elements added up, when it comes to the next finding."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Score pairs as they are, then as methods leave them, then measure the merges: previews, then whole splits."""
    pairs = pairs_of(len(spec.models))
    scores = PairScores(ground_of(spec, bench), bench, memory, spec.seed)
    merges = PairMerges(spec, scores, pairs)
    labels = [model if isinstance(model, str) else "merge" for model in spec.models]

    def share() -> float:
        every = sum(scores.sums(effect, pair).elements for effect in EFFECTS for pair in pairs)
        scored = every / (len(EFFECTS) * len(pairs) * scores.ground.elements)
        measured = merges.share() if merges.possible else scored
        return 1.0 if scored == measured == 1.0 else (scored + 2.0 * measured) / 3.0

    def finding() -> Finding:
        done = share()
        return Finding(numbers_of(spec, scores, merges, pairs, labels, done), done)

    def steps() -> Iterator[int]:
        for pair in pairs:
            yield from scores.add_up(SUM, pair)
        for model in range(len(labels)) if merges.possible else ():
            if merges.look_around(model):
                yield _PREVIEW
        for effect in EFFECTS[1:]:
            for pair in pairs:
                yield from scores.add_up(effect, pair)
        for piece in merges.pieces() if merges.possible else ():
            if merges.measure(piece):
                yield _PREVIEW if piece[2] == "preview" else _FULL

    bench.heed()
    if share() == 1.0:
        yield finding()
    waiting = 0
    for cost in steps():
        bench.heed()
        waiting += cost
        if waiting >= AT_ONCE:
            waiting = 0
            yield finding()
    if waiting:
        yield finding()


INTERFERENCE = Study(
    name="interference",
    title="Interference",
    formula="1 − ‖u₁ + u₂‖₁ / (‖u₁‖₁ + ‖u₂‖₁); 1 − ‖u₁ + u₂‖² / (‖u₁‖² + ‖u₂‖²)",
    summary="How much pairs of experts get into each other's way, what merge methods do about it, and whether it pays.",
    source=Source(
        "Yadav et al.",
        2023,
        "TIES-Merging: Resolving Interference When Merging Models",
        "https://arxiv.org/abs/2306.01708",
        "section 3",
        deviation="The paper counts conflicting signs; here they are weighed by what they cancel, and set beside the "
        "direction that a method gives up and the accuracy that the merge of the pair keeps.",
    ),
    parameters=(
        ParameterInfo(
            "strength",
            "Strength of merges",
            "choice",
            "default",
            "Whether merges have their method's default λ, or the λ with which all move as far as one expert does.",
            choices=("default", "equal"),
        ),
    ),
    group="task vectors",
    models=(2, 12),
    needs_base=True,
    splits=("validation",),
    answer=_answer,
    tables=tables,
)
