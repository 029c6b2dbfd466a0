"""The tasks of a job by name: the zoo's own, and those that were prepared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.tasks.prepared import AnyPrepared, load_prepared
from app.tasks.spec import parse_spec
from merging_core.checkpoints.zoo import Zoo
from merging_core.evaluation.loading import load_task

__all__ = ["tasks_named"]


def tasks_named(zoo: Zoo, root: Path, names: Sequence[str], specs: Sequence[Any]) -> tuple[AnyPrepared, ...]:
    """Return tasks in the order of their names; `specs` says what those are made of that lie prepared below `root`.

    Raises EvaluationError where one is not there.
    """
    known = {spec.name: spec for spec in map(parse_spec, specs)}
    return tuple(
        load_prepared(root, known[name]) if name in known else load_task(zoo.task_folder(name)) for name in names
    )
