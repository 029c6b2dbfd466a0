"""Files that stand in a recipe's list twice, under whatever paths."""

from __future__ import annotations

from collections.abc import Sequence

from merging_core.checkpoints.files import Fingerprint
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import Problem

__all__ = ["repeated"]


def repeated(models: Sequence[Checkpoint | None]) -> list[Problem]:
    """Say which files stand in the list again, however their paths are written."""
    problems: list[Problem] = []
    first: dict[frozenset[Fingerprint], int] = {}
    for index, model in enumerate(models):
        if model is None or model.ref.scheme != "file":
            continue
        files = frozenset(file.fingerprint for file in model.files.values())
        if files in first:
            where, fix = f"models[{index}].ref", f"remove one, and give models[{first[files]}] more weight"
            problems.append(Problem("each model stands in the list once", f"{model.label} again", where, fix))
        first.setdefault(files, index)
    return problems
