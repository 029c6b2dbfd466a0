"""Jobs whose process was killed: what they had written is kept for a while, and the same work goes on with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.job_desk import shown
from app.job_keeping import timestamp, to_drop
from app.jobs import Job, Jobs, Limits
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan
from merging_core.engines.progress import Standing
from merging_core.export import export_checkpoint
from merging_core.recipes import parse_recipe
from tests.app.test_jobs import ROOT, WORKS, Clock, begun, ended, is_gone, left, running, until

RECIPE = {
    "version": 1,
    "base": "zoo:tiny/base",
    "models": [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/letters"}],
    "method": {"name": "ties"},
}
ZOO = ROOT / "assets" / "zoo"
HALF = [".journal", ".result.partial-0123456789abcdef", "job.json", "model.safetensors"]


def submit(jobs: Jobs, work: str = "half", visitor: str = "ann", rest: str = "rest", **payload: Any) -> Job:
    asked = {"state": {"version": 1}}
    return jobs.submit(
        visitor, title=work, work=WORKS + work, payload=payload, key=f"key {rest}", rest=rest, asked=asked
    )


def at_work(jobs: Jobs, job: Job) -> int:
    """Wait until the work itself has spoken since it was last cut off; return its process."""

    def spoken() -> str | None:
        said = [text for _, text in jobs.get(job.visitor, job.id).log]
        fresh = said[len(said) - said[::-1].index("failed") :] if "failed" in said else said
        return next((text for text in fresh if text.startswith("process ")), None)

    return int(until(spoken).removeprefix("process "))


def killed(jobs: Jobs, job: Job) -> Job:
    """Kill a job's process, and wait for the job's end."""
    os.kill(at_work(jobs, job), signal.SIGKILL)
    return ended(jobs, job)


def test_a_killed_worker_s_half_is_kept_said_and_gone_on_with(tmp_path: Path) -> None:
    with running(tmp_path) as jobs:
        cut = killed(jobs, submit(jobs))
        assert (cut.state, cut.share, cut.is_rest) == ("failed", 0.5, True) and cut.bytes > 0
        assert (
            "an end by signal 9 came; 50% is written and kept for 6 hours: start it again to go on"
            in (cut.problems[0]["sentence"])
        )
        assert left(tmp_path, cut) == HALF
        until_ = timestamp(datetime.fromisoformat(cut.finished) + timedelta(hours=6))
        assert shown(jobs, cut)["rest"] == {"until": until_, "asked": {"state": {"version": 1}}}
        assert jobs.cut_off("bob", "rest") is None and jobs.cut_off("ann", "other") is None
        again = submit(jobs)
        assert again.id == cut.id and len(jobs.of("ann")) == 1
        done = ended(jobs, again)
        assert (done.state, done.since, done.is_rest) == ("done", 0.5, False)
        assert left(tmp_path, done) == ["job.json", "result", "weights.bin"]


def test_a_stop_of_the_server_keeps_the_half_for_its_time_and_a_request_to_cancel_keeps_none(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, grace=0.1, now=clock) as jobs:
        cancelled = begun(jobs, submit(jobs))
        jobs.cancel("ann", cancelled.id)
        assert ended(jobs, cancelled).state == "cancelled" and left(tmp_path, cancelled) == ["job.json"]
        job = begun(jobs, submit(jobs))
        waits = submit(jobs, rest="waits")
    with running(tmp_path, now=clock) as jobs:
        found = jobs.get("ann", job.id)
        assert found.is_rest and "a stop of the server came; 50% is written" in found.problems[0]["sentence"]
        assert left(tmp_path, found) == HALF
        none = jobs.get("ann", waits.id)
        assert not none.is_rest and "nothing of it is left" in none.problems[0]["sentence"]
    clock.time += timedelta(hours=6, seconds=1)
    with running(tmp_path, now=clock) as jobs:
        jobs.open()
        assert not (tmp_path / "jobs" / found.id).exists()


def test_what_was_cut_off_counts_as_a_result_and_goes_when_it_is_too_old() -> None:
    made = Job("", "ann", "", "", "", state="done", finished="2030-01-01T00:00:00Z", bytes=10)
    half, other = made.changed(state="failed", rest="a"), made.changed(visitor="bob", state="failed", rest="b")
    now = datetime(2030, 1, 1, 0, 30, tzinfo=UTC)
    limits = Limits(rests=3600.0)
    jobs = [half, made, other]
    assert to_drop(jobs, limits, now) == []
    assert to_drop(jobs, replace(limits, kept=1), now) == [half]
    assert to_drop(jobs, replace(limits, bytes=20), now) == [half]
    assert to_drop(jobs, limits, now + timedelta(minutes=31)) == [half, other]


SERVER = """
import json, sys, time
from pathlib import Path
from app.jobs import Jobs
from tests.app.test_jobs_go_on import submit
if __name__ == "__main__":
    jobs = Jobs(Path(sys.argv[1]))
    job = submit(jobs, "slow_export", **json.loads(sys.argv[2]))
    while not (said := [text for _, text in jobs.get("ann", job.id).log if text.startswith("process ")]):
        assert jobs.get("ann", job.id).state != "failed"
        time.sleep(0.02)
    print(job.id, said[0].split()[1], flush=True)
    time.sleep(3600)
"""


def test_an_export_goes_on_after_a_killed_server_and_a_killed_worker_to_the_same_bytes(tmp_path: Path) -> None:
    catalog = Catalog(load_zoo(ZOO))
    plan = make_plan(parse_recipe(RECIPE), catalog)
    nothing = dict.fromkeys(("models", "uploads", "hub_cache", "learned"))
    payload = {"zoo": str(ZOO), "recipe": RECIPE, "hash": plan.hash, "name": "merge", "shard_bytes": 1_000_000}
    payload |= {**nothing, "results": [], "data": {}, "charts": []}
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    command = [sys.executable, str(script), str(tmp_path), json.dumps({**payload, "parts": 30})]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            id_, process = server.stdout.readline().split()
        finally:
            server.send_signal(signal.SIGKILL)
    until(lambda: is_gone(int(process)))
    with running(tmp_path) as jobs:
        first = jobs.get("ann", id_)
        assert first.is_rest and 0.0 < first.share < 1.0 and "a stop of the server" in first.problems[0]["sentence"]
        second = submit(jobs, "slow_export", **payload, parts=30)
        at_work(jobs, second)
        assert jobs.get("ann", id_).since == first.share
        second = killed(jobs, second)
        assert (second.id, second.is_rest) == (id_, True) and first.share < second.share < 1.0
        whole = export_checkpoint(plan, catalog, tmp_path / "whole", shard_bytes=1_000_000)
        with jobs.reading("ann", id_) as folder:
            standings: list[Standing] = []
            made = export_checkpoint(plan, catalog, folder / "result", shard_bytes=1_000_000, progress=standings.append)
            merging = next(standing for standing in standings if standing.stage == "merge")
            assert merging.written == pytest.approx(second.share * plan.output_bytes) and merging.written > 0
            assert {path.name: path.read_bytes() for path in made.iterdir()} == {
                path.name: path.read_bytes() for path in whole.iterdir()
            }
            assert sorted(path.name for path in folder.iterdir()) == ["job.json", "result"]
