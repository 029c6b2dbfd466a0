"""What an alignment says in numbers: certificate, advice, ways and barriers, each class and each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy

from merging_core.alignment.certificate import Certificate
from merging_core.alignment.repair import LayerSpread
from merging_core.alignment.symmetry import Indices, Symmetry
from merging_core.analysis.aligning.ways import Way
from merging_core.analysis.studies.contract import Table
from merging_core.analysis.studies.spec import StudySpec
from merging_core.evaluation.tasks import AnyTask
from merging_core.recipes.recipe import Recipe

__all__ = ["Told", "align_tables", "numbers_of"]

_DRAWN = 512
"""Largest class whose permutation is told unit by unit."""


@dataclass(eq=False)
class Told:
    """What is known so far."""

    spec: StudySpec
    tasks: Sequence[AnyTask]
    points: int = 0
    share: float = 0.0
    partial: bool = True
    certificate: Certificate | None = None
    home: float | None = None
    aligned: bool = False
    member: Mapping[str, Indices] | None = None
    gains: list[float] = field(default_factory=list)
    alike: Mapping[str, Any] = field(default_factory=dict)
    layers: Sequence[LayerSpread] = ()
    re_estimated: bool = False

    @property
    def symmetry(self) -> Symmetry:
        """What was certified."""
        if self.certificate is None:
            raise ValueError("nothing is certified yet")
        return self.certificate.symmetry


def numbers_of(told: Told, ways: Sequence[Way]) -> dict[str, object]:
    """Return everything as plain values."""
    splits, of = told.spec.splits, told.points
    paths = [way.as_json(splits, of) for way in ways]
    first = cast("dict[str, Any]", paths[0]["splits"])
    n = {split: part["n"] for split, part in first.items()}
    return {
        "sentence": _sentence(told, paths, n),
        "models": ["merge" if isinstance(model, Recipe) else model for model in told.spec.models],
        "n": n,
        "partial": told.partial,
        "paths": paths,
        "certificate": _certificate(told.certificate),
        "advice": _advice(told),
        "match": told.spec.params["match"],
        "gains": told.gains,
        "classes": [] if told.member is None else _classes(told),
        "mended": "" if not told.layers else "statistics" if told.re_estimated else "repair",
        "control": _control(paths),
        "layers": [{"leaf": one.leaf, "before": one.before, "after": one.after} for one in told.layers],
    }


def align_tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    """Return ways, barriers, classes and layers as tables."""
    paths = cast("list[dict[str, Any]]", numbers["paths"])
    points = tuple(
        (path["what"], split, point["t"], point["loss"], point["accuracy"], *point["interval"], part["n"])
        for path in paths
        for split, part in path["splits"].items()
        for point in part["points"]
    )
    barriers = tuple(
        (path["what"], split, metric, found["height"], found["at"], found["midpoint_gap"], part["n"])
        for path in paths
        for split, part in path["splits"].items()
        if part["barrier"]
        for metric, found in part["barrier"].items()
    )
    classes = tuple(
        (row["name"], row["size"], row["moved"], row["before"], row["after"])
        for row in cast("list[dict[str, Any]]", numbers["classes"])
    )
    layers = tuple(
        (row["leaf"], row["before"], row["after"]) for row in cast("list[dict[str, Any]]", numbers["layers"])
    )
    control = tuple(
        (row["split"], row["model"] + 1, row["before"], row["after"], *row["interval"], row["n"])
        for row in cast("list[dict[str, Any]]", numbers["control"])
    )
    header = ("way", "split", "t", "loss (nats)", "accuracy", "95 % low", "95 % high", "n")
    heights = ("way", "split", "of", "barrier", "t", "middle − chord", "n")
    return {
        "paths": Table("Loss and accuracy on each way, mean over tasks", header, points),
        "barriers": Table("Barriers: loss in nats, error as a fraction", heights, barriers),
        "classes": Table(
            "Units of each class",
            ("class", "units", "moved", "mean correlation before", "mean correlation after"),
            classes,
        ),
        "layers": Table(
            "Variance in the middle, as a share of the parents'", ("layer", "matched", "and repaired"), layers
        ),
        "control": Table(
            "Both models alone, repaired as the merge is: accuracy",
            ("split", "model", "before", "after", "95 % low", "95 % high", "n"),
            control,
        ),
    }


def _certificate(found: Certificate | None) -> dict[str, object] | None:
    if found is None:
        return None
    frozen = [{"group": one.group, "change": min(one.change, 1e300)} for one in found.frozen]
    held = len(found.symmetry.groups)
    return {
        "certified": held, "of": held + len(frozen), "frozen": frozen, "change": found.change, "n": found.n,
        "sentence": found.sentence,
    }  # fmt: skip


def _advice(told: Told) -> dict[str, object] | None:
    if told.home is None:
        return None
    if told.aligned:
        words = (
            "The models are aligned already: nearly every unit lies closest to its namesake, as after fine-tuning from "
            "one base. Nothing is permuted."
        )
    else:
        words = "The units lie in different orders, as after training from different starts."
    return {"at_home": told.home, "aligned": told.aligned, "sentence": words}


def _classes(told: Told) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for units in told.symmetry.classes:
        member = (told.member or {})[units.name]
        before, after = told.alike.get(units.name, (None, None))
        rows.append(
            {
                "name": units.name,
                "size": units.size,
                "moved": int((member != numpy.arange(units.size)).sum()),
                "before": None if before is None else float(before.mean()),
                "after": None if after is None else float(after.mean()),
                "correlations": None if after is None or units.size > _DRAWN else numpy.sort(after)[::-1].tolist(),
                "permutation": member.tolist() if units.size <= _DRAWN else None,
            }
        )
    return rows


def _control(paths: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Return the accuracy of both models as they are and mended alone, which no merge made."""
    known = {path["what"]: path["splits"] for path in paths}
    rows: list[dict[str, object]] = []
    for split, part in known.get("repaired", {}).items():
        ends = [[point for point in of["points"] if point["t"] in (0.0, 1.0)] for of in (known["naive"][split], part)]
        for before, after in zip(*ends, strict=False):
            rows.append(
                {"split": split, "model": int(after["t"]), "n": part["n"], "before": before["accuracy"],
                 "after": after["accuracy"], "interval": after["interval"]}
            )  # fmt: skip
    return rows


def _sentence(told: Told, paths: Sequence[Mapping[str, Any]], n: Mapping[str, int]) -> str:
    split = next(iter(n), told.spec.splits[0])
    middles = []
    for path in paths:
        points = path["splits"].get(split, {}).get("points", ())
        middle = next((point for point in points if abs(point["t"] - 0.5) < 1e-9), None)
        if middle is not None:
            middles.append(f"{path['what']} {middle['accuracy']:.1%}")
    where = ", ".join(f"{name} n {count:,}" for name, count in n.items())
    held = "" if told.certificate is None else f"; {told.certificate.sentence}"
    kind = ", running statistics re-estimated" if told.re_estimated else ", repaired"
    control = [f"{row['after']:.1%}" for row in _control(paths) if row["split"] == split]
    alone = f"; both models alone{kind}: {' and '.join(control)}" if control else ""
    kept = "; the models are aligned already, so nothing is permuted" if told.aligned else ""
    return f"Accuracy in the middle on {split}: {', '.join(middles) or 'not yet'} ({where}){alone}{held}{kept}."
