"""Which examples a merge got right, packed into bytes: eight examples a byte, tasks one after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["pack", "unpack"]


def pack(correct: Mapping[str, NDArray[np.bool_]]) -> bytes:
    """Pack one boolean array a task: a JSON line of sizes, then the bits.

    >>> unpack(pack({"digits": np.array([True, False, True])}))
    {'digits': array([ True, False,  True])}
    """
    sizes = json.dumps({task: int(values.size) for task, values in correct.items()}).encode()
    return sizes + b"\n" + b"".join(np.packbits(values).tobytes() for values in correct.values())


def unpack(packed: bytes) -> dict[str, NDArray[np.bool_]]:
    """Read what `pack` wrote."""
    head, _, bits = packed.partition(b"\n")
    correct: dict[str, NDArray[np.bool_]] = {}
    start = 0
    for task, size in json.loads(head).items():
        stop = start + (size + 7) // 8
        whole = np.unpackbits(np.frombuffer(bits[start:stop], dtype=np.uint8), count=size)
        correct[task] = whole.astype(np.bool_)
        start = stop
    return correct
