"""A trained curve between two models beside the straight line: loss and accuracy on both, on the way and after.

With an attack, pictures are also changed against each point before they are judged, and the curve may be trained on
such pictures: robust mode connectivity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from merging_core.analysis.curves.coefficients import Kind
from merging_core.analysis.curves.curve import chord
from merging_core.analysis.curves.looking import Sight
from merging_core.analysis.curves.training import Course, CurveTraining, trained_of
from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.paths import POINTS
from merging_core.learning.attack_settings import DEFENCE, attacks_against
from merging_core.learning.robustness import attack_problems
from merging_core.methods.info import ParameterInfo, Source

__all__ = ["CURVE", "TRAINED", "check_tasks", "course_of", "kind_of"]

_LINE, _TRAINED = 0.2, 0.8
"""The share of the work that is done after the line, and after the training."""


def _answer(spec: StudySpec, bench: StudyBench, memory: Memory) -> Iterator[Finding]:
    """Measure the line, train the curve and look at it on the way, measure the curve."""
    check_tasks(bench, attacked=spec.params["against"] != "none")
    line = chord(bench.points(spec), kind_of(spec), int(spec.params.number("bends")))
    sight = Sight(spec, bench, memory, line)
    for share in sight.along_line():
        yield Finding(sight.numbers(), _LINE * share)
    if trained_of(line, memory)[1] < sight.steps:
        yield Finding(sight.numbers(), _LINE, long=True)
        with CurveTraining(line, course_of(spec), bench, memory) as training:
            for step in sight.training(training):
                yield Finding(sight.numbers(), _LINE + (_TRAINED - _LINE) * step / sight.steps)
    else:
        sight.recall(line)
    curve, *_ = trained_of(line, memory)
    for share in sight.along_curve(curve):
        yield Finding(sight.numbers(), 1.0 if share == 1.0 else _TRAINED + (1.0 - _TRAINED) * share)


def kind_of(spec: StudySpec) -> Kind:
    """Return the kind of curve that is asked for."""
    return "chain" if spec.params.get("kind") == "chain" else "bezier"


def course_of(spec: StudySpec) -> Course:
    """Return how a curve is trained by the parameters of `TRAINED`, against an attack where that is asked for."""
    params = spec.params
    attacked = params.get("learn_from") == "attacked"
    return Course(
        int(params.number("steps")),
        int(params.number("batch")),
        params.number("rate"),
        params.number("decay"),
        spec.seed,
        attacks_against(params) if attacked else (None,),
    )


def check_tasks(bench: StudyBench, *, attacked: bool) -> None:
    """Raise EvaluationError with every task that no curve can be trained on."""
    problems = [
        Problem("a curve is trained on a task with classes", "language modelling", task.name, "choose another task")
        for task in bench.tasks
        if task.metric != "accuracy"
    ]
    if not problems and attacked:
        problems = attack_problems(bench.tasks)
    if problems:
        raise EvaluationError(*problems)


def _tables(numbers: Mapping[str, object]) -> dict[str, Table]:
    rows = cast("list[dict[str, Any]]", numbers["statistics"])
    points = tuple(
        (path["what"], path["under"], split, point["t"], name, row["loss"], row["accuracy"], *row["interval"], n)
        for path in cast("list[dict[str, Any]]", numbers["paths"])
        for split, part in path["splits"].items()
        for point in part["points"]
        for name, row, n in _each(point)
    )
    summed = tuple(
        (
            row["what"], row["under"], row["split"], row["metric"], row["start"], row["end"], row["smallest"],
            row["largest"], row["at"], row["mean"], row["integral"], row["excess"], *(row["interval"] or (None, None)),
            row["length"], row["n"],
        )
        for row in rows
    )  # fmt: skip
    path_header = ("path", "examples", "split", "t", "task", "loss (nats)", "accuracy", "95 % low", "95 % high", "n")
    header = (
        "path", "examples", "split", "metric", "start", "end", "smallest", "largest", "t of the largest", "mean",
        "integral", "above the worse end", "95 % low", "95 % high", "length", "n",
    )  # fmt: skip
    grown = tuple(
        (row["step"], row["batch"], under, split, largest)
        for row in cast("list[dict[str, Any]]", numbers["growth"])
        for under, splits in row["largest"].items()
        for split, largest in splits.items()
    )
    growth_header = (
        "step",
        "mean loss of batches (nats)",
        "examples",
        "split",
        "largest loss between the ends, previews (nats)",
    )
    return {
        "statistics": Table("Line and curve in a few numbers: loss in nats, error as a fraction", header, summed),
        "points": Table("Loss and accuracy along line and curve", path_header, points),
        "growth": Table("The curve while it was trained", growth_header, grown),
    }


def _each(point: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], int]]:
    """Return the tasks of a point by name, after their mean where they are several."""
    tasks = [(str(task["task"]), task, int(task["n"])) for task in point["tasks"]]
    return tasks if len(tasks) == 1 else [("mean", point, sum(n for _, _, n in tasks)), *tasks]


TRAINED = (
    ParameterInfo(
        "kind", "Kind", "choice", "bezier", "A smooth Bezier curve, or a chain of straight pieces.",
        choices=("bezier", "chain"),
    ),
    ParameterInfo(
        "bends", "Bends", "integer", 1, "Points between the ends, which are trained.", 1, 8, step=1, slider=(1, 4)
    ),
    ParameterInfo("steps", "Steps", "integer", 1_000, "Steps of training.", 1, 1_000_000, slider=(100, 3_000)),
    ParameterInfo(
        "rate", "Learning rate", "number", 0.1, "How far a step goes, less for transformers (0.01); after half "
        "of the steps it falls to a hundredth.", 0.0, 10.0, minimum_excluded=True, step=0.001, slider=(0.001, 0.5),
    ),
    ParameterInfo("batch", "Batch", "integer", 64, "Examples of each task in a step.", 1, 4_096, slider=(8, 256)),
    ParameterInfo(
        "decay", "Weight decay", "number", 1e-4, "How strongly the weights at t are drawn towards 0.", 0.0, 1.0,
        step=0.0001, slider=(0.0, 0.005),
    ),
)  # fmt: skip
"""How a curve is bent and trained."""


CURVE = Study(
    name="curve",
    title="Curve between two models",
    formula="θ(t) = Σ cᵢ(t)·wᵢ; the bends minimise E over t of L(θ(t)) + ½·decay·‖θ(t)‖²",
    summary="Bends the way between two models around the barrier, trained on the train split, beside the line.",
    source=Source(
        "Garipov, Izmailov, Podoprikhin, Vetrov and Wilson",
        2018,
        "Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs",
        "https://arxiv.org/abs/1802.10026",
        "section 3, with the uniform t of its equation 3",
        deviation="Steps are counted instead of epochs, there is no augmentation, and the finished curve is measured "
        "at 25 points by default instead of 61. Against attacks: Zhao et al. 2020, arXiv:2005.00060.",
    ),
    parameters=(
        *TRAINED,
        ParameterInfo("points", "Points", "integer", POINTS, "Points on line and curve, ends included.", 2, 201),
        *DEFENCE,
        ParameterInfo(
            "learn_from", "Learn from", "choice", "attacked", "Whether the curve is trained on changed pictures, or on "
            "pictures as they are and only judged on changed ones.", choices=("attacked", "clean"),
            only_when=("against", "linf", "l2", "mixture"),
        ),
    ),
    group="paths",
    models=(2, 2),
    splits=("validation", "train"),
    trains=True,
    answer=_answer,
    tables=_tables,
)  # fmt: skip
