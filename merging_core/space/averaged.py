"""Which leaves of a model are averaged: its weights, and neither counts nor what only repeats the architecture.

Old files hold tables that newer ones leave out, because a model makes them again from its configuration: the
frequencies of rotary positions, the triangle that hides what comes later. They are floating and no weights.
"""

from __future__ import annotations

import re

from merging_core.checkpoints.dtypes import is_floating
from merging_core.checkpoints.header import LeafSpec

__all__ = ["is_averaged", "why_not"]

_FREQUENCIES = re.compile(r"(?:.*\.)?inv_freq")
_TRIANGLE = re.compile(r"(?:.*\.)?(?:attn|attention)\.bias")
_HIDDEN = re.compile(r"(?:.*\.)?(?:attn|attention)\.masked_bias")


def is_averaged(leaf: LeafSpec) -> bool:
    """Say whether a merge combines this leaf rather than taking it over.

    >>> is_averaged(LeafSpec("h.0.attn.bias", "F32", (8,))), is_averaged(LeafSpec("h.0.attn.bias", "F32", (1, 1, 8, 8)))
    (True, False)
    >>> is_averaged(LeafSpec("position_ids", "I64", (1, 8)))
    False
    """
    return is_floating(leaf.dtype) and not _is_constant(leaf)


def why_not(leaf: LeafSpec) -> str:
    """Return why a leaf is not averaged.

    >>> why_not(LeafSpec("position_ids", "I64", (1, 8)))
    'I64 is not averaged'
    """
    return "a constant of the architecture, no weight" if is_floating(leaf.dtype) else f"{leaf.dtype} is not averaged"


def _is_constant(leaf: LeafSpec) -> bool:
    name, shape = leaf.name, leaf.shape
    if not name.endswith(("bias", "inv_freq")):
        return False
    if _TRIANGLE.fullmatch(name):
        return len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3]
    return bool(_FREQUENCIES.fullmatch(name) and len(shape) == 1) or bool(
        _HIDDEN.fullmatch(name) and shape in ((), (1,))
    )
