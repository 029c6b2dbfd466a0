"""Foretold logits along one path beside the true ones: what is known, what follows from it, and how far it is off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from merging_core.analysis.curves.curve import Curve
from merging_core.analysis.curves.predictors import Bridge, between, cubic, fitted, nodes, tangent
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.measuring import parts_in
from merging_core.analysis.studies.memory import Arrays, Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.analysis.tangents.ground import grown, runs_of
from merging_core.evaluation.evaluator import Part, parts_of
from merging_core.evaluation.intervals import average_interval, difference, pair_counts
from merging_core.evaluation.report import Subset
from merging_core.evaluation.tangent import along
from merging_core.evaluation.tangents import Tangents

__all__ = ["METHODS", "Foretelling", "Method", "relative_error"]

Floats = NDArray[numpy.float64]


@dataclass(frozen=True)
class Method:
    """A way to foretell. `passes`: what it asks of a model for each example."""

    name: str
    title: str
    passes: str

    def as_json(self, nodes: int) -> dict[str, object]:
        """Return plain values; `nodes`: how many points the polynomial knows."""
        return {"name": self.name, "title": self.title, "passes": self.passes.format(nodes=nodes)}


METHODS = (
    Method("ends", "mean of the ends", "2 passes"),
    Method("tangent", "first order", "2 passes with derivative"),
    Method("cubic", "cubic", "2 passes with derivative"),
    Method("nodes", "polynomial", "{nodes} passes"),
    Method("bridge", "bridge, fitted", "2 passes, and a fit on train"),
)


@dataclass(frozen=True, eq=False)
class _Known:
    """What predictors know of one part: logits of the ends `[2, n, classes]`; later their slopes, and the nodes'."""

    ends: Floats
    slopes: Floats | None = None
    nodes: Floats | None = None


class Foretelling:
    """One path: what was measured of it lies in the memory, what follows from that is kept here."""

    def __init__(self, what: str, path: Curve, spec: StudySpec, bench: StudyBench, memory: Memory) -> None:
        self.what, self.path = what, path
        self._spec, self._bench, self._memory = spec, bench, memory
        self._nodes = nodes(int(spec.params.number("nodes")))
        self._learned: dict[Subset, list[_Known]] = {}
        self._rows: dict[float, dict[str, dict[str, Any]]] = {}
        self._full: set[float] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def n(self, split: str) -> int:
        """Return on how many examples of a split every point was compared, of all tasks together."""
        return min((int(rows[split]["n"]) for rows in self._rows.values()), default=0)

    @property
    def partial(self) -> bool:
        """Whether some point was compared on less than a whole split."""
        sizes = {split: sum(len(task.splits[split]) for task in self._bench.tasks) for split in self._spec.splits}
        return any(self.n(split) < size for split, size in sizes.items())

    def glance(self, grid: Sequence[float]) -> bool:
        """Compare a few points by the ends alone, unless more is known already; say whether that was done."""
        parts = parts_in(self._bench, self._spec.splits, "preview")
        if _stands(self._memory, self._slope_name(1.0), parts):
            return False
        known = self._ends(parts)
        for t in grid:
            self._put(t, parts, known, {})
        return True

    def compare(self, t: float, subset: Subset) -> Iterator[None]:
        """Measure the truth at t and say how far each predictor is off; on the whole splits where they are known.

        The bridge is fitted once all is measured that is to be measured at t. Yields between two passes.
        """
        if t in self._full:
            return
        whole = parts_in(self._bench, self._spec.splits, self._spec.subset)
        last = subset == self._spec.subset or _stands(self._memory, self._name(t), whole)
        wanted: Subset = self._spec.subset if last else subset
        parts = parts_in(self._bench, self._spec.splits, wanted)
        if wanted not in self._learned:
            yield from self._learning(parts)
            self._learned[wanted] = self._knowing(parts)
        yield from self._run(t, parts)
        if last:
            for at in (0.0, 1.0, t):
                yield from self._run(at, self._taught())
            self._full.add(t)
        self._put(t, parts, self._learned[wanted], self._bridges(t) if last else {})

    def best(self, split: str) -> tuple[str, float]:
        """Return the predictor whose mean error on a split is smallest, and that error."""
        means = {row["method"]: row["error"] for row in self.summary((split,)) if row["error"] is not None}
        name = min(means, key=means.__getitem__, default=METHODS[0].name)
        return name, means.get(name, math.nan)

    def as_json(self, splits: Sequence[str]) -> list[dict[str, Any]]:
        """Return plain values: of each split its points in the order of t."""
        return [
            {
                "path": self.what,
                "split": split,
                "n": self.n(split),
                "points": [{"t": t, **self._rows[t][split]} for t in sorted(self._rows)],
            }
            for split in splits
        ]

    def summary(self, splits: Sequence[str]) -> list[dict[str, Any]]:
        """Return for each split and predictor its mean and largest error, agreement, and largest gap of accuracy.

        The ends, which all of them know, are left out where there is something between.
        """
        found = []
        inner = [t for t in self._rows if 0.0 < t < 1.0] or list(self._rows)
        for split in splits:
            for method in METHODS:
                rows = [self._rows[t][split] for t in inner if method.name in self._rows[t][split]["foretold"]]
                own = [row["foretold"][method.name] for row in rows]
                if not own:
                    continue
                errors = [one["error"] for one in own]
                same = [one["agreement"] for one in own]
                gaps = [abs(one["accuracy"] - row["accuracy"]) for row, one in zip(rows, own, strict=True)]
                known = None not in errors
                found.append({
                    "path": self.what, "split": split, "n": min(int(row["n"]) for row in rows), "method": method.name,
                    "points": len(own), "error": sum(errors) / len(errors) if known else None,
                    "largest": max(errors) if known else None, "agreement": sum(same) / len(same),
                    "lowest": min(same), "gap": max(gaps),
                })  # fmt: skip
        return found

    def _put(
        self, t: float, parts: Sequence[Part], known: Sequence[_Known], bridges: Mapping[str, Bridge]
    ) -> None:  # fmt: skip
        true = self._logits(t, parts)
        foretold = [self._foretold(one, bridges.get(part.task.name), t) for part, one in zip(parts, known, strict=True)]
        places = {
            split: [place for place, part in enumerate(parts) if part.split == split] for split in self._spec.splits
        }
        self._rows[t] = {
            split: _row([(_labels(parts[place]), true[place], foretold[place]) for place in own])
            for split, own in places.items()
        }

    def _foretold(self, known: _Known, bridge: Bridge | None, t: float) -> dict[str, Floats]:
        found = {"ends": between((0.0, 1.0), known.ends, t)}
        if known.slopes is not None:
            found |= {"tangent": tangent(known.ends, known.slopes, t), "cubic": cubic(known.ends, known.slopes, t)}
        if known.nodes is not None:
            found["nodes"] = between(self._nodes, known.nodes, t)
        return found if bridge is None else {**found, "bridge": bridge(known.ends)}

    def _ends(self, parts: Sequence[Part]) -> list[_Known]:
        first, last = (self._logits(end, parts) for end in (0.0, 1.0))
        return [_Known(numpy.stack(pair)) for pair in zip(first, last, strict=True)]

    def _learning(self, parts: Sequence[Part]) -> Iterator[None]:
        """Measure what predictors know, some examples at a time."""
        for t in self._nodes:
            yield from self._run(t, parts)
        for end in (0.0, 1.0):
            for run in runs_of(parts):
                self._slopes(end, run)
                yield

    def _run(self, t: float, parts: Sequence[Part]) -> Iterator[None]:
        """Measure the true logits at t, some examples at a time."""
        for run in runs_of(parts):
            self._logits(t, run)
            yield

    def _knowing(self, parts: Sequence[Part]) -> list[_Known]:
        """Return what predictors know of each part."""
        at = [self._logits(t, parts) for t in self._nodes]
        slopes = [self._slopes(end, parts) for end in (0.0, 1.0)]
        return [
            replace(
                ends,
                slopes=numpy.stack([slope[place] for slope in slopes]),
                nodes=numpy.stack([logits[place] for logits in at]),
            )
            for place, ends in enumerate(self._ends(parts))
        ]

    def _taught(self) -> list[Part]:
        """Return the train examples that bridges are fitted on."""
        most = int(self._spec.params.number("fit"))
        whole = parts_of(self._bench.tasks, "train", "full")
        return [replace(part, stop=min(part.stop, most)) for part in whole]

    def _bridges(self, t: float) -> dict[str, Bridge]:
        """Return the bridge of each task to t."""
        parts = self._taught()
        first, last, wanted = (self._logits(at, parts) for at in (0.0, 1.0, t))
        return {
            part.task.name: fitted(numpy.stack((first[place], last[place])), wanted[place])
            for place, part in enumerate(parts)
        }

    def _logits(self, t: float, parts: Sequence[Part]) -> list[Floats]:
        """Return the true logits at t, `[n, classes]` for each part."""

        def answered(missing: list[Part]) -> list[Arrays]:
            config = self.path.points.config
            answers = self._bench.evaluator.answers(config, self.path.weights(t), missing, self._bench.cancelled)
            return [{"logits": answer.logits.cpu().numpy()} for answer in answers]

        found = grown(self._memory, self._name(t), parts, answered)
        return [arrays["logits"].astype(numpy.float64) for arrays in found]

    def _slopes(self, end: float, parts: Sequence[Part]) -> list[Floats]:
        """Return the derivative of the logits by t at an end, `[n, classes]` for each part."""

        def derived(missing: list[Part]) -> list[Arrays]:
            points, evaluator = self.path.points, self._bench.evaluator
            weights, vector = self.path.weights(end), points.space.views(self.path.slope(end))
            found = evaluator.tangents(points.config, weights, vector, missing, self._bench.cancelled)
            return [{"slopes": _through_head(tangents).cpu().numpy()} for tangents in found]

        found = grown(self._memory, self._slope_name(end), parts, derived)
        return [arrays["slopes"].astype(numpy.float64) for arrays in found]

    def _slope_name(self, end: float) -> str:
        return f"{self.what} slope {end:g}"

    def _name(self, t: float) -> str:
        return f"end {t:g}" if t in (0.0, 1.0) else f"{self.what} t {t!r}"


def _stands(memory: Memory, name: str, parts: Sequence[Part]) -> bool:
    found = [(memory.get(f"{name}|{part.task.name}|{part.split}"), part.stop) for part in parts]
    return all(known is not None and len(next(iter(known.values()))) >= stop for known, stop in found)


def _through_head(tangents: Tangents) -> torch.Tensor:
    """Return the derivative of the logits, given that of the model's output."""
    at, step = {"output": tangents.value}, {"output": tangents.slope}
    return along(lambda found, _: tangents.head.logits(found["output"]), at, step, tangents.value)[1]


def _labels(part: Part) -> NDArray[numpy.int64]:
    order = torch.tensor(part.task.splits[part.split].order[part.start : part.stop], dtype=torch.int64)
    return part.task.labels(part.split)[order].numpy()


_Told = tuple[NDArray[numpy.int64], Floats, dict[str, Floats]]
"""Of one task: labels `[n]`, true logits `[n, classes]`, and foretold ones by method."""


def _row(tasks: Sequence[_Told]) -> dict[str, Any]:
    """Return the true accuracy at one t, and of each predictor its error, agreement and accuracy: means over tasks."""
    n = [len(labels) for labels, _, _ in tasks]
    right = [true.argmax(axis=1) == labels for labels, true, _ in tasks]
    accuracy = sum(float(one.mean()) for one in right) / len(tasks)
    found: dict[str, Any] = {}
    for name in tasks[0][2]:
        told = [(foretold[name], true, labels) for labels, true, foretold in tasks]
        same = [foretold.argmax(axis=1) == true.argmax(axis=1) for foretold, true, _ in told]
        after = [foretold.argmax(axis=1) == labels for foretold, _, labels in told]
        error = sum(relative_error(foretold, true) for foretold, true, _ in told) / len(told)
        gap = difference([pair_counts(one, other) for one, other in zip(after, right, strict=True)])
        found[name] = {
            "error": error if math.isfinite(error) else None,
            "agreement": sum(float(one.mean()) for one in same) / len(same),
            "agreement_interval": list(average_interval([int(one.sum()) for one in same], n)),
            "accuracy": sum(float(one.mean()) for one in after) / len(after),
            "interval": list(gap.interval),
        }
    interval = average_interval([int(one.sum()) for one in right], n)
    return {"n": sum(n), "accuracy": accuracy, "interval": list(interval), "foretold": found}


def relative_error(foretold: Floats, true: Floats) -> float:
    """Return the root mean square of the difference of logits `[n, classes]` as a share of that of the true ones.

    What is added to all logits of an example changes no answer, so both are centred example by example first.

    >>> relative_error(numpy.array([[2.0, -2.0]]), numpy.array([[6.0, 4.0]]))
    1.0
    """
    with numpy.errstate(all="ignore"):
        wanted = true - true.mean(axis=1, keepdims=True)
        off = foretold - foretold.mean(axis=1, keepdims=True) - wanted
        size = float(numpy.square(wanted).mean())
        missed = float(numpy.square(off).mean())
        return math.sqrt(missed / size) if size > 0.0 else 0.0 if missed == 0.0 else math.inf
