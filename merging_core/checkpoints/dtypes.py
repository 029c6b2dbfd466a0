"""The dtypes a leaf may have, by their safetensors spelling."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

__all__ = ["KNOWN_DTYPES", "dtype_name", "is_floating", "item_size", "torch_dtype"]


KNOWN_DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "BOOL": torch.bool,
        "U8": torch.uint8,
        "I8": torch.int8,
        "U16": torch.uint16,
        "I16": torch.int16,
        "U32": torch.uint32,
        "I32": torch.int32,
        "U64": torch.uint64,
        "I64": torch.int64,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
        "F8_E5M2": torch.float8_e5m2,
        "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "F32": torch.float32,
        "F64": torch.float64,
    }
)
"""Every dtype that can be read, in safetensors' spelling.

Complex numbers, packed sub-byte formats (F4, F6) and bare exponents (F8_E8M0) are left out: none of them is a weight
that can be averaged, and safetensors hands them to torch only in part.
"""
_NAMES: Mapping[torch.dtype, str] = MappingProxyType({dtype: name for name, dtype in KNOWN_DTYPES.items()})


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's dtype for a safetensors name.

    >>> torch_dtype("BF16")
    torch.bfloat16
    """
    return KNOWN_DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """Return the safetensors name of a torch dtype; KeyError for those that are not read or written.

    >>> dtype_name(torch.float32)
    'F32'
    """
    return _NAMES[dtype]


def is_floating(name: str) -> bool:
    """Say whether leaves of this dtype are weights (floating) rather than indices, counts or masks.

    >>> is_floating("F16"), is_floating("I64")
    (True, False)
    """
    return torch_dtype(name).is_floating_point


def item_size(name: str) -> int:
    """Return the bytes of one element.

    >>> item_size("BF16")
    2
    """
    return torch_dtype(name).itemsize
