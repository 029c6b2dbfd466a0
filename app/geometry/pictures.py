"""Examples of a study as people see them: pictures of each task side by side, texts by their beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from app.looking.sprites import sprite
from app.studio.messages import MessageError
from merging_core.analysis.mechanisms.interventions import Intervention, changed
from merging_core.errors import Problem, closest
from merging_core.evaluation.tasks import AnyTask, Task
from merging_core.evaluation.text_tasks import TextClassification
from merging_core.evaluation.tokenizing import TextTokenizer

__all__ = ["MOST", "Wanted", "beginnings_of", "changed_of", "sprites_of"]

MOST = 64
"""Examples that one answer holds."""
_CHANGED = 12
"""Examples of which one answer holds every change."""
_TOKENS, _CHARACTERS = 48, 120
"""How much of a text is its beginning."""

Wanted = Sequence[tuple[str, int]]
"""The task of each example, and its index in the split."""


def sprites_of(tasks: Sequence[AnyTask], splits: Sequence[str], split: str, wanted: Wanted) -> dict[str, Any]:
    """Return `{sprites: {task: sprite}, at: [place in its task's sprite]}`; a text has no picture, and null there.

    Raises MessageError with every example that is none of the study's.
    """
    known = _checked(tasks, splits, split, wanted)
    chosen: dict[str, list[int]] = {}
    at: list[int | None] = []
    for name, index in wanted:
        if isinstance(known[name], Task):
            at.append(len(chosen.setdefault(name, [])))
            chosen[name].append(index)
        else:
            at.append(None)
    sprites = {
        name: sprite(task.splits[split].images[torch.tensor(indices)])
        for name, indices in chosen.items()
        if isinstance(task := known[name], Task)
    }
    return {"sprites": sprites, "at": at}


def changed_of(
    tasks: Sequence[AnyTask],
    splits: Sequence[str],
    split: str,
    wanted: Wanted,
    changes: Sequence[Intervention],
    seed: int,
) -> dict[str, Any]:
    """Return `{sprites: [sprite or null], changes: [name]}`: each example as it is, then as each change makes it.

    A text has no picture, and null there. Raises MessageError with every example that is none of the study's.
    """
    known = _checked(tasks, splits, split, wanted)
    if len(wanted) > _CHANGED:
        must = f"at most {_CHANGED} examples are changed at once"
        raise MessageError(Problem(must, str(len(wanted)), "message.examples"))
    found: list[dict[str, Any] | None] = []
    for name, index in wanted:
        task = known[name]
        if not isinstance(task, Task):
            found.append(None)
            continue
        picture = task.splits[split].images[index : index + 1]
        found.append(sprite(torch.cat([picture, *(changed(picture, change, seed) for change in changes)])))
    return {"sprites": found, "changes": [change.name for change in changes]}


def beginnings_of(tasks: Sequence[AnyTask], split: str, wanted: Wanted, tokenizer: TextTokenizer) -> list[str | None]:
    """Return the first words of each example that is a text, and None for the others; each must be there.

    Raises EvaluationError when the tokenizer takes too long.
    """
    known = {task.name: task for task in tasks}
    texts: list[str | None] = []
    for name, index in wanted:
        task = known[name]
        if isinstance(task, TextClassification):
            ids = [one for one in task.splits[split].tokens[index, 0, :_TOKENS].tolist() if one >= 0]
            texts.append(tokenizer.words(ids)[:_CHARACTERS])
        else:
            texts.append(None)
    return texts


def _checked(tasks: Sequence[AnyTask], splits: Sequence[str], split: str, wanted: Wanted) -> dict[str, AnyTask]:
    """Return the tasks by name; raises MessageError with every example that is none of the study's."""
    known = {task.name: task for task in tasks}
    problems = []
    if split not in splits:
        problems.append(Problem(f"a study shows examples of {' and '.join(splits)}", split[:80], "message.split"))
    for place, (name, index) in enumerate(wanted):
        where = f"message.examples[{place}]"
        if name not in known:
            problems.append(
                Problem("an example is of a task of the study", name[:80], where, closest(name[:80], known))
            )
        elif split in splits and not 0 <= index < len(known[name].splits[split]):
            size = len(known[name].splits[split])
            problems.append(Problem(f"the example is one of the {size:,} of {split}", f"number {index}", where))
    if problems:
        raise MessageError(*problems)
    return known
