"""Whether the tokenizers of models agree on which row belongs to which token, as far as they lie beside the weights."""

from __future__ import annotations

from collections.abc import Sequence

from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.resized import ResizedCheckpoint
from merging_core.checkpoints.token_files import tokens_of
from merging_core.errors import BasinError, Problem

__all__ = ["token_problems"]


def token_problems(models: Sequence[Checkpoint | None]) -> list[Problem]:
    """Say which models give the rows that are merged to other tokens than the first; nothing where no file says."""
    taken = [
        one for one in models if isinstance(one, ResizedCheckpoint) and any(rows.own for rows in one.rows.values())
    ]
    known = _known(taken[0].other) if taken else None
    problems = []
    for model in taken if known is not None else ():
        found = _known(model.own)
        if known is None or found is None:
            continue
        most = max(rows.own for rows in model.rows.values())
        other = sorted(place for place in known.keys() & found.keys() if place < most and known[place] != found[place])
        if other:
            must = f"the first {most:,} rows belong to the same tokens as in {model.other.label}"
            got = f"{len(other):,} that belong to others, the first of them row {other[0]:,},"
            fix = "take models whose tokens were added behind the base's, or write vocabulary: by token, or base"
            problems.append(Problem(must, got, f"{model.label}: tokenizer", fix))
    return problems


def _known(checkpoint: Checkpoint) -> dict[int, str] | None:
    """Return the token of each row, as far as a file beside the weights says it and can be read."""
    try:
        return tokens_of(checkpoint)
    except BasinError:
        return None
