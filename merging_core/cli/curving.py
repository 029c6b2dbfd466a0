"""A point of a trained curve as a checkpoint: `curve-point`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer

__all__ = ["curve_point"]


def curve_point(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `curve … --out FOLDER` wrote.")],
    t: Annotated[float, typer.Argument(help="Where on the curve, from 0 to 1.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder for the checkpoint.")],
    as_json: AsJson = False,
) -> None:
    """Write the weights at one point of a trained curve as a checkpoint."""
    import json

    from merging_core.analysis.curves.writing import curve_in, write_point
    from merging_core.analysis.studies.contract import StudyBench
    from merging_core.analysis.studies.files import MEMORY, NUMBERS
    from merging_core.analysis.studies.memory import Memory
    from merging_core.analysis.studies.spec import parse_study
    from merging_core.cli.targets import open_bench
    from merging_core.errors import PlanError, Problem
    from merging_core.evaluation.evaluator import Evaluator

    try:
        asked = json.loads((folder / NUMBERS).read_bytes())["spec"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        must, fix = "the folder is one that a study wrote", "python -m merging_core curve A B --out FOLDER"
        raise PlanError(Problem(must, "another", "FOLDER", fix)) from error
    spec, opened = parse_study(asked), open_bench()
    family = opened.family(opened.catalog.open(spec.base or str(spec.models[0])), None)
    names = [name.rpartition("/")[2] for name in spec.tasks]
    bench = StudyBench(opened.engine(), Evaluator("cpu"), opened.tasks(family, names))
    curve = curve_in(spec, bench, Memory.load(folder / MEMORY, spec.identity(bench)))
    written = write_point(curve, t, spec, out)
    said = f"{written}: the point t = {t:g} between {spec.labels[0]} and {spec.labels[1]}"
    answer(said, {"folder": str(written), "t": t, "shares": list(curve.shares(t)), "spec": asked}, as_json=as_json)
