"""Merges whose processes are killed at random moments, again and again, until one ends: `tests.engines.killing`.

It reads a job as JSON from its argument and prints what happened as JSON. Processes are forked from this one, which has
imported everything and computed nothing, so that a kill costs milliseconds.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from merging_core.checkpoints import Catalog, draft
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan, stream_merge
from merging_core.engines.progress import Standing
from merging_core.recipes.parse import parse_recipe

NOTED, CHUNK = 1 << 14, 1000
"""Bytes between two notes of the journal, and elements of a piece."""


def merging(job: dict[str, Any], out: Path, told: int) -> NoReturn:
    """Merge, and end this process; what is said goes into a pipe: how much was there when it began."""
    draft._NOTED_EVERY = NOTED

    def hear(standing: Standing) -> None:
        if standing.what == "going on where it was stopped":
            os.write(told, f"{standing.written / standing.output}\n".encode())

    status = 1
    try:
        catalog = Catalog(load_zoo(), allow_files=True)
        plan = make_plan(parse_recipe(job["recipe"]), catalog)
        stream_merge(plan, catalog, out, progress=hear, chunk_elements=CHUNK, shard_bytes=job["shard_bytes"])
        status = 0
    finally:
        os._exit(status)


class Child:
    """One process that merges."""

    def __init__(self, job: dict[str, Any], out: Path) -> None:
        self.heard, told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.heard)
            merging(job, out, told)
        os.close(told)

    def ended(self, seconds: float | None) -> bool:
        """Wait for its end, at most so long; say whether it ended: then nobody holds the pipe any more."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self.heard], [], [], left)[0]:
                return False
            data = os.read(self.heard, 1 << 16)
            if not data:
                return True
            self.share = float(data.decode().split()[-1])

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        os.kill(self.pid, signal.SIGKILL)

    def status(self) -> int:
        """Return how it ended."""
        found = os.waitpid(self.pid, 0)[1]
        os.close(self.heard)
        return found

    share: float = 0.0
    """How much was there when it began."""


def main() -> None:
    """Carry out a job: merge once undisturbed, then in rounds of kills, and compare the bytes of all files."""
    job = json.loads(sys.argv[1])
    chance, root = random.Random(job["seed"]), Path(job["folder"])
    begun = time.monotonic()
    first = Child(job, root / "whole")
    first.ended(None)
    assert first.status() == 0, "a merge that nobody kills ends well"
    seconds = time.monotonic() - begun
    wanted = {path.name: path.read_bytes() for path in (root / "whole").iterdir()}
    kills, shares = 0, []
    for number in range(job["rounds"]):
        out = root / f"round{number}"
        for _ in range(chance.randint(1, 3)):
            child = Child(job, out)
            ended = child.ended(chance.uniform(0.0, 1.1) * seconds)
            child.kill()
            status = child.status()
            kills += status == signal.SIGKILL
            shares.append(child.share)
            assert not ended or status == 0, f"round {number}: a merge that nobody kills ends well"
            if out.exists():  # whole, as what is compared below says, also where the kill came right after
                break
        if not out.exists():
            last = Child(job, out)
            last.ended(None)
            shares.append(last.share)
            assert last.status() == 0, f"round {number}: a merge goes on after a kill"
        made = {path.name: path.read_bytes() for path in out.iterdir()}
        assert made == wanted, f"round {number}: the bytes are those of a merge that nobody killed"
    left = sorted(path.name for path in root.iterdir())
    assert left == sorted(["whole", *(f"round{number}" for number in range(job["rounds"]))]), left
    print(json.dumps({"kills": kills, "resumed": [share for share in shares if share], "seconds": seconds}))


if __name__ == "__main__":
    main()
