"""Safetensors bytes by hand, so that a test can say anything in a header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref


def entry(dtype: object, shape: object, start: object, stop: object) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def packed(header: bytes | str | dict[str, Any], data: bytes = b"") -> bytes:
    """Return the bytes of a file with this header, whatever it says."""
    if isinstance(header, dict):
        header = json.dumps(header)
    if isinstance(header, str):
        header = header.encode()
    return len(header).to_bytes(8, "little") + header + data


def two_leaves() -> bytes:
    """Return a sound file: `a` is two F32 zeros, `b` one F16 zero."""
    return packed({"a": entry("F32", [2], 0, 8), "b": entry("F16", [1], 8, 10)}, bytes(10))


def opened(path: Path) -> Checkpoint:
    return open_checkpoint(path, Ref("file", str(path)))
