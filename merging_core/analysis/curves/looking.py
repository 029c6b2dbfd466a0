"""What is seen of line and curve, and when: coarse first, then finer; while the curve is trained, now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from merging_core.analysis.curves.curve import Curve
from merging_core.analysis.curves.traces import Trace
from merging_core.analysis.curves.training import CurveTraining, trained_of
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.measuring import parts_in, scores_at, stands
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.evaluation.architectures import Weights
from merging_core.evaluation.evaluator import Part
from merging_core.evaluation.paths import coarse_to_fine
from merging_core.evaluation.report import Subset, TaskScore
from merging_core.learning.attack_settings import attacks_against
from merging_core.learning.attacks import Attack
from merging_core.learning.robustness import robust_steps

__all__ = ["Sight"]

_CHECKS = 20
"""How often the curve is looked at while it is trained."""
_COARSE = 9
"""At how many points, ends included."""
_EVERY_SECONDS = 0.25
_KINDS = {"bezier": "Bezier curve", "chain": "chain"}


class Sight:
    """All that one question has seen so far; what was measured lies in the memory."""

    def __init__(self, spec: StudySpec, bench: StudyBench, memory: Memory, line: Curve) -> None:
        self._spec, self._bench, self._memory = spec, bench, memory
        self.steps = int(spec.params.number("steps"))
        points = int(spec.params.number("points"))
        self._grid = tuple(index / (points - 1) for index in coarse_to_fine(points))
        passes: tuple[Subset, ...] = ("preview", "full")
        self._passes = passes[:1] if spec.subset == "preview" else passes
        self._under = (None, *(attack for attack in attacks_against(spec.params) if attack is not None))
        self._lines, self._curves = self._traces("line", line), self._traces("curve", line)
        self._growth: list[dict[str, object]] = []
        self._step, self._losses, self._done = 0, (), False

    @property
    def checks(self) -> tuple[int, ...]:
        """After which steps the curve is looked at: first where it begins, on the line; the last is the end."""
        every = -(-self.steps // _CHECKS)
        return (*range(0, self.steps, every), self.steps)

    def along_line(self) -> Iterator[float]:
        """Measure the line; yield which share is done, once the shape can be seen."""
        return self._along(self._lines, _name(0))

    def along_curve(self, curve: Curve) -> Iterator[float]:
        """Measure the trained curve, likewise."""
        self._curves = self._traces("curve", curve)
        for share in self._along(self._curves, _name(self.steps)):
            self._done = share == 1.0
            yield share

    def training(self, training: CurveTraining) -> Iterator[int]:
        """Train a curve to the end, and look at it now and then; yield after which step, a few times a second."""
        told = time.monotonic()
        for check in self.checks:
            while training.step < check:
                for _ in training.go():
                    pass
                if time.monotonic() - told > _EVERY_SECONDS:
                    training.keep()
                    self._step = training.step
                    yield training.step
                    told = time.monotonic()
            if training.step == check:
                training.keep()
            self._step = training.step
            for _ in self._look(check, training.curve):
                if time.monotonic() - told > _EVERY_SECONDS:
                    yield training.step
                    told = time.monotonic()
            if training.step == check:
                yield training.step
                told = time.monotonic()

    def recall(self, line: Curve) -> None:
        """See again what was seen while the curve was trained."""
        curve, self._step, _ = trained_of(line, self._memory)
        for check in self.checks:
            for _ in self._look(check, curve):
                pass

    def numbers(self) -> dict[str, object]:
        """Return everything as plain values."""
        splits, traces = self._spec.splits, [trace for trace in (*self._lines, *self._curves) if len(trace)]
        n = {split: min(trace.n(split) for trace in traces) for split in splits}
        return {
            "sentence": self._sentence(n),
            "models": self._spec.labels,
            "n": n,
            "partial": not self._done or any(trace.partial for trace in traces),
            "kind": self._spec.params["kind"],
            "step": self._step,
            "steps": self.steps,
            "attacks": [attack.as_json() | {"words": attack.words} for attack in self._under if attack is not None],
            "paths": [trace.as_json(splits) for trace in traces],
            "statistics": [row for trace in traces for row in trace.statistics(splits)],
            "growth": list(self._growth),
        }

    def _sentence(self, n: Mapping[str, int]) -> str:
        kind = _KINDS[str(self._spec.params["kind"])]
        split = "train" if "train" in self._spec.splits else self._spec.splits[0]
        where = ", ".join(f"{name} n {size}" for name, size in n.items())
        found = f"largest {split} loss {self._lines[0].largest(split):.3g} nats on the line"
        if len(self._curves[0]):
            found += f" and {self._curves[0].largest(split):.3g} on the {kind}"
            found += f" after {self._step} of {self.steps} steps"
        return f"{found[0].upper()}{found[1:]}; {where}."

    def _traces(self, what: str, path: Curve) -> list[Trace]:
        return [Trace(what, "clean" if attack is None else attack.norm, path) for attack in self._under]

    def _along(self, traces: Sequence[Trace], name: str) -> Iterator[float]:
        done, count = 0, len(self._grid)
        for subset in self._passes:
            for t in self._grid:
                done += 1
                self._put(traces, name, t, (subset, self._spec.subset))
                if len(traces[0]) >= min(3, count):
                    yield done / (count * len(self._passes))

    def _look(self, step: int, curve: Curve) -> Iterator[None]:
        """Look at the curve as it is after a step, coarsely and at previews; yield after each point."""
        traces = self._traces("curve", curve)
        for t in self._grid[:_COARSE]:
            self._put(traces, _name(step), t, ("preview", "preview"))
            yield
        self._curves = traces
        _, _, losses = trained_of(curve, self._memory)
        before = int(str(self._growth[-1]["step"])) if self._growth else 0
        mean = math.fsum(losses[before:step]) / (step - before) if step else None
        splits = self._spec.splits
        heights = {
            trace.under: {split: _finite(trace.largest(split, inner=True)) for split in splits} for trace in traces
        }
        self._growth.append({"step": step, "batch": None if mean is None else _finite(mean), "largest": heights})

    def _put(self, traces: Sequence[Trace], name: str, t: float, subsets: tuple[Subset, Subset]) -> None:
        for trace, attack in zip(traces, self._under, strict=True):
            trace.put(t, self._scores(name, trace.path, t, attack, subsets))

    def _scores(
        self, name: str, path: Curve, t: float, attack: Attack | None, subsets: tuple[Subset, Subset]
    ) -> tuple[TaskScore, ...]:
        """Return the scores at a point on the first of two subsets, or on the second where they are known already."""
        bench, config = self._bench, path.points.config
        place = f"end {t:g}" if t in (0.0, 1.0) else f"{name} t {t!r}"
        key = place if attack is None else f"{place} {attack.norm}"
        least, most = (parts_in(bench, self._spec.splits, subset) for subset in subsets)
        parts = most if stands(self._memory, key, most) else least
        under = None if attack is None else partial(_attacked, bench, config, attack)
        return scores_at(bench, self._memory, config, key, partial(path.weights, t), parts, under)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _name(step: int) -> str:
    return f"step {step}" if step else "line"


def _attacked(
    bench: StudyBench, config: Mapping[str, Any], attack: Attack, weights: Weights, parts: Sequence[Part]
) -> tuple[TaskScore, ...]:
    """Return the scores of weights under an attack, in the order of the parts."""
    found: dict[int, TaskScore] = {}
    for split in dict.fromkeys(part.split for part in parts):
        places = [place for place, part in enumerate(parts) if part.split == split]
        for robust in robust_steps(config, weights, [parts[place] for place in places], attack):
            bench.heed()
            if robust is not None:
                found |= dict(zip(places, robust.report.tasks, strict=True))
    return tuple(found[place] for place in range(len(parts)))
