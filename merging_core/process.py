"""What a process that merges and evaluates sets once, before torch is loaded."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["keep_freed_memory", "prepare_process"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Names of settings in glibc's malloc.h."""
_ENVIRONMENT = (
    ("OMP_WAIT_POLICY", "passive"),
    ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
    ("HF_HUB_DISABLE_TELEMETRY", "1"),
    ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
    ("HF_HUB_DISABLE_XET", "1"),
)
_KEPT = 512 << 20
_PAD = 16 << 20
_LARGEST = 32 << 20


def prepare_process() -> None:
    """Let threads that wait sleep, and let memory that was freed be used again.

    Waiting threads of torch spin by default and take the cores from evaluation and browser; the environment variable
    is read when torch is loaded. huggingface_hub must not send a token that lies on this machine for a visitor, nor
    tell which libraries there are, nor draw its own progress; it reads this when it is loaded. What the caller has set
    already stays.

    >>> prepare_process()
    """
    for name, value in _ENVIRONMENT:
        os.environ.setdefault(name, value)
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Keep up to 512 MiB that were freed instead of giving them back to the system; say whether that was possible.

    glibc gives every block above 128 KiB back as soon as it is freed, and the system clears its pages when it hands
    them out again. An evaluation needs dozens of such blocks a batch: clearing them took two fifths of its time
    (`python -m benchmarks.evaluation --only memory`). Other C libraries are left as they are.

    >>> keep_freed_memory() in (True, False)
    True
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _PAD))
    return all([mallopt(name, value) == 1 for name, value in settings])
