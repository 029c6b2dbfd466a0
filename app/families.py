"""Families: checkpoints that share a base or an architecture, and the tasks they are measured on.

The zoo's have names. One that a visitor puts together is named by what it holds (`app.own_family`), so that a state, a
link or a stored result says everything about it, on any machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from os.path import commonprefix
from typing import Any

from app.tasks.spec import TaskSpec

__all__ = ["Expert", "Family", "plain", "titles_of"]

_LONG = 14
"""Letters of a title that is still read at a glance."""
_PINNED = re.compile(r"[@#].*")
_SEPARATED = re.compile(r".*[-_.]")


@dataclass(frozen=True)
class Expert:
    """One expert of a family; its place gives its colour in every chart and control."""

    ref: str
    title: str
    colour: int
    task: str | None
    """The task it was fine-tuned on, if there is one."""
    description: str = ""
    """One sentence."""


@dataclass(frozen=True)
class Family:
    """What can be merged with what."""

    name: str
    title: str
    description: str
    base: str | None
    experts: tuple[Expert, ...]
    tasks: tuple[str, ...]
    start: dict[str, Any]
    """The recipe that the studio opens with, as JSON."""
    start_path: dict[str, Any] = field(default_factory=lambda: {"kind": "lambda"})
    """The path that it opens with."""
    specs: tuple[TaskSpec, ...] = ()
    """What those of its tasks are made of that are a visitor's own; `tasks` has their names."""

    def without_tasks(self, names: Collection[str]) -> Family:
        """Return the family measured on fewer tasks."""
        tasks = tuple(task for task in self.tasks if task not in names)
        return replace(self, tasks=tasks, specs=tuple(spec for spec in self.specs if spec.name not in names))

    @property
    def refs(self) -> tuple[str, ...]:
        """Return every checkpoint of the family, the base first."""
        return (*([self.base] if self.base else []), *(expert.ref for expert in self.experts))

    def has(self, ref: object) -> bool:
        """Say whether a checkpoint is of this family, whatever its pin."""
        return plain(ref) in {plain(one) for one in self.refs}

    def title_of(self, ref: str) -> str:
        """Return the title of a checkpoint of this family."""
        return next((expert.title for expert in self.experts if plain(expert.ref) == plain(ref)), "base")

    def colour_of(self, ref: str) -> int | None:
        """Return the colour of an expert, or nothing for another checkpoint."""
        return next((expert.colour for expert in self.experts if plain(expert.ref) == plain(ref)), None)

    def title_of_task(self, task: str, otherwise: str) -> str:
        """Return what a task is called: as its expert is, or `otherwise` where that is not one, or the task its own."""
        if any(spec.name == task for spec in self.specs):
            return otherwise
        titles = [expert.title for expert in self.experts if expert.task == task]
        return titles[0] if len(titles) == 1 else otherwise

    def colour_of_task(self, task: str) -> int | None:
        """Return the colour of the expert of a task, or nothing if no expert, or more than one, belongs to it."""
        colours = [expert.colour for expert in self.experts if expert.task == task]
        return colours[0] if len(colours) == 1 else None


def titles_of(refs: Sequence[str]) -> list[str]:
    """Return what checkpoints from elsewhere are called: the last part of each path.

    Where that is long, without what all of them begin with.

    >>> titles_of(["hub:a/clip-vit-base_mnist@0", "hub:a/clip-vit-base_dtd@1"]), titles_of(["local:one", "local:on"])
    (['mnist', 'dtd'], ['one', 'on'])
    """
    names = [_PINNED.sub("", ref).rpartition(":")[2].rpartition("/")[2] for ref in refs]
    start = _SEPARATED.match(commonprefix(names))
    if start is None or len(names) < 2 or max(map(len, names)) <= _LONG or min(map(len, names)) <= start.end():
        return names
    return [name[start.end() :] for name in names]


def plain(ref: object) -> str:
    """Return what tells a checkpoint from others: its reference without a pin, and nothing for what is no text.

    Another commit of the Hub is another checkpoint, so there the whole reference counts.

    >>> plain("zoo:tiny/digits@0123456789abcdef"), plain("hub:ada/digits@main"), plain(None)
    ('zoo:tiny/digits', 'hub:ada/digits@main', '')
    """
    if not isinstance(ref, str):
        return ""
    return ref if ref.startswith("hub:") else ref.partition("@")[0]
