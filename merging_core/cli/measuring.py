"""What weights can do: `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from merging_core.cli.options import AsJson, Family
from merging_core.cli.output import answer
from merging_core.cli.tables import aligned, interval, percent

if TYPE_CHECKING:
    from merging_core.evaluation.report import Report

__all__ = ["evaluate"]

TaskNames = Annotated[
    list[str] | None, typer.Option("--task", help="A task of the family, such as digits; may be given again.")
]


def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE_OR_CHECKPOINT", help="A recipe's file, or zoo:…, hub:… or file:… for a checkpoint."
        ),
    ],
    split: Annotated[
        Literal["validation", "test"], typer.Option(help="validation is for choosing, test for reporting.")
    ] = "validation",
    task: TaskNames = None,
    family: Family = None,
    linearised: Annotated[
        bool,
        typer.Option("--linearised", help="Score f(x; θ₀) + ∇f(x; θ₀)·(θ − θ₀), the model linearised at its base."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score a merge or a checkpoint on the zoo's tasks."""
    from merging_core.cli.downloads import readable, readable_recipe
    from merging_core.cli.targets import is_reference, open_bench, weights_of
    from merging_core.engines import make_plan
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.recipes import load_recipe

    identity: dict[str, Any]
    recipe = None if is_reference(target) else load_recipe(target)
    bench = open_bench(target)
    if recipe is None:
        target = readable(target, bench.catalog)
        checkpoint = bench.catalog.open(target)
        identity = {"checkpoint": target, "hash": None}
    else:
        recipe = readable_recipe(recipe, bench.catalog)
        made = make_plan(recipe, bench.catalog)
        checkpoint = made.survey.reference
        identity = {"recipe": recipe.as_json(), "hash": made.hash}
    chosen = bench.family(checkpoint, family)
    tasks = bench.tasks(chosen, task or ())
    weights = weights_of(checkpoint) if recipe is None else bench.engine().merge(recipe).weights
    evaluator = Evaluator("cpu")
    base = bench.base(chosen, recipe) if linearised else None
    asked = evaluator if base is None else evaluator.linearised(weights_of(base))
    report = asked.evaluate(checkpoint.config, weights, tasks, split)
    report = report.against(bench.experts(chosen, tasks, evaluator, split))
    at = {} if base is None else {"linearised_at": base.label}
    document = {**identity, **at, "family": chosen.name, **report.as_json()}
    answer(_report_table(report, None if base is None else base.label), document, as_json=as_json)


def _report_table(report: Report, base: str | None) -> str:
    header = ("task", "accuracy %", "95 % interval", "loss", "n")
    rows = [
        (score.task, percent(score.accuracy), interval(score.interval), f"{score.loss:.3f}", str(score.n))
        for score in report.tasks
    ]
    average = (
        "average",
        percent(report.average),
        interval(report.average_interval),
        f"{report.loss:.3f}",
        str(report.n),
    )
    lines = [aligned(header, [*rows, average], right=("accuracy %", "loss", "n")), f"split: {report.split}"]
    if report.normalised is not None and report.normalised_interval is not None:
        bounds = interval(report.normalised_interval, scale=1.0, digits=3)
        over = len(report.normalised_tasks)
        lines.append(f"normalised (÷ expert, {over} of {len(report.tasks)} tasks): {report.normalised:.3f} ({bounds})")
    if base is not None:
        lines.append(f"linearised at {base}: f(x; θ₀) + ∇f(x; θ₀)·(θ − θ₀); the experts it is divided by are not")
    if report.transductive:
        lines.append("transductive: the method adapted on test inputs")
    return "\n".join(lines)
