"""The small files beside a model's weights that say how texts and pictures become its inputs.

They are never read here as anything but bytes: whoever merges passes those of the base on, as they are.
"""

from __future__ import annotations

from types import MappingProxyType

from merging_core.checkpoints.files import open_regular, read_fully
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import CheckpointError

__all__ = ["COMPANIONS", "companions_of"]

_SMALL = 8 << 20
COMPANIONS = MappingProxyType(
    {
        "tokenizer.json": 64 << 20,
        "tokenizer_config.json": _SMALL,
        "special_tokens_map.json": _SMALL,
        "preprocessor_config.json": _SMALL,
        "generation_config.json": _SMALL,
        "vocab.json": _SMALL,
        "merges.txt": _SMALL,
    }
)
"""Their names, and the bytes that each may have."""


def companions_of(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return those that lie beside a model's configuration; what is no regular file or too large is left out."""
    if not checkpoint.config:
        return {}
    found: dict[str, bytes] = {}
    for name, most in COMPANIONS.items():
        try:
            with open_regular(checkpoint.folder / name, root=checkpoint.root) as file:
                data = read_fully(file, most + 1, name)
        except CheckpointError:
            continue
        if len(data) <= most:
            found[name] = data
    return found
