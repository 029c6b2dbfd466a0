"""Whence jobs get a process: on Linux forked from one that has imported what they need, elsewhere spawned."""

from __future__ import annotations

import multiprocessing
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

__all__ = ["processes"]

_PRELOADED = "app.preloaded"


def processes() -> ForkServerContext | SpawnContext:
    """Return where processes come from: none of them shares memory, threads or locks with this one.

    The process that others are forked from starts with the first of them, and ends with this one.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    return context
