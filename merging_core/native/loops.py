"""The compiled loops as functions of tensors; each says with None that the caller must compute plainly.

They take float32 tensors in a CPU's memory, the elements of a row side by side, that no gradient is asked of. Functions
whose names end in `_` write into their first argument.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from functools import cache

import torch

from merging_core.native.library import library

__all__ = [
    "ADDED",
    "BASE",
    "COMBINED",
    "MOVED",
    "consensus",
    "count_upper",
    "drop",
    "finished",
    "has_loops",
    "shrink_",
    "sign_surplus",
    "summed",
    "widen_",
    "within",
]

_POINTER, _SIZE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_WORD, _LONG = ctypes.c_uint32, ctypes.c_uint64
_WORD_MAX = 0xFFFFFFFF
_NARROW = {torch.bfloat16: 1, torch.float32: 0}
"""The dtypes in which the loops read and write weights."""
COMBINED, ADDED, MOVED, BASE = range(4)
"""What `finished` makes: what was combined, base + c·combined, base + c·(combined − base), or the base."""
_FUNCTIONS = {
    "basin_balance": ((_POINTER, _SIZE, _SIZE, _SIZE, _POINTER), _SIZE),
    "basin_consensus": ((_POINTER, _POINTER, _SIZE, _SIZE, _SIZE, _POINTER, _FLOAT, ctypes.c_int), None),
    "basin_drop": ((_POINTER, _POINTER, _SIZE, _LONG, _LONG, _WORD, _FLOAT), None),
    "basin_finish": ((_POINTER, ctypes.c_int, _POINTER, _POINTER, _SIZE, _FLOAT, ctypes.c_int), _WORD),
    "basin_shrink": ((_POINTER, _SIZE, _FLOAT), None),
    "basin_sum": ((_POINTER, _POINTER, _SIZE, _SIZE, _SIZE, _POINTER), None),
    "basin_upper": ((_POINTER, _POINTER, _POINTER, _SIZE), None),
    "basin_widen": ((_POINTER, _POINTER, ctypes.c_int, _POINTER, _SIZE), ctypes.c_int),
    "basin_within": ((_POINTER, _POINTER, _SIZE, _POINTER, _POINTER, _POINTER, _SIZE), _SIZE),
}


def has_loops() -> bool:
    """Say whether the compiled loops can be used here."""
    return _loaded() is not None


def summed(vectors: torch.Tensor, weights: torch.Tensor) -> torch.Tensor | None:
    """Return Σ wₜ·vₜ, rounded after each operation, in model order: [T, n], [T] → [n]."""
    loops = _loops_for(vectors, weights)
    if loops is None:
        return None
    out = torch.empty(vectors.shape[1], dtype=torch.float32)
    loops.basin_sum(out.data_ptr(), vectors.data_ptr(), *_rows(vectors), weights.data_ptr())
    return out


def sign_surplus(vectors: torch.Tensor, weights: torch.Tensor) -> int | None:
    """Return by how many positive sums Σ wₜ·vₜ outnumber negative ones: [T, n], [T]."""
    loops = _loops_for(vectors, weights)
    return None if loops is None else loops.basin_balance(vectors.data_ptr(), *_rows(vectors), weights.data_ptr())


def consensus(
    vectors: torch.Tensor, weights: torch.Tensor, majority: torch.Tensor, *, mean: bool
) -> torch.Tensor | None:
    """Return what agrees with the elected signs, averaged or added: [T, n], [T] → [n]."""
    loops = _loops_for(vectors, weights)
    if loops is None:
        return None
    out = torch.empty(vectors.shape[1], dtype=torch.float32)
    loops.basin_consensus(
        out.data_ptr(), vectors.data_ptr(), *_rows(vectors), weights.data_ptr(), float(majority), int(mean)
    )
    return out


def drop(
    vector: torch.Tensor, key: int, start: int, limit: int, scale: float, out: torch.Tensor | None = None
) -> torch.Tensor | None:
    """Return x·scale where the hash of its element is below `limit`, and 0 elsewhere: [n] → [n].

    Written into `out`, which may be the vector itself, where it is given.
    """
    loops = _loops_for(vector) if limit <= _WORD_MAX else None
    if loops is None:
        return None
    out = torch.empty_like(vector) if out is None else out
    loops.basin_drop(out.data_ptr(), vector.data_ptr(), vector.numel(), key, start, limit, scale)
    return out


def shrink_(vector: torch.Tensor, limit: float) -> bool:
    """Put 0 in place of every element whose magnitude is at most `limit`: [n]; say whether it did."""
    loops = _loops_for(vector)
    if loops is None:
        return False
    loops.basin_shrink(vector.data_ptr(), vector.numel(), limit)
    return True


def widen_(out: torch.Tensor, weights: torch.Tensor, minus: torch.Tensor | None = None) -> bool | None:
    """Write weights in bfloat16 or float32 as float32, less those of `minus`; say whether they all are finite: [n]."""
    given = (out,) if minus is None else (out, minus)
    loops = _loops_for(*given) if weights.dtype in _NARROW and weights.device.type == "cpu" else None
    if loops is None or not weights.is_contiguous():
        return None
    less = None if minus is None else minus.data_ptr()
    narrow = _NARROW[weights.dtype]
    return not loops.basin_widen(out.data_ptr(), weights.data_ptr(), narrow, less, weights.numel())


def finished(
    combined: torch.Tensor, base: torch.Tensor | None, coefficient: float, stage: int, dtype: torch.dtype
) -> tuple[torch.Tensor, float] | None:
    """Return merged weights in bfloat16 or float32, and the largest magnitude before rounding: [n], [n] → [n]."""
    given = (combined,) if base is None else (combined, base)
    loops = _loops_for(*given) if dtype in _NARROW else None
    if loops is None:
        return None
    out = torch.empty(combined.numel(), dtype=dtype)
    origin = None if base is None else base.data_ptr()
    word = loops.basin_finish(
        out.data_ptr(), _NARROW[dtype], combined.data_ptr(), origin, combined.numel(), coefficient, stage
    )
    return out, struct.unpack("<f", struct.pack("<I", word))[0]


def count_upper(vector: torch.Tensor, counts: torch.Tensor) -> bool:
    """Add to counts [2, 65 536] int64 how many magnitudes of a vector have which upper 16 bits; say whether it did."""
    loops = _loops_for(vector)
    if loops is None:
        return False
    loops.basin_upper(counts[0].data_ptr(), counts[1].data_ptr(), vector.data_ptr(), vector.numel())
    return True


def within(vector: torch.Tensor, ranges: Sequence[tuple[int, int]]) -> tuple[torch.Tensor, tuple[int, ...]] | None:
    """Return the magnitudes, as int32 words, that lie in one of some ranges of words, ends included, in order.

    And of each range how many magnitudes lie above it.
    """
    loops = _loops_for(vector)
    if loops is None:
        return None
    count = len(ranges)
    out = torch.empty(vector.numel(), dtype=torch.int32)
    lows, highs = ((_WORD * count)(*ends) for ends in zip(*ranges, strict=True))
    above = (_SIZE * count)()
    found = loops.basin_within(out.data_ptr(), vector.data_ptr(), vector.numel(), lows, highs, above, count)
    return out[:found].clone(), tuple(above)


def _loops_for(*tensors: torch.Tensor) -> ctypes.CDLL | None:
    """Return the loops where they can work on these tensors."""
    for tensor in tensors:
        if tensor.dtype is not torch.float32 or tensor.device.type != "cpu" or not _in_rows(tensor):
            return None
        if tensor.requires_grad or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            return None
    return _loaded()


def _in_rows(tensor: torch.Tensor) -> bool:
    """Say whether the elements of each row lie side by side."""
    return tensor.is_contiguous() or (tensor.dim() == 2 and tensor.stride(1) == 1)


def _rows(vectors: torch.Tensor) -> tuple[int, int, int]:
    """Return how many rows there are, how far apart, and how long."""
    return vectors.shape[0], vectors.stride(0), vectors.shape[1]


@cache
def _loaded() -> ctypes.CDLL | None:
    found = library()
    if found is not None:
        for name, (takes, gives) in _FUNCTIONS.items():
            function = getattr(found, name)
            function.argtypes, function.restype = takes, gives
    return found
