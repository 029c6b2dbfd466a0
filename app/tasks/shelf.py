"""The prepared tasks of this server, shared by all visitors, each let in by the rights of whoever asks.

A prepared task holds pictures of a data set and the head of a checkpoint. Whoever may not read one of the two on the
Hub is refused here, before anything that was made of it is used, as models are (`app.callers`).
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Protocol

from app.studio.memo import Memo
from app.tasks.budget import mark_used, remove
from app.tasks.prepared import AnyPrepared, fingerprint, load_prepared, made_of, spec_named
from app.tasks.spec import TaskSpec
from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import BasinError, EvaluationError, HubAwayError, Problem
from merging_core.hub.client import Hub
from merging_core.hub.data_ref import data_ref
from merging_core.hub.data_sets import DataSets

__all__ = ["TaskShelf", "VisitorsDoor"]

_LOADED = 64


class VisitorsDoor(Protocol):
    """What the shelf asks of the Hub: `app.hub.source.VisitorsHub`."""

    def for_caller(self) -> Hub:
        """Return the Hub with the rights of whoever the present work is done for."""

    def check_access(self, ref: Ref, /) -> None:
        """Ask whether the caller may read a model; raises HubError where not."""


class TaskShelf:
    """Finds and reads prepared tasks; safe to use from several threads.

    `folder`: where they lie, or None for a temporary one. `hub`: lets visitors in; without it there is no Hub.
    """

    def __init__(self, folder: Path | None, hub: VisitorsDoor | None = None) -> None:
        self._folder = folder
        self._hub = hub
        self._temporary: Path | None = None
        self._lock = threading.Lock()
        self._loaded: Memo[AnyPrepared] = Memo(_LOADED)
        self._known: dict[str, str] = {}

    @property
    def root(self) -> Path:
        """The folder of prepared tasks."""
        if self._folder is not None:
            return self._folder
        with self._lock:
            if self._temporary is None:
                self._temporary = Path(tempfile.mkdtemp(prefix="basin-tasks-"))
                weakref.finalize(self, shutil.rmtree, self._temporary, ignore_errors=True)
            return self._temporary

    def admit(self, spec: TaskSpec) -> None:
        """Ask whether the caller may read the data set and the checkpoint of a task.

        Raises: `HubError` with what is refused. While the Hub is away only whoever runs this Basin is let in.
        """
        problems: list[Problem] = []
        checks = []
        if spec.source.startswith("hub:"):
            checks.append(self._check_data)
        if spec.model.startswith("hub:"):
            checks.append(self._check_model)
        errors: list[BasinError] = []
        for check in checks:
            try:
                check(spec)
            except BasinError as error:
                errors.append(error)
                problems += error.problems
        if errors:
            raise type(errors[0])(*problems)

    def named(self, name: str) -> TaskSpec:
        """Return what a prepared task is made of, by its name. Raises: `EvaluationError` where there is none."""
        return spec_named(self.root, name)

    def is_prepared(self, spec: TaskSpec) -> bool:
        """Say whether a task is prepared here, whoever may use it."""
        return self.fingerprint(spec) != ""

    def fingerprint(self, spec: TaskSpec) -> str:
        """Return a digest of what was prepared, and nothing where a task is not prepared."""
        folder = self.root / spec.digest
        if spec.digest in self._known and folder.is_dir():
            return self._known[spec.digest]
        found = fingerprint(self.root, spec)
        if found is not None:
            self._known[spec.digest] = found
        return found or ""

    def task(self, spec: TaskSpec) -> AnyPrepared:
        """Return a prepared task, for a caller who may read what it was made of.

        Raises: `HubError` where the caller may not; `EvaluationError` where it is not prepared.
        """
        self.admit(spec)
        key = (spec.digest, self.fingerprint(spec))
        mark_used(self.root / spec.digest)
        return self._loaded.get(key, lambda: load_prepared(self.root, spec))

    def drop(self, upload: str) -> None:
        """Delete the tasks whose data or head come from an upload, `upload:` and its address."""
        for spec in made_of(self.root, upload):
            self._known.pop(spec.digest, None)
            remove(self.root / spec.digest)

    def _check_data(self, spec: TaskSpec) -> None:
        hub = self._opened(spec).for_caller()
        try:
            DataSets(hub).check_access(data_ref(spec.source))
        except HubAwayError:
            if not hub.own_cache:
                raise

    def _check_model(self, spec: TaskSpec) -> None:
        self._opened(spec).check_access(parse_ref(spec.model))

    def _opened(self, spec: TaskSpec) -> VisitorsDoor:
        if self._hub is None:
            must, fix = "this server uses models and data of the Hub", "choose a task without them"
            raise EvaluationError(Problem(must, "a server that does not", spec.title, fix))
        return self._hub
