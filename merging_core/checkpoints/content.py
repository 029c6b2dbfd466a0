"""The content digest: what a checkpoint holds, whatever files it is spread over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable

from merging_core.checkpoints.adapter_config import AdapterConfig
from merging_core.checkpoints.header import LeafSpec

__all__ = ["PIN_DIGITS", "adapter_digest", "content_digest", "leaf_preamble"]

PIN_DIGITS = 16
"""The first digits of the digest, which pin a reference to the zoo."""


def content_digest(leaves: Iterable[LeafSpec], data_digest: Callable[[str], bytes]) -> str:
    """Return the sha256 of a checkpoint's leaves, as 64 hex digits.

    Over the leaves sorted by name: the UTF-8 of `name\\\\n dtype\\\\n shape\\\\n` (no spaces; the shape as JSON), then
    the 32 bytes of the sha256 of the leaf's little-endian data, which `data_digest(name)` gives. So the order of the
    leaves, the header's spelling and the number of shards do not matter.

    >>> from hashlib import sha256
    >>> leaf = LeafSpec("w", "F32", (1,))
    >>> by_hand = sha256(b"w\\nF32\\n[1]\\n" + sha256(bytes(4)).digest()).hexdigest()
    >>> content_digest([leaf], lambda name: sha256(bytes(4)).digest()) == by_hand
    True
    """
    whole = hashlib.sha256()
    for leaf in sorted(leaves, key=lambda leaf: leaf.name):
        whole.update(leaf_preamble(leaf))
        whole.update(data_digest(leaf.name))
    return whole.hexdigest()


def adapter_digest(leaves: str, config: AdapterConfig) -> str:
    """Return the digest of a LoRA adapter: of its leaves, by their digest, and of what its configuration does to them.

    >>> from merging_core.checkpoints.adapter_config import ByModule
    >>> adapter_digest("ab", AdapterConfig(ByModule(8), ByModule(16)))[:8]
    '172f9058'
    """
    return hashlib.sha256(f"adapter\n{leaves}\n{config.identity}\n".encode()).hexdigest()


def leaf_preamble(leaf: LeafSpec) -> bytes:
    """Return what the digest reads of a leaf before its data.

    >>> leaf_preamble(LeafSpec("w", "BF16", (2, 3)))
    b'w\\nBF16\\n[2, 3]\\n'
    """
    return f"{leaf.name}\n{leaf.dtype}\n{json.dumps(list(leaf.shape))}\n".encode()
