"""The numbers of interference as a page shows them, and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy

from merging_core.analysis.studies.contract import Table
from merging_core.analysis.studies.spec import StudySpec
from merging_core.analysis.vectors.effects import EFFECTS, SUM
from merging_core.analysis.vectors.pair_accuracy import Merges, relation
from merging_core.analysis.vectors.pair_merges import PairMerges
from merging_core.analysis.vectors.pair_scores import Pair, PairScores
from merging_core.analysis.vectors.scores import SCORES
from merging_core.evaluation.resampling import percentiles

__all__ = ["numbers_of", "tables"]

_Row = list[dict[str, float | None] | None]


def numbers_of(
    spec: StudySpec,
    scores: PairScores,
    merges: PairMerges,
    pairs: Sequence[Pair],
    labels: Sequence[str],
    share: float,
) -> dict[str, object]:
    """Return what is known of scores, of merges, of whether the first tell the second, and of what methods change."""
    found = {effect.name: [scores.of(effect, pair) for pair in pairs] for effect in EFFECTS}
    entries, sizes = merges.entries() if merges.possible else [], merges.sizes() if merges.possible else {}
    own = merges.own if merges.possible else None
    relations, changes = list[dict[str, object]](), list[dict[str, object]]()
    for split in spec.splits if own is not None else ():
        known = merges.merges(split)
        if known is not None and bool(numpy.isfinite(known.values).all()):
            relations += _relations(found[SUM.name], known, len(labels), pairs, split, spec.seed)
            changes += _changes(found, known, split)
    return {
        "sentence": _sentence(len(pairs), scores.ground.elements, sizes, whole=scores.ground.whole),
        "n": {split: n for split, (n, _) in sizes.items()},
        "partial": share < 1.0 or any(bool(entry["partial"]) for entry in entries),
        "models": list(labels),
        "pairs": [list(pair) for pair in pairs],
        "methods": [{"name": one.name, "title": one.title, "summary": one.summary} for one in EFFECTS],
        "measures": [
            {"name": one.name, "title": one.title, "formula": one.formula, "summary": one.summary} for one in SCORES
        ],
        "elements": scores.ground.elements,
        "sampled": not scores.ground.whole,
        "scores": found,
        "own": None if own is None else [scores.bench.tasks[place].name for place in own],
        "accuracies": entries,
        "relations": relations,
        "changes": changes,
    }


def _sentence(pairs: int, elements: int, sizes: Mapping[str, tuple[int, int]], *, whole: bool) -> str:
    many = "One pair" if pairs == 1 else f"{pairs} pairs"
    what = f"{many} of task vectors, as they are and as {len(EFFECTS) - 1} methods leave them"
    counted = f"{elements:,}".replace(",", " ")
    if not whole:
        return f"{what}; a sample of {counted} numbers of each, too large to be merged and measured here."
    if not sizes:
        return f"{what}; all {counted} numbers of each."
    where = ", ".join(f"{split} n {n}" + (f" of {of}" if n < of else "") for split, (n, of) in sizes.items())
    return f"{what}; what their merges keep of the experts' accuracy on their own tasks, {where}."


def _relations(
    first: _Row, merges: Merges, models: int, pairs: Sequence[Pair], split: str, seed: int
) -> list[dict[str, object]]:
    """Say of each score of pairs as they are whether it goes with what their sum keeps; all elements are kept there."""
    rows = []
    for one in SCORES:
        if one.name == "kept":
            continue
        known = [(row or {}).get(one.name) for row in first]
        told = relation(known, merges, 0, models, pairs, seed)
        if told is not None:
            rows.append({"split": split, "score": one.name, "title": one.title, **told})
    return rows


def _changes(found: Mapping[str, _Row], merges: Merges, split: str) -> list[dict[str, object]]:
    """Say what each method changes beside the sum, as means over pairs."""
    rows = list[dict[str, object]]()
    for place, effect in enumerate(EFFECTS[1:], start=1):
        drawn = (merges.draws[:, place] - merges.draws[:, 0]).mean(axis=1)
        rows.append(
            {
                "split": split,
                "method": effect.name,
                "normalised": float((merges.values[place] - merges.values[0]).mean()),
                "interval": list(percentiles(drawn) or (None, None)),
                **{one.name: _mean_change(found[SUM.name], found[effect.name], one.name) for one in SCORES},
            }
        )
    return rows


def _mean_change(before: _Row, after: _Row, name: str) -> float | None:
    gaps = []
    for one, other in zip(before, after, strict=True):
        first, second = (one or {}).get(name), (other or {}).get(name)
        if first is not None and second is not None:
            gaps.append(second - first)
    return sum(gaps) / len(gaps) if gaps else None


def tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    """Return scores, merges, changes and relations as tables."""
    given = cast("Mapping[str, Any]", numbers)
    names = [tuple(given["models"][t] for t in pair) for pair in given["pairs"]]
    titles = {one["name"]: one["title"] for one in given["methods"]}
    scores = [one["name"] for one in given["measures"]]
    found = {
        "scores": Table(
            "Interference of pairs",
            ("method", "first", "second", *(one["title"].lower() for one in given["measures"])),
            tuple(
                (titles[method], *names[place], *(row[name] for name in scores))
                for method, rows in given["scores"].items()
                for place, row in enumerate(rows)
                if row is not None
            ),
        ),
        "accuracies": Table(
            "Merges of pairs",
            (
                *("method", "first", "second", "split", "normalised accuracy", "95 % low", "95 % high"),
                *("accuracy", "accuracy low", "accuracy high", "n", "preview"),
            ),
            tuple(
                (
                    *(titles[row["method"]], *names[row["pair"]], row["split"], row["normalised"]),
                    *(row["normalised_interval"] or (None, None)),
                    *(row["accuracy"], *row["interval"], row["n"], "yes" if row["partial"] else "no"),
                )
                for row in given["accuracies"]
            ),
        ),
    }
    if given["changes"]:
        found["changes"] = Table(
            "What each method changes, mean over pairs",
            ("method", "split", "normalised accuracy", "95 % low", "95 % high", *scores),
            tuple(
                (
                    titles[row["method"]],
                    row["split"],
                    row["normalised"],
                    *row["interval"],
                    *(row[one] for one in scores),
                )
                for row in given["changes"]
            ),
        )
    if given["relations"]:
        found["relations"] = Table(
            "Whether scores of pairs tell what their sum keeps",
            ("score", "split", "Spearman", "95 % low", "95 % high", "p (models change places)", "pairs", "models"),
            tuple(
                (
                    *(row["score"], row["split"], row["spearman"], *(row["interval"] or (None, None))),
                    *(row["p"], row["pairs"], row["models"]),
                )
                for row in given["relations"]
            ),
        )
    return found
