"""Models with other numbers of tokens, or with tokens in another order: what becomes of the rows that differ.

Rows are matched by their number, which is right where tokens were added behind those of a common base, or by the text
of their tokens, as the files of the tokenizers say it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.resized import ResizedCheckpoint, Rows, first_rows, resized
from merging_core.errors import Problem
from merging_core.space.by_token import by_token
from merging_core.space.token_ids import token_problems
from merging_core.space.token_leaves import has_tokens, with_rows_of

__all__ = ["BY_TOKEN", "Shaped", "token_counts", "vocabulary_words", "with_vocabulary"]

BY_TOKEN = "by token"


@dataclass(frozen=True)
class Shaped:
    """Models in one shape, as far as the policy allows it."""

    models: tuple[Checkpoint | None, ...]
    problems: tuple[Problem, ...] = ()
    tokens: str | None = None
    """What tells this way of bringing rows together by their tokens from another: 64 hex digits."""


def with_vocabulary(policy: str, models: Sequence[Checkpoint | None]) -> Shaped:
    """Return the models in the shape of the first one, as far as their vocabularies differ and the policy allows it.

    A policy that names a way of bringing rows together, as `Shaped.tokens` does behind an @, allows no other.
    """
    kind, _, pin = policy.partition("@")
    if kind == BY_TOKEN:
        return _pinned(models, pin)
    found = _by_number(policy, models)
    return Shaped(tuple(found), tuple(token_problems(found)))


def _pinned(models: Sequence[Checkpoint | None], pin: str) -> Shaped:
    found, problems = by_token(models)
    text = json.dumps([_said(one) for one in found], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if pin and not problems and pin != digest:
        must = f"the tokenizers bring rows together as the recipe says, {pin[:12]}"
        fix = f"write vocabulary: {BY_TOKEN} to take what they say now"
        problems.append(Problem(must, digest[:12], "vocabulary", fix))
    return Shaped(tuple(found), tuple(problems), digest)


def _said(model: Checkpoint | None) -> dict[str, int | str]:
    return {name: rows.said for name, rows in model.rows.items()} if isinstance(model, ResizedCheckpoint) else {}


def _by_number(policy: str, models: Sequence[Checkpoint | None]) -> list[Checkpoint | None]:
    reference, present = next((one for one in models if one is not None), None), [one for one in models if one]
    if policy == "same" or reference is None:
        return list(models)
    rows: dict[str, Rows] = {}
    for name, leaf in reference.leaves.items():
        others = [one.leaves[name] for one in present if name in one.leaves]
        sizes = {other.shape for other in others}
        if len(sizes) > 1 and len(others) == len(present) and all(has_tokens(leaf, other) for other in others):
            common = min(size[0] for size in sizes) if policy == "common rows" else 0
            rows[name] = first_rows(common, leaf.shape[0])
    if not rows:
        return list(models)
    return [
        one
        if one is None or one is reference
        else resized(one, reference, rows, with_rows_of(one.config, reference.config))
        for one in models
    ]


def vocabulary_words(checkpoints: Sequence[Checkpoint]) -> tuple[tuple[str, str], ...]:
    """Return the leaves whose rows are not all merged as they are, each with what becomes of them."""
    models = [one for one in checkpoints if isinstance(one, ResizedCheckpoint)]
    names = dict.fromkeys(name for one in models for name in one.rows)
    return tuple((name, _words(name, checkpoints, [one for one in models if name in one.rows])) for name in names)


def _words(name: str, checkpoints: Sequence[Checkpoint], models: Sequence[ResizedCheckpoint]) -> str:
    rows, of = models[0].rows[name], checkpoints[0].label
    if rows.by_token:
        return "rows are matched by token; " + "; ".join(_by_token(one, name) for one in models)
    stored = [one.own if isinstance(one, ResizedCheckpoint) else one for one in checkpoints]
    sizes = ", ".join(f"{one.leaves[name].shape[0]:,}" for one in stored)
    taken = f"the first {rows.own:,} are merged, the rest are those of {of}" if rows.own else f"all are those of {of}"
    return f"the models have {sizes} rows; {taken}"


def token_counts(checkpoints: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    """Return for each model and leaf whose rows are matched by token how many of them come from where."""
    return [
        {"model": one.label, "leaf": name, **_counts(rows)}
        for one in checkpoints
        if isinstance(one, ResizedCheckpoint)
        for name, rows in one.rows.items()
        if rows.by_token
    ]


def _counts(rows: Rows) -> dict[str, int]:
    lacking = rows.places.numel() - rows.own - rows.unnamed
    return {"own": rows.own, "lacking": lacking, "unnamed": rows.unnamed, "left_out": rows.left_out}


def _by_token(model: ResizedCheckpoint, name: str) -> str:
    counts, of = _counts(model.rows[name]), model.other.label
    text = f"{counts['own']:,} of {model.label} are merged"
    if counts["lacking"]:
        text += f", {counts['lacking']:,} whose tokens it lacks are those of {of}"
    if counts["unnamed"]:
        text += f", {counts['unnamed']:,} without a token of their own are those of {of}"
    if counts["left_out"]:
        text += f", {counts['left_out']:,} of its own that {of} lacks are left out"
    return text
