"""The compiled loops as functions of tensors; each says with None that the caller must compute plainly.

They take float32 tensors in a CPU's memory, the elements of a row side by side, that no gradient is asked of.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import torch

from merging_core.native.library import library

__all__ = ["consensus", "count_upper", "drop", "has_loops", "sign_surplus", "summed", "within"]

_POINTER, _SIZE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_WORD, _LONG = ctypes.c_uint32, ctypes.c_uint64
_WORD_MAX = 0xFFFFFFFF
_FUNCTIONS = {
    "basin_balance": ((_POINTER, _SIZE, _SIZE, _SIZE, _POINTER), _SIZE),
    "basin_consensus": ((_POINTER, _POINTER, _SIZE, _SIZE, _SIZE, _POINTER, _FLOAT, ctypes.c_int), None),
    "basin_drop": ((_POINTER, _POINTER, _SIZE, _LONG, _LONG, _WORD, _FLOAT), None),
    "basin_sum": ((_POINTER, _POINTER, _SIZE, _SIZE, _SIZE, _POINTER), None),
    "basin_upper": ((_POINTER, _POINTER, _POINTER, _SIZE), None),
    "basin_within": ((_POINTER, _POINTER, _SIZE, _POINTER, _POINTER, _SIZE), _SIZE),
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


def drop(vector: torch.Tensor, key: int, start: int, limit: int, scale: float) -> torch.Tensor | None:
    """Return x·scale where the hash of its element is below `limit`, and 0 elsewhere: [n] → [n]."""
    loops = _loops_for(vector) if limit <= _WORD_MAX else None
    if loops is None:
        return None
    out = torch.empty_like(vector)
    loops.basin_drop(out.data_ptr(), vector.data_ptr(), vector.numel(), key, start, limit, scale)
    return out


def count_upper(vector: torch.Tensor, counts: torch.Tensor) -> bool:
    """Add to counts [2, 65 536] int64 how many magnitudes of a vector have which upper 16 bits; say whether it did."""
    loops = _loops_for(vector)
    if loops is None:
        return False
    loops.basin_upper(counts[0].data_ptr(), counts[1].data_ptr(), vector.data_ptr(), vector.numel())
    return True


def within(vector: torch.Tensor, ranges: Sequence[tuple[int, int]]) -> torch.Tensor | None:
    """Return the magnitudes, as int32 words, that lie in one of some ranges of words, ends included, in order."""
    loops = _loops_for(vector)
    if loops is None:
        return None
    out = torch.empty(vector.numel(), dtype=torch.int32)
    lows = torch.tensor([low for low, _ in ranges], dtype=torch.int32)
    highs = torch.tensor([high for _, high in ranges], dtype=torch.int32)
    count = loops.basin_within(
        out.data_ptr(), vector.data_ptr(), vector.numel(), lows.data_ptr(), highs.data_ptr(), len(ranges)
    )
    return out[:count].clone()


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
