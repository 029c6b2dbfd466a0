"""Asking one study on the command line: coarse to fine, kept in a folder so that the same command goes on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging_core.cli.downloads import readable
from merging_core.cli.interrupts import interrupts
from merging_core.cli.output import answer, plain
from merging_core.cli.progress import ProgressLine
from merging_core.cli.tables import aligned
from merging_core.errors import CancelledError, EvaluationError, PlanError, Problem, closest

if TYPE_CHECKING:
    from merging_core.analysis.studies.contract import Finding, Study, StudyBench, Table
    from merging_core.analysis.studies.memory import Memory
    from merging_core.analysis.studies.spec import StudySpec
    from merging_core.cli.targets import Bench

__all__ = ["ask"]

_ROWS = 24
"""Rows of a table that a terminal is given."""


def ask(  # noqa: PLR0913
    info: Study,
    params: dict[str, Any],
    *,
    models: list[str],
    base: str | None,
    family: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
    task: list[str] | None = None,
    split: list[str] | None = None,
    preview: bool = False,
    table: list[str] | None = None,
) -> None:
    """Ask a study of models and print what it found; raises KeyboardInterrupt after Ctrl-C, with all of it kept."""
    from merging_core.analysis.studies.files import MEMORY
    from merging_core.analysis.studies.memory import Memory
    from merging_core.cli.targets import open_bench

    if out is not None and out.is_dir() and any(out.iterdir()) and not (out / MEMORY).is_file():
        must, fix = "the folder is new or empty, or one of the same study", "name another one"
        raise PlanError(Problem(must, "a folder with something else in it", "--out", fix))
    given = {"version": 1, "study": {"name": info.name, "params": _numbers(info, params)}, "seed": seed}
    given["subset"] = "preview" if preview else "full"
    if split:
        given["splits"] = split
    spec, bench = _question(info, open_bench(*models), given, models, base, family, task or [])
    memory, identity = Memory(), ""
    if out is not None:
        identity = spec.identity(bench)
        out.mkdir(parents=True, exist_ok=True)
        memory = Memory.load(out / MEMORY, identity) if (out / MEMORY).is_file() else memory
    found = _followed(spec, bench, memory, out, identity)
    from merging_core.analysis.studies.files import document_of

    answer(_told(info.tables(found.numbers), found, out, table), document_of(spec, found), as_json=as_json)


def _question(  # noqa: PLR0913
    info: Study,
    opened: Bench,
    given: dict[str, Any],
    models: list[str],
    base: str | None,
    family: str | None,
    names: list[str],
) -> tuple[StudySpec, StudyBench]:
    """Read what is asked, download what is missing, and load the tasks; raises with everything that is wrong."""
    from merging_core.analysis.studies.contract import StudyBench
    from merging_core.analysis.studies.spec import parse_study
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.recipes import Recipe

    parse_study({**given, "models": ["zoo:a"] * len(models), "base": base or "zoo:a"})
    base = None if base is None else readable(base, opened.catalog)
    ends = [opened.end(model) for model in models]
    tasks: tuple[Any, ...] = ()
    try:
        chosen = opened.family(ends[0][1] if base is None else opened.catalog.open(base), family)
    except EvaluationError:
        if info.measures:
            raise
    else:
        base = base or chosen.base
        tasks = opened.tasks(chosen, names) if info.measures else ()
    asked = [{"recipe": end.as_json()} if isinstance(end, Recipe) else end for end, _ in ends]
    spec = parse_study({**given, "base": base, "models": asked, "tasks": [task.name for task in tasks]})
    return spec, StudyBench(opened.engine(), Evaluator("cpu"), tasks)


def _followed(spec: StudySpec, bench: StudyBench, memory: Memory, out: Path | None, identity: str) -> Finding:
    """Go through the findings of a study to the last, writing down what it has measured now and then."""
    from dataclasses import replace

    from merging_core.analysis.studies.files import Keeping

    found: Finding | None = None
    keeping = Keeping()
    with interrupts() as interrupted, ProgressLine() as line:
        try:
            for found in spec.info.answer(spec, replace(bench, cancelled=interrupted.is_set), memory):
                line(found.share, str(found.numbers["sentence"]))
                if out is not None and (found.complete or keeping.due()):
                    with keeping.writing():
                        _keep(out, identity, spec, memory, found)
                if interrupted.is_set() and not found.complete:
                    raise KeyboardInterrupt
        except (CancelledError, KeyboardInterrupt):
            if out is not None:
                _keep(out, identity, spec, memory, found)
            raise KeyboardInterrupt from None
    if found is None:
        raise RuntimeError("a study has a finding")
    return found


def _keep(out: Path, identity: str, spec: StudySpec, memory: Memory, found: Finding | None) -> None:
    from merging_core.analysis.studies.files import MEMORY, NUMBERS, document_of, write_tables, write_whole

    memory.save(out / MEMORY, identity)
    if found is not None:
        text = json.dumps(plain(document_of(spec, found)), ensure_ascii=False, allow_nan=False, indent=2)
        write_whole(out / NUMBERS, f"{text}\n".encode())
        write_tables(out, spec.info.tables(found.numbers))


def _numbers(info: Study, params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with lists of numbers read from their text; raises EvaluationError where one is none."""
    curves = {one.name for one in info.parameters if one.kind == "curve"}
    found, problems = dict(params), []
    for name in curves & params.keys():
        try:
            found[name] = [float(part) for part in str(params[name]).split(",")]
        except ValueError:
            must = "a list is numbers with commas between them"
            problems.append(Problem(must, repr(str(params[name])[:40]), f"--{name.replace('_', '-')}"))
    if problems:
        raise EvaluationError(*problems)
    return found


def _told(tables: Mapping[str, Table], found: Finding, out: Path | None, names: list[str] | None) -> str:
    unknown = [name for name in names or () if name not in tables]
    if unknown:
        must = "a table is one of the study's"
        raise EvaluationError(*(Problem(must, name, "--table", closest(name, tables)) for name in unknown))
    lines = [str(found.numbers["sentence"])]
    lines += [_table(tables[name]) for name in names or tables]
    if out is not None:
        lines.append(f"numbers, tables and what was measured: {out}")
    return "\n\n".join(lines)


def _table(table: Table) -> str:
    rows = [tuple(_cell(cell) for cell in row) for row in table.rows[:_ROWS]]
    right = [
        name
        for place, name in enumerate(table.header)
        if any(isinstance(row[place], int | float) for row in table.rows) or not table.rows
    ]
    more = len(table.rows) - _ROWS
    left = [f"… and {more} more rows; --out and --json give all"] if more > 0 else []
    return "\n".join([table.title, aligned(table.header, rows, right=tuple(right)), *left])


def _cell(cell: str | float | int | None) -> str:
    if cell is None:
        return "–"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
