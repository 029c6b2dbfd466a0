"""Which checkpoints may be read now: opened for the caller, and all of them here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from merging_core.checkpoints import Checkpoint
from merging_core.engines.pricing import amount
from merging_core.errors import BasinError, CheckpointError, Problem
from merging_core.hub.headers import RemoteCheckpoint

__all__ = ["check_here", "not_here", "opened_all"]

Open = Callable[[str], Checkpoint]


def opened_all(refs: Sequence[str], open_: Open) -> list[Checkpoint]:
    """Open every checkpoint, its headers at least.

    Raises: `CheckpointError` with everything that keeps one of them from being opened; where it is the same kind of
    error each time, that kind.
    """
    opened: list[Checkpoint] = []
    errors: list[BasinError] = []
    for ref in refs:
        try:
            opened.append(open_(ref))
        except BasinError as error:
            errors.append(error)
    if errors:
        kinds = {type(error) for error in errors}
        kind = kinds.pop() if len(kinds) == 1 else CheckpointError
        raise kind(*(problem for error in errors for problem in error.problems))
    return opened


def check_here(refs: Sequence[str], open_: Open) -> None:
    """Raise `CheckpointError`, a sentence for each checkpoint that is not downloaded; as `opened_all` before that."""
    fix = "open Choose models and press Download, then merge"
    problems = [
        Problem(_must(one), "only the model's description", one.label, fix) for one in not_here(refs, open_).values()
    ]
    if problems:
        raise CheckpointError(*problems)


def not_here(refs: Sequence[str], open_: Open) -> dict[str, Checkpoint]:
    """Return the checkpoints of which only headers are here, by reference. Raises as `opened_all`."""
    named = list(dict.fromkeys(refs))
    opened = zip(named, opened_all(named, open_), strict=True)
    return {ref: one for ref, one in opened if isinstance(one, RemoteCheckpoint)}


def _must(model: Checkpoint) -> str:
    return f"the model's weights ({amount(model.nbytes)}) are downloaded before it is merged or measured"
