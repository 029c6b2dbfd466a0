"""How soon studies of the Geometry lab answer, and how long they take, on the zoo's transformer and perceptrons.

    python -m benchmarks.geometry [--study plane …] [--whole] [--repeat 3] [--json]

Each study is asked as the page asks it first: two models where it takes two, else all experts of the family, with all
tasks, on validation. Times are medians in seconds: until the first finding, of a fresh process' second question (what
is loaded once is loaded), and with `--whole` until the last. Nothing that trains is trained.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass

from merging_core.analysis.studies.contract import Finding, Study, StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.registry import studies
from merging_core.analysis.studies.spec import StudySpec, parse_study
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import ZooFamily, load_zoo
from merging_core.engines import LiveEngine
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.loading import load_task

__all__ = ["main"]


@dataclass(frozen=True)
class Row:
    """What was measured of one study on one family."""

    family: str
    study: str
    models: int
    first: float
    findings: int
    whole: float | None


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.geometry", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--study", action="append", choices=[one.name for one in studies()])
    parser.add_argument("--family", action="append", choices=[one.name for one in load_zoo().families])
    parser.add_argument("--whole", action="store_true", help="go on to the last finding")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    zoo = load_zoo()
    catalog = Catalog(zoo)
    rows = []
    for family in zoo.families:
        if asked.family and family.name not in asked.family:
            continue
        tasks = tuple(load_task(zoo.task_folder(name)) for name in family.tasks)
        for info in studies():
            if asked.study and info.name not in asked.study:
                continue
            spec = _spec(info, family)
            if spec is None:
                continue
            bench = StudyBench(LiveEngine(catalog, "cpu"), Evaluator("cpu"), tasks)
            rows.append(_row(info, family, spec, bench, asked.repeat, whole=asked.whole))
            if not asked.json:
                print(_line(rows[-1]), flush=True)
    if asked.json:
        print(json.dumps([row.__dict__ for row in rows], indent=2))
    return 0


def _spec(info: Study, family: ZooFamily) -> StudySpec | None:
    """Return what the page asks first; nothing where a family has too few models."""
    fewest, most = info.models
    experts = list(family.experts)
    count = 2 if most is not None and most <= 4 or fewest == 2 and info.group == "paths" else len(experts)
    count = 3 if info.group == "planes" else count
    count = max(fewest, min(count, most or count))
    if len(experts) < count:
        return None
    given = {"version": 1, "study": {"name": info.name}, "base": family.base, "models": experts[:count]}
    return parse_study({**given, "tasks": list(family.tasks)})


def _row(info: Study, family: ZooFamily, spec: StudySpec, bench: StudyBench, repeat: int, *, whole: bool) -> Row:
    """Ask once to load what is loaded once, then measure."""
    next(iter(info.answer(spec, bench, Memory())))
    firsts, wholes, count = [], [], 0
    for _ in range(repeat):
        begun = time.perf_counter()
        findings = info.answer(spec, bench, Memory())
        last: Finding = next(findings)
        firsts.append(time.perf_counter() - begun)
        count = 1
        if whole:
            for last in findings:
                count += 1
                if last.long:
                    break
            wholes.append(time.perf_counter() - begun)
    ended = statistics.median(wholes) if wholes else None
    return Row(family.name, info.name, len(spec.models), statistics.median(firsts), count, ended)


def _line(row: Row) -> str:
    ended = "" if row.whole is None else f"{row.findings:>6} findings, {row.whole:7.1f} s"
    return f"{row.family:<20}{row.study:<18}{row.models:>2} models  first {row.first:6.2f} s{ended}"


if __name__ == "__main__":
    sys.exit(main())
