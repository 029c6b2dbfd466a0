"""All methods on the same experts: `compare`. Rows are printed as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from merging_core.cli.options import AsJson, Family
from merging_core.cli.progress import ProgressLine

if TYPE_CHECKING:
    from merging_core.cli.targets import Bench
    from merging_core.search import Question

__all__ = ["compare"]

Format = Literal["table", "json", "csv", "markdown"]


def compare(
    models: Annotated[
        list[str] | None,
        typer.Option(help="An expert, or several with commas between them; by default all of the family."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="What the experts started from; by default that of the family.")
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Also try a few settings of each method, chosen by validation alone.")
    ] = False,
    split: Annotated[
        Literal["validation", "test"], typer.Option(help="Where the numbers that are shown come from.")
    ] = "validation",
    method: Annotated[list[str] | None, typer.Option("--method", help="Only this method; may be given again.")] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="A task of the family, such as digits; may be given again.")
    ] = None,
    family: Family = None,
    form: Annotated[Format, typer.Option("--format", help="How the answer is written.")] = "table",
    as_json: AsJson = False,
) -> None:
    """Compare all methods that apply to the same experts, at their defaults and after a short search."""
    from merging_core.cli.comparison_forms import FORMS
    from merging_core.cli.targets import open_bench
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.search import compared

    bench = open_bench()
    question, pins = _question(bench, models, base, family, tuple(task or ()), tuple(method or ()), split, search)
    writer = FORMS["json" if as_json else form](question, pins, typer.echo)
    with ProgressLine() as progress:
        writer.begin()
        for row in compared(question, bench.engine(), Evaluator("cpu"), progress=progress):
            progress.wipe()
            writer.row(row)
    writer.end()


def _question(  # noqa: PLR0913
    bench: Bench,
    models: Sequence[str] | None,
    base: str | None,
    family: str | None,
    tasks: tuple[str, ...],
    methods: tuple[str, ...],
    split: str,
    search: bool,
) -> tuple[Question, dict[str, str]]:
    """Return what is asked, with everything of the Hub here, and each reference pinned by content."""
    from merging_core.cli.downloads import readable
    from merging_core.methods.registry import method as method_info
    from merging_core.search import Question

    for name in methods:
        method_info(name)
    listed = [ref.strip() for text in models or () for ref in text.split(",") if ref.strip()]
    if listed:
        refs = tuple(readable(ref, bench.catalog) for ref in listed)
        chosen = bench.family(bench.catalog.open(refs[0]), family)
    else:
        chosen = bench.zoo.family(family) if family is not None else bench.zoo.families[0]
        refs = chosen.experts
    start = readable(base, bench.catalog) if base is not None else chosen.base
    experts = {task: ref for ref, task in chosen.expert_task.items()}
    question = Question(start, refs, bench.tasks(chosen, tasks), experts, split, search, methods=methods)
    return question, {ref: str(bench.catalog.pin(ref)) for ref in (start, *refs)}
