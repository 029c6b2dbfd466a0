"""The work of a comparison, in its own process: measure one method after the other, and write each row at once."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.worker import Reporter
from merging_core.errors import CancelledError

if TYPE_CHECKING:
    from merging_core.search import Question, Row

__all__ = ["NAME", "ROWS", "compare", "rows_in"]

NAME = "app.comparing.work:compare"
"""How a job names this work."""
ROWS = "rows.jsonl"
"""The file in the job's folder with the head in its first line, and a row in each other."""
_SPARE = 10.0
"""Seconds before the end of a job's time at which it stops by itself, so that its rows stay."""


def compare(payload: dict[str, Any], folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Compare the methods on `payload["models"]`; stopped, it ends well with the rows that it has.

    The payload is what `app.comparing.service` puts together. Raises whatever opening and measuring say.
    """
    import torch

    torch.set_num_threads(1)
    from merging_core.engines import LiveEngine
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.search import compared
    from merging_core.search.document import head

    until = time.monotonic() + payload["seconds"] - _SPARE
    question, pins, catalog = _question(payload)
    engine = LiveEngine(catalog, payload["device"], payload["memory"])
    evaluator = Evaluator(engine.device, workers=1)

    def cancelled() -> bool:
        return reporter.cancelled() or time.monotonic() > until

    def progress(share: float, what: str) -> None:
        reporter.progress(share, what)

    rows, complete = 0, True
    with closing(_Lines(folder / ROWS)) as lines:
        lines.write({**head(question, pins, engine.device.type), "state": payload["state"]})
        try:
            for row in compared(question, engine, evaluator, cancelled, progress):
                lines.write(row.as_json())
                rows += 1
                reporter.log(_said(row))
        except CancelledError:
            complete = False
    return {"name": payload["title"], "rows": rows, "complete": complete, "late": time.monotonic() > until}


def rows_in(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the head and the rows that are written whole; nothing where there is no file yet."""
    try:
        text = (folder / ROWS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    whole, newline, _ = text.rpartition("\n")
    for line in whole.split("\n") if newline else ():
        yield json.loads(line)


class _Lines:
    """A file with one JSON value a line, each on the disk before the next is worked on."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, value: dict[str, Any]) -> None:
        """Write one line; numbers that are not finite become null."""
        self._file.write(json.dumps(_finite(value), allow_nan=False, ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _question(payload: dict[str, Any]) -> tuple[Question, dict[str, str], Any]:
    from app.hub.held_catalog import held_catalog
    from app.tasks.named import tasks_named
    from merging_core.search import Question

    places = {"models": payload["local"], "uploads": payload["uploads"], "hub_cache": payload["hub_cache"]}
    catalog = held_catalog(payload["zoo"], **places)
    tasks = tasks_named(catalog.zoo, Path(payload["tasks_root"]), payload["tasks"], payload["specs"])
    question = Question(payload["base"], tuple(payload["models"]), tasks, payload["experts"], search=payload["search"])
    refs = [*([question.base] if question.base else []), *question.models]
    return question, {ref: str(catalog.pin(ref)) for ref in refs}, catalog


def _said(row: Row) -> str:
    from merging_core.search import Reference, Skipped

    if isinstance(row, Skipped):
        return f"{row.title}: {row.reason}"
    report = row.report if isinstance(row, Reference) else row.defaults.report
    return f"{row.title}: {100 * report.average:.1f} %"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
