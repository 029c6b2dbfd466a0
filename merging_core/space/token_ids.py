"""Whether the tokenizers of models agree on which row belongs to which token, as far as they lie beside the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from merging_core.checkpoints.companions import companions_of
from merging_core.checkpoints.config import parse_json_object
from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.resized import ResizedCheckpoint
from merging_core.errors import CheckpointError, Problem

__all__ = ["token_problems", "tokens_of"]

_NAME = "tokenizer.json"


def token_problems(models: Sequence[Checkpoint | None]) -> list[Problem]:
    """Say which models give the rows that are merged to other tokens than the first; nothing where no file says."""
    taken = [one for one in models if isinstance(one, ResizedCheckpoint) and any(one.rows.values())]
    known = tokens_of(taken[0].other) if taken else None
    problems = []
    for model in taken if known is not None else ():
        found = tokens_of(model.own)
        if known is None or found is None:
            continue
        most = max(model.rows.values())
        other = sorted(place for place in known.keys() & found.keys() if place < most and known[place] != found[place])
        if other:
            must = f"the first {most:,} rows belong to the same tokens as in {model.other.label}"
            got = f"{len(other):,} that belong to others, the first of them row {other[0]:,},"
            fix = "take models whose tokens were added behind the base's, or write vocabulary: base"
            problems.append(Problem(must, got, f"{model.label}: {_NAME}", fix))
    return problems


def tokens_of(checkpoint: Checkpoint) -> dict[int, str] | None:
    """Return the token of each row by `tokenizer.json`; None where there is none, or none that can be read."""
    data = companions_of(checkpoint).get(_NAME)
    if data is None:
        return None
    try:
        return _tokens(parse_json_object(data, _NAME))
    except CheckpointError:
        return None


def _tokens(document: dict[str, Any]) -> dict[int, str] | None:
    """Return what a tokenizer says, by number.

    >>> _tokens({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]})
    {0: 'a', 1: 'b', 2: '<s>'}
    >>> _tokens({"model": {"vocab": [["a", -1.0], ["b", -2.0]]}})
    {0: 'a', 1: 'b'}
    """
    model, added = document.get("model"), document.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        found = {place: token for token, place in vocabulary.items() if isinstance(place, int)}
    elif isinstance(vocabulary, list):
        found = {place: str(row[0]) for place, row in enumerate(vocabulary) if isinstance(row, list) and row}
    else:
        return None
    for one in added if isinstance(added, list) else ():
        if isinstance(one, dict) and isinstance(one.get("id"), int):
            found[one["id"]] = str(one.get("content"))
    return found
