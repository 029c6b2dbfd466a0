"""Rows of models brought into the order of the first one by the text of their tokens, as their tokenizers say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from merging_core.checkpoints.adapted import AdaptedCheckpoint
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.resized import Rows, resized
from merging_core.checkpoints.token_files import TOKEN_FILES, tokens_of
from merging_core.errors import BasinError, CheckpointError, Problem
from merging_core.space.token_leaves import has_tokens, rows_said, with_rows_of

__all__ = ["by_token", "matched"]

Tokens = Mapping[int, str]


def by_token(models: Sequence[Checkpoint | None]) -> tuple[list[Checkpoint | None], list[Problem]]:
    """Return the models with the rows of the first one, in its order, and what is wrong with their tokenizers.

    A row is a model's own where its token is the same text, and the first model's where the model lacks the token or
    the row has none. A model whose rows all stay where they are is returned as it is; so is an adapter, which is added
    to the rows of the base.
    """
    reference = next((one for one in models if one is not None), None)
    others = [one for one in models if one not in (None, reference) and not isinstance(one, AdaptedCheckpoint)]
    problems: list[Problem] = []
    if reference is None or not others:
        return list(models), problems
    known = _tokens(reference, problems)
    found: list[Checkpoint | None] = []
    for model in models:
        if model is None or model not in others:
            found.append(model)
            continue
        own = _tokens(model, problems)
        if known is None or own is None:
            found.append(model)
        elif set(known.values()).isdisjoint(own.values()):
            problems.append(Problem(f"some of its tokens are those of {reference.label}", "none", model.label))
            found.append(model)
        else:
            found.append(_ordered(model, own, reference, known))
    return found, problems


def matched(ours: Tokens, rows: int, theirs: Tokens, own_rows: int) -> Rows:
    """Return which of a model's rows stand in the first `rows` rows of another, by token.

    `ours` are the tokens of the other model by row, `theirs` those of the model, which has `own_rows`.

    >>> found = matched({0: "a", 1: "b", 3: "c"}, 4, {0: "b", 1: "a", 2: "d"}, 3)
    >>> found.places.tolist(), found.unnamed, found.left_out
    ([1, 0, -1, -1], 1, 1)
    """
    place = {token: row for row, token in theirs.items() if row < own_rows}
    named = {row: token for row, token in ours.items() if row < rows}
    places = torch.full((rows,), -1, dtype=torch.int64)
    taken = {row: place[token] for row, token in named.items() if token in place}
    if taken:
        places[torch.tensor(list(taken))] = torch.tensor(list(taken.values()))
    return Rows(places, rows - len(named), len(place) - len(taken), by_token=True)


def _ordered(model: Checkpoint, own: Tokens, reference: Checkpoint, known: Tokens) -> Checkpoint:
    sizes: dict[tuple[int, int], Rows] = {}
    rows: dict[str, Rows] = {}
    for name, leaf in reference.leaves.items():
        other = model.leaves.get(name)
        if other is None or not has_tokens(leaf, other) or not (_whole(leaf, reference) and _whole(other, model)):
            continue
        size = leaf.shape[0], other.shape[0]
        if size not in sizes:
            sizes[size] = matched(known, size[0], own, size[1])
        if sizes[size].said != other.shape[0] or size[0] != size[1]:
            rows[name] = sizes[size]
    return resized(model, reference, rows, with_rows_of(model.config, reference.config)) if rows else model


def _whole(leaf: LeafSpec, model: Checkpoint) -> bool:
    """Say whether a leaf has as many rows as the configuration says that there are tokens, where it does."""
    return rows_said(model.config) in (None, leaf.shape[0])


def _tokens(model: Checkpoint, problems: list[Problem]) -> Tokens | None:
    try:
        found = tokens_of(model)
    except BasinError as error:
        located = error.located(model.label) if isinstance(error, CheckpointError) else error
        problems += located.problems
        return None
    if found is None:
        must = "the files of a tokenizer beside the weights say which row belongs to which token"
        fix = "save the tokenizer with transformers, which writes tokenizer.json, or write vocabulary: common rows"
        problems.append(Problem(must, f"none of {', '.join(TOKEN_FILES)}", model.label, fix))
    return found
