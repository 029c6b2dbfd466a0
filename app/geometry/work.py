"""The work of a study, in its own process: go on from what looking has measured, and keep what is found often."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from app.job_records import RESULT
from app.worker import Reporter
from merging_core.errors import CancelledError

if TYPE_CHECKING:
    from merging_core.analysis.studies.contract import Finding

__all__ = ["FINDING", "NAME", "finding_in", "study"]

NAME = "app.geometry.work:study"
"""How a job names this work."""
FINDING = "finding.json"
"""The file in the job's folder with the newest finding."""
_SPARE = 20.0
"""Seconds before the end of a job's time at which it stops by itself."""
_SHOWN_EVERY = 0.3
"""Seconds between two times that what was found is put on the disk."""


def study(payload: dict[str, Any], folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Go through a study from `payload["memory"]` on; stopped, it leaves there what it has measured.

    The payload is what `app.geometry.jobs` puts together. Raises whatever opening, measuring and learning say.
    """
    import torch

    torch.set_num_threads(1)
    from app.geometry.question import labelled
    from app.hub.held_catalog import held_catalog
    from app.tasks.named import tasks_named
    from merging_core.analysis.studies.contract import StudyBench
    from merging_core.analysis.studies.files import NUMBERS, Keeping, document_of, write_tables, write_whole
    from merging_core.analysis.studies.memory import Memory
    from merging_core.analysis.studies.spec import parse_study
    from merging_core.engines import LiveEngine
    from merging_core.evaluation.evaluator import Evaluator

    until = time.monotonic() + payload["seconds"] - _SPARE
    path, identity, spec = Path(payload["memory"]), payload["identity"], parse_study(payload["spec"])
    names = ("models", "uploads", "hub_cache", "learned")
    catalog = held_catalog(payload["zoo"], **{name: payload[name] for name in names})
    measured = spec.tasks if spec.info.measures else ()
    tasks = tasks_named(catalog.zoo, Path(payload["tasks_root"]), measured, payload["specs"])
    engine = LiveEngine(catalog, payload["device"], payload["budget"])

    def cancelled() -> bool:
        return reporter.cancelled() or time.monotonic() > until

    def told(found: Finding) -> Finding:
        return replace(found, numbers=labelled(found.numbers, transductive=payload.get("transductive", False)))

    bench = StudyBench(engine, Evaluator(engine.device, workers=1), tasks, cancelled)
    memory = Memory.load(path, identity) if path.is_file() else Memory()
    shown, keeping = time.monotonic(), Keeping()
    count, found = 0, None
    try:
        for found in spec.info.answer(spec, bench, memory):
            now, count = time.monotonic(), count + 1
            reporter.progress(found.share, str(found.numbers["sentence"]))
            if found.complete or now - shown > _SHOWN_EVERY:
                _show(folder, told(found), count)
                shown = now
            if found.complete or keeping.due():
                with keeping.writing():
                    memory.save(path, identity)
    except CancelledError:
        memory.save(path, identity)
        if found is None or reporter.cancelled():
            raise
    if found is None:
        raise RuntimeError("a study has a finding")
    found = told(found)
    _show(folder, found, count + 1)
    result = folder / RESULT
    result.mkdir()
    write_whole(result / NUMBERS, _json(document_of(spec, found)))
    write_tables(result, spec.info.tables(found.numbers))
    return {"name": payload["title"], "study": spec.study, "complete": found.complete, "share": found.share}


def finding_in(folder: Path) -> dict[str, Any] | None:
    """Return the newest finding of a job, as `_show` wrote it; None where there is none yet."""
    try:
        found: dict[str, Any] = orjson.loads((folder / FINDING).read_bytes())
    except FileNotFoundError:
        return None
    return found


def _show(folder: Path, found: Finding, count: int) -> None:
    """Put a finding where the page's questions find it."""
    from merging_core.analysis.studies.files import write_whole

    told = {"count": count, "share": found.share, "complete": found.complete, "numbers": found.numbers}
    write_whole(folder / FINDING, _json(told))


def _json(value: object) -> bytes:
    """Return JSON; what is no number becomes null."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
