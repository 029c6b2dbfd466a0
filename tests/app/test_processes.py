"""Processes of jobs begin quickly, and end with the server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SERVER = """
import time
from app.processes import process_of
from tests.app.test_processes import parent

if __name__ == "__main__":
    process, here, there = process_of(parent, (), "test")
    process.start()
    print(*here.recv(), flush=True)
    time.sleep(60)
"""


def parent(said: object, environment: dict[str, str]) -> None:
    loaded = "merging_core.learning" in sys.modules
    said.send((os.getppid(), loaded, os.environ.get("OMP_NUM_THREADS")))  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every process starts from nothing")
def test_what_jobs_need_is_loaded_before_they_begin_and_goes_when_the_server_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(_SERVER)
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        ground, loaded, threads = server.stdout.readline().decode().split()
        assert (loaded, threads) == ("True", "1")
        assert int(ground) != server.pid and Path(f"/proc/{ground}").exists()
        server.kill()
    end = time.monotonic() + 10
    while Path(f"/proc/{ground}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{ground}").exists()
