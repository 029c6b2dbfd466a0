"""What a process sets before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from merging_core.process import prepare_process

PROGRAM = """
import os, resource, sys
from merging_core.process import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
import torch
def resident():
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * resource.getpagesize() >> 20
before = resident()
blocks = [torch.ones(1 << 18) for _ in range(64)]
full = resident()
del blocks
print(full - before, resident() - before)
"""


def mebibytes(kind: str) -> tuple[int, int]:
    """Return how much more a process holds with 64 blocks of 1 MiB, and after it freed them."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("this C library has no such settings")
    assert done.returncode == 0, done.stderr
    full, after = done.stdout.split()
    return int(full), int(after)


def test_memory_that_was_freed_is_kept_for_the_next_use() -> None:
    full, after = mebibytes("keep")
    assert full >= 64 and after >= 60
    full, after = mebibytes("give back")
    assert full >= 64 and after <= 8


def test_huggingface_hub_finds_what_it_must_not_do_and_a_persons_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("IMPLICIT_TOKEN", "TELEMETRY", "PROGRESS_BARS", "XET")
    for name in names:
        monkeypatch.setenv(f"HF_HUB_DISABLE_{name}", "")
        monkeypatch.delenv(f"HF_HUB_DISABLE_{name}")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "0")
    prepare_process()
    assert [os.environ[f"HF_HUB_DISABLE_{name}"] for name in names] == ["1", "1", "1", "0"]
