"""The tasks of a family: the zoo's own, and those that visitors had prepared."""

from __future__ import annotations

import hashlib
import json

from app.families import Family
from app.studio.memo import Memo
from app.studio.workbench import FamilyTask
from app.tasks.shelf import TaskShelf
from merging_core import __version__
from merging_core.checkpoints.zoo import Zoo
from merging_core.errors import BasinError, HubError
from merging_core.evaluation.loading import load_task

__all__ = ["FamilyTasks"]


class FamilyTasks:
    """Reads tasks once; safe to use from several threads. Whoever may not have one is told so each time."""

    def __init__(self, zoo: Zoo, shelf: TaskShelf, size: int) -> None:
        self._zoo = zoo
        self._shelf = shelf
        self._read: Memo[FamilyTask] = Memo(size)

    def of(self, family: Family) -> tuple[FamilyTask, ...]:
        """Return the tasks that a family is measured on.

        Raises: `HubError` where the caller may not read what one was made of, `EvaluationError` where one is not
        prepared here; with one sentence for each.
        """
        found: list[FamilyTask] = []
        errors: list[BasinError] = []
        for name in family.tasks:
            try:
                found.append(self._task(family, name))
            except BasinError as error:
                errors.append(error)
        if errors:
            first = next((error for error in errors if isinstance(error, HubError)), errors[0])
            raise type(first)(*dict.fromkeys(problem for error in errors for problem in error.problems))
        return tuple(found)

    def admit(self, family: Family) -> None:
        """Raise `HubError` where the caller may not read what a task of the family was made of."""
        for spec in family.specs:
            self._shelf.admit(spec)

    def ready(self, family: Family) -> Family:
        """Return the family with those of its tasks alone that are prepared here."""
        waiting = {spec.name for spec in family.specs if not self._shelf.is_prepared(spec)}
        return family.without_tasks(waiting) if waiting else family

    def digest(self, family: Family) -> str:
        """Return a digest of the tasks' files and the library's version."""
        folders = tuple(f"tasks/{task}/" for task in family.tasks)
        files = {path: file.sha256 for path, file in self._zoo.files.items() if path.startswith(folders)}
        prepared = sorted((spec.name, spec.digest, self._shelf.fingerprint(spec)) for spec in family.specs)
        text = json.dumps([__version__, sorted(files.items()), *([prepared] if prepared else [])])
        return hashlib.sha256(text.encode()).hexdigest()

    def _task(self, family: Family, name: str) -> FamilyTask:
        spec = next((spec for spec in family.specs if spec.name == name), None)
        if spec is not None:
            return self._shelf.task(spec)
        return self._read.get(name, lambda: load_task(self._zoo.task_folder(name)))
