"""All methods on the same experts: `compare`. Rows are printed as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from merging_core.cli.options import AsJson, Family
from merging_core.cli.progress import ProgressLine

if TYPE_CHECKING:
    from merging_core.cli.targets import Bench
    from merging_core.engines import LiveEngine
    from merging_core.search import Question, Row

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
    keep: Annotated[
        Path | None,
        typer.Option(
            help="With --json: an earlier answer; its rows are kept where models, versions and defaults are the same."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare all methods that apply to the same experts, at their defaults and after a short search."""
    from merging_core.cli.comparison_forms import FORMS
    from merging_core.cli.targets import open_bench
    from merging_core.errors import EvaluationError, Problem
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.search import compared

    bench = open_bench()
    question, pins = _question(bench, models, base, family, tuple(task or ()), tuple(method or ()), split, search)
    form = "json" if as_json else form
    if keep is not None and form != "json":
        raise EvaluationError(Problem("--keep goes with --json", f"--format {form}", "--keep", "add --json"))
    writer = FORMS[form](question, pins, typer.echo)
    engine = bench.engine()
    kept = _kept(keep, question, pins, engine)
    missing = tuple(info.name for info in question.infos if info.name not in kept)
    with ProgressLine() as progress:
        writer.begin()
        rows = compared(replace(question, methods=missing), engine, Evaluator("cpu"), progress=progress)
        for row in _in_order([info.name for info in question.infos], kept, rows):
            progress.wipe()
            if isinstance(row, dict):
                writer.kept(row)
            else:
                writer.row(row)
    writer.end()


def _kept(
    file: Path | None, question: Question, pins: Mapping[str, str], engine: LiveEngine
) -> dict[str, dict[str, Any]]:
    """Return the rows of an earlier answer that would be the same again, by method.

    Raises EvaluationError where the file is no answer of this command.
    """
    from merging_core.errors import BasinError, EvaluationError, Problem
    from merging_core.methods.registry import method
    from merging_core.search.document import head, rows_that_hold

    if file is None:
        return {}

    def hash_of(name: str) -> str | None:
        try:
            return engine.plan(question.defaults(method(name))).hash
        except BasinError:
            return None

    try:
        return rows_that_hold(json.loads(file.read_text(encoding="utf-8")), head(question, pins), hash_of)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        got = error.strerror if isinstance(error, OSError) and error.strerror else "something else"
        fix = "name a file that compare --json wrote"
        raise EvaluationError(Problem("an earlier answer can be read", got, "--keep", fix)) from None


def _in_order(
    names: Sequence[str], kept: Mapping[str, dict[str, Any]], rows: Iterator[Row]
) -> Iterator[Row | dict[str, Any]]:
    """Yield what is measured, and between it the kept rows, in the order of the methods."""
    waiting = list(names)
    for row in rows:
        while row.kind != "reference" and waiting[0] in kept:
            yield kept[waiting.pop(0)]
        if row.kind != "reference":
            waiting.pop(0)
        yield row
    yield from (kept[name] for name in waiting)


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
    question = Question(start, refs, bench.tasks(chosen, tasks), experts, split, search, methods=methods or None)
    return question, {ref: str(bench.catalog.pin(ref)) for ref in (start, *refs)}
