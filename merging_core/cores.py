"""Worker threads of which each uses one core from end to end.

An operation that torch splits over threads ends in a barrier; when other programs use the cores, each barrier waits for
the slowest. Independent pieces of work side by side have no barriers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

__all__ = ["MAX_WORKERS", "cores", "on_one_core", "one_core", "single_threaded_pool"]

MAX_WORKERS = 8

Found = TypeVar("Found")


def cores() -> int:
    """Return how many cores this process may use.

    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def single_threaded_pool(workers: int, name: str) -> ThreadPoolExecutor:
    """Start threads in which torch uses one core; the setting of every other thread stays what it was.

    >>> pool = single_threaded_pool(1, "example")
    >>> pool.submit(torch.get_num_threads).result()
    1
    """
    before = torch.get_num_threads()
    all_started = threading.Barrier(workers + 1)

    def settle() -> None:
        # A thread takes the process's number at its first question or operation, and would lose this one then.
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_started.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    for _ in range(workers):
        pool.submit(settle)
    all_started.wait()
    torch.set_num_threads(before)
    return pool


def on_one_core(function: Callable[[], Found]) -> Found:
    """Return function(), carried out on one core, so that products round alike however many there are.

    A thread that uses several hands the work to one that does not, and waits.

    >>> on_one_core(torch.get_num_threads)
    1
    """
    return function() if torch.get_num_threads() == 1 else _lone_worker().submit(function).result()


@contextmanager
def one_core() -> Iterator[None]:
    """Let torch use one core for what this thread does inside, beside workers that use the others.

    Threads that torch starts for an operation go on spinning for a while afterwards, and take the workers' time.

    >>> with one_core():
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _lone_worker() -> ThreadPoolExecutor:
    return single_threaded_pool(1, "basin-one-core")
