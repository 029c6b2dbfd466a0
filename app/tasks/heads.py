"""Whose head a task can have: which checkpoints hold a text tower or a classifier of their own, by their headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from merging_core.checkpoints import Checkpoint
from merging_core.checkpoints.ref import parse_ref
from merging_core.errors import BasinError
from merging_core.evaluation.zero_shot import has_text_tower

__all__ = ["heads_among"]

_CLASSIFIERS = {"pictures": "ForImageClassification", "texts": "ForSequenceClassification"}


def heads_among(refs: Iterable[str], kind: str, open_: Callable[[str], Checkpoint]) -> dict[str, list[str]]:
    """Return the checkpoints that a task's head can come from, by kind of head, in the order of `refs`.

    `kind`: `pictures` or `texts`. Of a part the whole is looked at. A checkpoint that cannot be opened is left out.
    """
    found: dict[str, list[str]] = {"zero_shot": [], "own": []}
    for ref in refs:
        try:
            whole = str(parse_ref(ref).whole)
            opened = open_(whole)
        except BasinError:
            continue
        if kind == "pictures" and has_text_tower(opened) and whole not in found["zero_shot"]:
            found["zero_shot"].append(whole)
        if _classifies(opened, kind) and whole not in found["own"]:
            found["own"].append(whole)
    return found


def _classifies(checkpoint: Checkpoint, kind: str) -> bool:
    names = checkpoint.config.get("architectures")
    return isinstance(names, list) and any(
        isinstance(name, str) and name.endswith(_CLASSIFIERS[kind]) for name in names
    )
