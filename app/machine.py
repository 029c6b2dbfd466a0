"""How much memory this process may use: the machine's, or what a container leaves it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["memory_bytes"]

_CONTAINER = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux writes a container's limit: version 2 of its control groups, and version 1."""


def memory_bytes(limits: tuple[Path, ...] = _CONTAINER) -> int | None:
    """Return the smaller of the machine's memory and its container's limit, in bytes; None where neither is told.

    >>> (memory_bytes() or 1) > 0
    True
    """
    found = []
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in limits:
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeError):
            continue
        if text.isdigit():
            found.append(int(text))
    whole = [amount for amount in found if amount > 0]
    return min(whole, default=None)
