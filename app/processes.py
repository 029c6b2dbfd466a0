"""Whence jobs get a process: on Linux forked from one that has imported what they need, elsewhere spawned."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

__all__ = ["process_of"]

_PRELOADED = "app.preloaded"


def process_of(
    target: Callable[..., None], arguments: tuple[Any, ...], name: str
) -> tuple[BaseProcess, Connection, Connection]:
    """Return a process that is not started, and the two ends of its pipe: ours, and its own, to be closed once it runs.

    `target` gets the arguments, its end of the pipe, and the environment as it is now.
    """
    context = _processes()
    here, there = context.Pipe()
    given = (*arguments, there, dict(os.environ))
    return context.Process(target=target, args=given, name=name, daemon=True), here, there


def _processes() -> ForkServerContext | SpawnContext:
    """Return where processes come from: none of them shares memory, threads or locks with this one.

    The process that others are forked from starts with the first of them, and ends with this one.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    return context
