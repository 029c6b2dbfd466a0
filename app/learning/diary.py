"""What a run says, written down for the page, with what it is held against on the same examples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from app.learned import learned_of, mark_test
from app.learning.files import RunFiles
from merging_core.engines.layer_stats import label_of
from merging_core.evaluation.report import Report, Subset, TaskScore, compare, make_report, make_score
from merging_core.learning import Bench, Checked, Ended, Finished, LearnSpec, Progress, Tried
from merging_core.recipes import Recipe, parse_recipe

__all__ = ["Diary"]

_MOST_LINES = 4_000
"""Moments of one run that are written as lines, about: what is drawn again and again stays quick for long runs."""


class Diary:
    """Writes down the events of one run. Its yardstick is task arithmetic; of an expert's training, the base."""

    def __init__(self, files: RunFiles, spec: LearnSpec, bench: Bench) -> None:
        self._files, self._spec, self._bench = files, spec, bench
        self._head = _head(spec, bench)
        self._losses: list[float] = []
        self._next = 0
        self._best: tuple[int, Report, float | None] | None = None
        self._told = any(line["kind"] == "baseline" for line in files.said())
        files.write("head", self._head)

    def progress(self, event: Progress) -> None:
        """Write down a moment: its losses as a line, all that it shows in place of the moment before."""
        self._files.write("now", event.as_json())
        if event.loss is None:
            return
        self._losses.append(event.loss)
        if event.step < self._next and event.step != event.steps:
            return
        self._next = event.step + max(1, event.steps // _MOST_LINES)
        shown = event.shown
        short = bool(shown.coefficients) and len(shown.coefficients[0]) == 1
        few = {"coefficients": [row[0] for row in shown.coefficients]} if short else {}
        shares = {"density": self._share(shown.density)} if shown.density else {}
        line = {"kind": "moment", "step": event.step, "loss": event.loss, "losses": list(event.losses)}
        self._files.say({**line, **few, **shares})

    def checked(self, event: Checked) -> None:
        """Write down a check, with how it stands to the best one before, and by how much the loss moved since."""
        if not self._told:
            self._files.say({"kind": "baseline", **_accuracy(self._yardstick(event.report))}, sure=True)
            self._told = True
        loss = math.fsum(self._losses) / len(self._losses) if self._losses else None
        self._losses = []
        since = None
        if self._best is not None and not isinstance(event, Tried):
            step, report, before = self._best
            since = {"step": step, **_difference(event.report, report), "loss": [before, loss]}
        if self._best is None or event.report.average >= self._best[1].average:
            self._best = (event.step, event.report, loss)
        tried = {"what": event.what} if isinstance(event, Tried) else {}
        line = {"kind": "checked", "step": event.step, "best": event.best, **_accuracy(event.report), **tried}
        self._files.say({**line, "since": since, "loss": loss}, sure=True)

    def ended(self, event: Ended) -> None:
        """Write down what became of it: start, end and yardstick on the same examples, and paired differences."""
        if event.transductive and isinstance(event, Finished):
            mark_test(self._bench.store.folders[0], learned_of(event.recipe))
        baseline = self._yardstick(event.after)
        self._files.write(
            "result",
            {
                **event.as_json(),
                "gain": _difference(event.after, event.before),
                "baseline": baseline.as_json(),
                "over_baseline": _difference(event.after, baseline),
            },
        )

    def _yardstick(self, like: Report) -> Report:
        """Measure what the run is held against on the examples of another report."""
        engine = self._bench.engine
        if self._spec.info.makes == "expert":
            config, weights = engine.opened(self._spec.base).config, engine.checkpoint(self._spec.base)
        else:
            merged = engine.merge(_task_arithmetic(self._spec))
            config, weights = merged.plan.survey.reference.config, merged.weights
        subset: Subset = like.subset
        found = self._bench.evaluator.evaluate(config, weights, self._bench.tasks, like.split, subset)
        return make_report([_on(one, other) for one, other in zip(found.tasks, like.tasks, strict=True)], subset)

    def _share(self, density: tuple[float, ...]) -> float:
        """Return the share of all numbers that the mask keeps."""
        sizes = self._head["sizes"]
        return math.fsum(share * size for share, size in zip(density, sizes, strict=True)) / math.fsum(sizes)


def _head(spec: LearnSpec, bench: Bench) -> dict[str, Any]:
    """Return what the charts need to know once: the leaves, their depths, and the order of depths."""
    if spec.info.makes == "expert":
        return {"leaves": [], "sizes": [], "depths": [], "order": []}
    leaves = bench.engine.plan(spec.recipe()).space.leaves
    several = len({leaf.depth.stack for leaf in leaves if leaf.depth.index is not None}) > 1
    return {
        "leaves": [leaf.name for leaf in leaves],
        "sizes": [leaf.stop - leaf.start for leaf in leaves],
        "depths": [label_of(leaf.depth, several) for leaf in leaves],
        "order": sorted(range(len(leaves)), key=lambda place: (*leaves[place].depth.order, place)),
    }


def _task_arithmetic(spec: LearnSpec) -> Recipe:
    models = [{"ref": ref} for ref in spec.models]
    return parse_recipe({"version": 1, "base": spec.base, "models": models, "method": {"name": "task_arithmetic"}})


def _on(score: TaskScore, like: TaskScore) -> TaskScore:
    """Return a score on the examples of another, all of which it has."""
    if np.array_equal(score.examples, like.examples):
        return score
    places = {int(example): place for place, example in enumerate(score.examples)}
    chosen = np.array([places[int(example)] for example in like.examples], dtype=np.int64)
    return make_score(
        score.task, score.title, score.split, score.of, score.examples[chosen], score.correct[chosen],
        score.losses[chosen], metric=score.metric,
    )  # fmt: skip


def _accuracy(report: Report) -> dict[str, Any]:
    tasks = [{"task": one.task, "accuracy": one.accuracy, "interval": list(one.interval)} for one in report.tasks]
    average = {"average": report.average, "interval": list(report.average_interval), "n": report.n}
    return {**average, "split": report.split, "partial": report.partial, "tasks": tasks}


def _difference(one: Report, other: Report) -> dict[str, Any]:
    found = compare(one, other).average
    return {"difference": found.value, "interval": list(found.interval)}
