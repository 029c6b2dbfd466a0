"""What names a result: its id, for whoever holds it, and the address under which it is shared."""

from __future__ import annotations

import re

__all__ = ["ADDRESS", "EITHER", "ONE", "SEVERAL"]

ADDRESS = re.compile(r"[0-9a-f]{32}")
"""The form of an address."""
_ID = re.compile(r"[0-9a-f]{64}")
_MOST = 500


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


ONE = (True, "id is the id of a result", _is_id)
"""How a message names one result; `EITHER` where it may name something else instead."""
EITHER = (False, ONE[1], _is_id)
SEVERAL = (
    True,
    f"ids are the ids of 1 to {_MOST} results",
    lambda value: isinstance(value, list) and 0 < len(value) <= _MOST and all(map(_is_id, value)),
)
