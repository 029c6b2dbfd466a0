"""Work for the tests of jobs; each runs in a process of its own."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

from app.worker import Reporter
from merging_core.errors import CancelledError, PlanError, Problem


def quick(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Write one file, and tell of it."""
    (folder / "result").mkdir()
    (folder / "result" / "weights.bin").write_bytes(b"w" * payload.get("bytes", 10))
    reporter.log("wrote the weights")
    reporter.progress(1.0, "done", 10)
    return {"name": "quick", "nice": os.nice(0), "threads": os.environ["OMP_NUM_THREADS"], "process": os.getpid()}


def patient(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Begin a file, and wait to be cancelled, or for the file that the payload names."""
    (folder / ".result.partial-0").mkdir()
    (folder / ".result.partial-0" / "weights.bin").write_bytes(b"half")
    reporter.log(f"process {os.getpid()}")
    reporter.progress(0.5, "waiting", 4, {"words": "4 B of 8 B"})
    while not reporter.cancelled():
        if payload.get("until") and Path(payload["until"]).exists():
            return {"name": "patient"}
        time.sleep(0.01)
    raise CancelledError(Problem("the work goes on", "a request to cancel it"))


def trusted(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Tell how long the secret is, and nothing else of it."""
    return {"letters": len(reporter.secret or "")}


def stubborn(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Never listen, and leave something elsewhere."""
    (folder / "half").write_bytes(b"half")
    reporter.leaves(Problem("nothing is left", "this", "elsewhere"))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reporter.log(f"process {os.getpid()}")
    while True:
        time.sleep(0.05)


def dies(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Be killed, as by a machine that is short of memory."""
    (folder / "result").mkdir()
    (folder / "result" / "half").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def refuses(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Say two things that are wrong."""
    raise PlanError(Problem("a", "b", "c"), Problem("d", "e", "f"))


def breaks(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Raise what is nobody's business."""
    raise RuntimeError("token=hf_secretsecretsecret in /home/somebody")


def fills_the_disk(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Find no room for a file."""
    (folder / "result").mkdir()
    raise OSError(errno.ENOSPC, "No space left on device", "/home/somebody/weights.bin")


def half(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Write half of a checkpoint as `merging_core` does, and wait; where a half is there already, be done."""
    place = folder / ".result.partial-0123456789abcdef"
    if place.exists():
        reporter.send("since", 0.5)
        shutil.rmtree(place)
        return quick(payload, folder, reporter)
    place.mkdir()
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    (place / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    (place / ".journal").write_text("half\n0 0 2\n")
    reporter.log(f"process {os.getpid()}")
    while True:
        time.sleep(0.05)


def slow_export(payload: Any, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Export, note every part at once, and stand still for ever after so many parts as the payload says."""
    from app.export.work import export
    from merging_core.checkpoints import draft

    written = itertools.count(1)
    write = draft.Draft.write

    def slowly(made: draft.Draft, name: str, start: int, values: Any) -> None:
        write(made, name, start, values)
        if next(written) >= payload["parts"]:
            reporter.log(f"process {os.getpid()}")
            threading.Event().wait()

    draft._NOTED_EVERY = 1
    draft.Draft.write = slowly  # type: ignore[method-assign]
    return export(payload, folder, reporter)
