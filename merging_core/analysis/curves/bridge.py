"""Bridge prediction: what a model answers along a path, foretold from few passes, against the true answers.

The path is the straight line between two models, and where asked for the trained curve. True logits are measured at
every point of a grid; each predictor knows only the ends, their derivatives along the path, or a few points, and one is
a linear map that was fitted on train examples.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from merging_core.analysis.curves.curve import chord
from merging_core.analysis.curves.foretelling import METHODS, Foretelling
from merging_core.analysis.curves.study import TRAINED, check_tasks, course_of, kind_of
from merging_core.analysis.curves.training import CurveTraining, trained_of
from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.evaluation.paths import POINTS, coarse_to_fine
from merging_core.evaluation.report import Subset
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["BRIDGE"]

_EVERY_SECONDS = 0.25
"""How often something is said, unless one step takes longer."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Foretell the line; train the curve; foretell the curve."""
    check_tasks(bench, attacked=False)
    curved = spec.params["path"] == "curve"
    bends, steps = (int(spec.params.number(name)) for name in ("bends", "steps")) if curved else (1, 0)
    line = chord(bench.points(spec), kind_of(spec), bends)
    told = {"line": Foretelling("line", line, spec, bench, memory)}
    first, second = (0.3, 0.6) if steps else (1.0, 1.0)
    for share in _along(told["line"], spec):
        yield Finding(_numbers(spec, told, done=not steps and share == 1.0), first * share)
    if not steps:
        return
    _, step, _ = trained_of(line, memory)
    if step < steps:
        yield Finding(_numbers(spec, told), first, long=True)
        last = time.monotonic()
        with CurveTraining(line, course_of(spec), bench, memory) as training:
            while training.step < steps:
                for _ in training.go():
                    pass
                if training.step == steps or time.monotonic() - last > _EVERY_SECONDS:
                    training.keep()
                    yield Finding(_numbers(spec, told), first + (second - first) * training.step / steps)
                    last = time.monotonic()
    curve, *_ = trained_of(line, memory)
    told["curve"] = Foretelling("curve", curve, spec, bench, memory)
    for share in _along(told["curve"], spec):
        shown = 1.0 if share == 1.0 else second + (1.0 - second) * share
        yield Finding(_numbers(spec, told, done=share == 1.0), shown)


def _along(told: Foretelling, spec: StudySpec) -> Iterator[float]:
    """Look at ends and middle; then measure what predictors know and the truth, coarse to fine, whole splits last."""
    count = int(spec.params.number("points"))
    grid = [place / (count - 1) for place in coarse_to_fine(count)]
    passes: tuple[Subset, ...] = ("preview",) if spec.subset == "preview" else ("preview", "full")
    done, steps = 0, count * len(passes)
    if told.glance(grid[:3]):
        yield 0.5 / steps
    last = time.monotonic()
    for subset in passes:
        for t in grid:
            done += 1
            for _ in told.compare(t, subset):
                if len(told) and time.monotonic() - last > _EVERY_SECONDS:
                    yield (done - 0.5) / steps
                    last = time.monotonic()
            if done >= min(3, count):
                last = time.monotonic()
                yield done / steps


def _numbers(spec: StudySpec, told: Mapping[str, Foretelling], *, done: bool = False) -> dict[str, object]:
    known = [one for one in told.values() if len(one)]
    n = {split: min(one.n(split) for one in known) for split in spec.splits}
    where = ", ".join(f"{split} n {size}" for split, size in n.items())
    last = known[-1]
    best, error = last.best(spec.splits[0])
    title = next(method.title for method in METHODS if method.name == best)
    return {
        "sentence": f"Logits along the {last.what} foretold from few passes; nearest in the mean comes “{title}”, off "
        f"by {error:.1%} of their size; {where}.",
        "models": spec.labels,
        "n": n,
        "partial": not done or any(one.partial for one in known),
        "methods": [method.as_json(int(spec.params.number("nodes"))) for method in METHODS],
        "paths": [path for one in known for path in one.as_json(spec.splits)],
        "summary": [row for one in known for row in one.summary(spec.splits)],
    }


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    titles = {method["name"]: method["title"] for method in cast("list[dict[str, Any]]", numbers["methods"])}
    summed = tuple(
        (
            row["path"], row["split"], titles[row["method"]], row["error"], row["largest"], row["agreement"],
            row["lowest"], row["gap"], row["n"],
        )
        for row in cast("list[dict[str, Any]]", numbers["summary"])
    )  # fmt: skip
    points = tuple(
        (
            path["path"], path["split"], point["t"], titles[name], point["accuracy"], found["accuracy"],
            *(found["interval"]), found["error"], found["agreement"], path["n"],
        )
        for path in cast("list[dict[str, Any]]", numbers["paths"])
        for point in path["points"]
        for name, found in point["foretold"].items()
    )  # fmt: skip
    return {
        "summary": Table(
            "Foretold logits along the path, mean over tasks",
            (
                "path", "split", "method", "mean error (share of the logits’ size)", "largest error", "same answers",
                "same answers, lowest", "largest gap of accuracy", "n",
            ),
            summed,
        ),
        "points": Table(
            "True and foretold answers at each point",
            (
                "path", "split", "t", "method", "true accuracy", "foretold accuracy", "foretold − true, 95 % low",
                "95 % high", "error of logits", "same answers", "n",
            ),
            points,
        ),
    }  # fmt: skip


BRIDGE = Study(
    name="bridge",
    title="Bridge prediction",
    formula="ẑ(t) from z and dz/dt at a few t, against z(t) = f(x; θ(t))",
    summary="Foretells the answers along a line or curve between two models without a pass at each point.",
    source=Source(
        "Yun, Lee, Nam and Lee",
        2023,
        "Traversing Between Modes in Function Space for Fast Ensembling",
        "https://arxiv.org/abs/2306.11304",
        "section 3: outputs on a Bezier curve from those of its ends",
        deviation="Their bridge is a small network on features; ours is a linear map of the ends’ logits, fitted in "
        "closed form, beside polynomials through few points and first order by one derivative.",
    ),
    parameters=(
        ParameterInfo(
            "path", "Path", "choice", "curve", "The line alone, or after it the curve that is trained from it.",
            choices=("curve", "line"),
        ),
        ParameterInfo(
            "nodes", "Points that are known", "integer", 5, "Passes of the polynomial through Chebyshev points, ends "
            "included.", 2, 17, step=1, slider=(2, 9),
        ),
        ParameterInfo("points", "Points", "integer", POINTS, "Points at which it is compared with the truth.", 2, 201),
        ParameterInfo(
            "fit", "Examples of the bridge", "integer", 400, "Train examples of each task that it is fitted on.", 8,
            100_000, step=1, slider=(50, 1_000),
        ),
        *(replace(info, only_when=("path", "curve")) for info in TRAINED),
    ),
    group="paths",
    models=(2, 2),
    trains=True,
    answer=_answer,
    tables=_tables,
)  # fmt: skip
