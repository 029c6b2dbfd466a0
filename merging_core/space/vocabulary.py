"""Models with other numbers of tokens: which leaves have a row for each token, and what becomes of rows that differ.

Rows are matched by their number, which is right where tokens were added behind those of a common base. Nobody looks
into the tokenizers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.resized import ResizedCheckpoint, resized

__all__ = ["has_tokens", "vocabulary_words", "with_vocabulary"]


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


def with_vocabulary(policy: str, models: Sequence[Checkpoint | None]) -> list[Checkpoint | None]:
    """Return the models in the shape of the first one, as far as their vocabularies differ and the policy allows it."""
    reference, present = next((one for one in models if one is not None), None), [one for one in models if one]
    if policy == "same" or reference is None:
        return list(models)
    rows: dict[str, int] = {}
    for name, leaf in reference.leaves.items():
        others = [one.leaves[name] for one in present if name in one.leaves]
        sizes = {other.shape for other in others}
        if len(sizes) > 1 and len(others) == len(present) and all(has_tokens(leaf, other) for other in others):
            rows[name] = min(size[0] for size in sizes) if policy == "common rows" else 0
    if not rows:
        return list(models)
    return [
        one if one is None or one is reference else resized(one, reference, rows, _config(one.config, reference.config))
        for one in models
    ]


def vocabulary_words(checkpoints: Sequence[Checkpoint]) -> tuple[tuple[str, str], ...]:
    """Return the leaves whose rows are not all merged, each with what becomes of them."""
    model = next((one for one in checkpoints if isinstance(one, ResizedCheckpoint)), None)
    if model is None:
        return ()
    sizes = {
        name: [(one.own if isinstance(one, ResizedCheckpoint) else one).leaves[name].shape[0] for one in checkpoints]
        for name in model.rows
    }
    of = checkpoints[0].label
    return tuple(
        (
            name,
            f"the models have {', '.join(f'{size:,}' for size in sizes[name])} rows; "
            + (f"the first {common:,} are merged, the rest are those of {of}" if common else f"all are those of {of}"),
        )
        for name, common in model.rows.items()
    )


def _config(own: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the reference's number of tokens."""
    found = dict(own)
    if _SIZE in found and _SIZE in reference:
        found[_SIZE] = reference[_SIZE]
    inner, outer = found.get(_TEXT), reference.get(_TEXT)
    if isinstance(inner, Mapping) and isinstance(outer, Mapping):
        found[_TEXT] = _config(inner, outer)
    return found
