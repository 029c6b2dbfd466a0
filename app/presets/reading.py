"""Read presets from their folder, strictly: a mistake in one is found when the server starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.tasks.spec import MOST_EXAMPLES
from merging_core.checkpoints.config import read_json_object
from merging_core.checkpoints.ref import parse_ref
from merging_core.errors import BasinError, Problem, closest

__all__ = ["FOLDER", "Preset", "PresetError", "PresetTask", "read_presets"]

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "presets"
_VERSION = 1
_KEYS = ("version", "title", "sentence", "source", "base", "head", "examples", "tasks")
_TASK_KEYS = ("expert", "data", "part", "classes")
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_MOST_TASKS = 16


class PresetError(BasinError):
    """A preset's file cannot be used."""


@dataclass(frozen=True)
class PresetTask:
    """One expert and the data set that it was fine-tuned on."""

    expert: str
    data: str
    part: str | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Preset:
    """A base, its experts and the tasks of a published benchmark."""

    name: str
    title: str
    sentence: str
    source: Mapping[str, Any]
    base: str
    head: str
    """The CLIP checkpoint of the zero-shot heads."""
    examples: int
    """Of each split of each task."""
    tasks: tuple[PresetTask, ...]


def read_presets(folder: Path) -> tuple[Preset, ...]:
    """Return the presets of a folder by name, each a JSON file.

    Raises: `PresetError` with every problem of the first file that has one.
    """
    return tuple(_preset(path) for path in sorted(folder.glob("*.json")))


def _preset(path: Path) -> Preset:
    try:
        tree = read_json_object(path)
    except BasinError as error:
        raise PresetError(*error.problems) from None
    problems = _unknown(tree, _KEYS, "")
    for key, kind in (("title", str), ("sentence", str), ("source", dict), ("examples", int), ("tasks", list)):
        if not isinstance(tree.get(key), kind):
            problems.append(Problem(f"{key} is a {kind.__name__}", type(tree.get(key)).__name__, key))
    if tree.get("version") != _VERSION or _NAME.fullmatch(path.stem) is None:
        problems.append(Problem(f"a preset has a plain name and version {_VERSION}", path.stem[:40], "version"))
    for key in ("base", "head"):
        problems += _reference(tree.get(key), key, pinned=True)
    rows = tree["tasks"] if isinstance(tree.get("tasks"), list) else []
    if not 1 <= len(rows) <= _MOST_TASKS or not 20 <= int(tree.get("examples") or 0) <= MOST_EXAMPLES:
        problems.append(Problem(f"a preset has 1 to {_MOST_TASKS} tasks of 20 examples or more", "others", "tasks"))
    for place, row in enumerate(rows):
        where = f"tasks[{place}]"
        if not isinstance(row, dict):
            problems.append(Problem("a task is an object", type(row).__name__, where))
            continue
        problems += _unknown(row, _TASK_KEYS, f"{where}.")
        problems += _reference(row.get("expert"), f"{where}.expert", pinned=False)
        problems += _reference(row.get("data"), f"{where}.data", pinned=False)
    if problems:
        raise PresetError(*(problem.located(path.name) for problem in problems))
    tasks = tuple(
        PresetTask(row["expert"], row["data"], row.get("part"), tuple(row.get("classes", ()))) for row in rows
    )
    texts = {key: tree[key] for key in ("title", "sentence", "source", "base", "head", "examples")}
    return Preset(name=path.stem, tasks=tasks, **texts)


def _unknown(tree: Mapping[str, Any], known: tuple[str, ...], where: str) -> list[Problem]:
    return [
        Problem("a preset's keys are known by name", str(key)[:60], f"{where}{str(key)[:60]}", closest(str(key), known))
        for key in tree
        if key not in known
    ]


def _reference(text: object, where: str, *, pinned: bool) -> list[Problem]:
    """Say what is wrong with a reference; the base is pinned, as its commit is no branch's."""
    try:
        ref = parse_ref(text)
    except BasinError as error:
        return [problem.located(where) for problem in error.problems]
    if ref.scheme != "hub" or (pinned and ref.commit is None):
        return [Problem("a preset names repositories of the Hub", str(ref)[:60], where)]
    return []
