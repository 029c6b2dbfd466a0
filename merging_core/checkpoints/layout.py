"""Where each leaf lies in a safetensors file, and the header that says so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from merging_core.checkpoints.dtypes import item_size
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.natural import natural_key

__all__ = ["header_bytes", "layout"]


def layout(leaves: Iterable[LeafSpec]) -> tuple[LeafSpec, ...]:
    """Return leaves in the order of their data in a file: larger elements first, then natural order.

    So every leaf starts at a multiple of its element size, which older readers of mapped files need. Where all leaves
    have one dtype this is the natural order.

    >>> [leaf.name for leaf in layout([LeafSpec("a", "BF16", (1,)), LeafSpec("b", "F32", (1,))])]
    ['b', 'a']
    """
    return tuple(sorted(leaves, key=lambda leaf: (-item_size(leaf.dtype), natural_key(leaf.name))))


def header_bytes(leaves: Iterable[LeafSpec], metadata: Mapping[str, str]) -> bytes:
    """Return the length and header of a safetensors file, padded with spaces to 8 bytes as safetensors does.

    >>> header_bytes([LeafSpec("w", "F32", (2,))], {})[8:]
    b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
    """
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for leaf in layout(leaves):
        start, end = end, end + leaf.nbytes
        entries[leaf.name] = {"dtype": leaf.dtype, "shape": list(leaf.shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
