"""Which leaves have a row for each token, and how many tokens a configuration says there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from merging_core.checkpoints.header import LeafSpec

__all__ = ["has_tokens", "rows_said", "with_rows_of"]

_LAYER = re.compile(
    r"(?:.*\.)?(?:embed_tokens|wte|(?:word|tok|token|text)_embeddings?|embed_in|embed_out|shared|lm_head|proj_out"
    r"|embeddings|vocab_projector|generator_lm_head|(?:predictions|lm_head|predictions\.decoder|lm_head\.decoder))"
    r"\.(?:weight|bias)"
)
_SIZE, _TEXT = "vocab_size", "text_config"


def has_tokens(a: LeafSpec, b: LeafSpec) -> bool:
    """Say whether two leaves hold a row for each token, and differ in nothing but their number.

    >>> has_tokens(LeafSpec("lm_head.weight", "F32", (9, 4)), LeafSpec("lm_head.weight", "F32", (8, 4)))
    True
    >>> has_tokens(LeafSpec("mlp.weight", "F32", (9, 4)), LeafSpec("mlp.weight", "F32", (8, 4)))
    False
    """
    return len(a.shape) == len(b.shape) >= 1 and a.shape[1:] == b.shape[1:] and _LAYER.fullmatch(a.name) is not None


def rows_said(config: Mapping[str, Any]) -> int | None:
    """Return how many rows an embedding of tokens has by the configuration; None where it does not say.

    >>> rows_said({"vocab_size": 9}), rows_said({"text_config": {"vocab_size": 8}}), rows_said({})
    (9, 8, None)
    """
    inner = config.get(_TEXT)
    size = config.get(_SIZE, inner.get(_SIZE) if isinstance(inner, Mapping) else None)
    return size if isinstance(size, int) else None


def with_rows_of(own: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the reference's number of tokens.

    >>> with_rows_of({"vocab_size": 9, "hidden_size": 4}, {"vocab_size": 8})
    {'vocab_size': 8, 'hidden_size': 4}
    """
    found = dict(own)
    if _SIZE in found and _SIZE in reference:
        found[_SIZE] = reference[_SIZE]
    inner, outer = found.get(_TEXT), reference.get(_TEXT)
    if isinstance(inner, Mapping) and isinstance(outer, Mapping):
        found[_TEXT] = with_rows_of(inner, outer)
    return found
