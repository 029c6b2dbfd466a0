"""Jobs: whole or not at all, one visitor's own, stopped when asked, and never longer alive than their server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.job_desk import files_of, shown
from app.jobs import Job, JobError, Jobs, Limits
from app.live import BusyError

ROOT = Path(__file__).resolve().parents[2]
WORKS = "tests.app.job_works:"
PATIENCE = 120.0


def until(condition: Callable[[], Any]) -> Any:
    """Wait until something holds; how long that takes proves nothing."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)
    return found


@contextmanager
def running(data: Path | None, **more: Any) -> Iterator[Jobs]:
    jobs = Jobs(data, **more)
    try:
        yield jobs
    finally:
        jobs.close()


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with running(tmp_path, grace=0.3) as made:
        yield made


def submit(jobs: Jobs, work: str, visitor: str = "ann", key: str = "", **payload: Any) -> Job:
    return jobs.submit(visitor, title=work, work=WORKS + work, payload=payload, key=key or f"{work} {time.monotonic()}")


def ended(jobs: Jobs, job: Job) -> Job:
    found: Job = until(lambda: (now := jobs.get(job.visitor, job.id)).state not in ("queued", "running") and now)
    return found


def begun(jobs: Jobs, job: Job) -> Job:
    """Wait until the work itself has spoken."""
    found: Job = until(lambda: (now := jobs.get(job.visitor, job.id)).log and now)
    return found


def left(data: Path, job: Job) -> list[str]:
    return sorted(path.name for path in (data / "jobs" / job.id).rglob("*"))


def process_of(job: Job) -> int:
    return int(next(text for _, text in job.log if text.startswith("process ")).removeprefix("process "))


def is_gone(process: int) -> bool:
    """Whether a process has ended; one that nobody has collected yet has ended too."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_job_runs_politely_in_a_process_of_its_own_and_is_kept(jobs: Jobs, tmp_path: Path) -> None:
    job = submit(jobs, "quick")
    assert job.state == "queued"
    done = ended(jobs, job)
    assert done.state == "done" and done.share == 1.0 and done.result is not None
    assert done.result["process"] != os.getpid() and done.result["threads"] == "1"
    assert done.result["nice"] >= min(19, os.nice(0) + 10)
    assert [text for _, text in done.log] == ["wrote the weights", "done"]
    assert left(tmp_path, job) == ["job.json", "result", "weights.bin"]
    assert done.bytes >= 10


@pytest.mark.parametrize("work", ["patient", "stubborn"])
def test_a_job_is_cancelled_whether_it_listens_or_not_and_leaves_nothing(work: str, jobs: Jobs, tmp_path: Path) -> None:
    job = begun(jobs, submit(jobs, work))
    if work == "patient":
        assert until(lambda: shown(jobs, jobs.get("ann", job.id))["standing"]) == {"words": "4 B of 8 B"}
    assert jobs.cancel("ann", job.id).state == "running"
    now = ended(jobs, job)
    assert (now.state, now.standing) == ("cancelled", None)
    assert [problem["where"] for problem in now.problems] == (["elsewhere"] if work == "stubborn" else [])
    until(lambda: is_gone(process_of(job)))
    assert left(tmp_path, job) == ["job.json"]
    assert jobs.cancel("ann", job.id).state == "cancelled"


def test_a_job_that_waits_is_cancelled_at_once(jobs: Jobs) -> None:
    first = begun(jobs, submit(jobs, "patient"))
    second = submit(jobs, "quick")
    assert jobs.ahead(second) == 1
    assert jobs.cancel("ann", second.id).state == "cancelled"
    jobs.cancel("ann", first.id)
    assert ended(jobs, first).state == "cancelled"
    assert jobs.get("ann", second.id).result is None


def test_a_job_that_waits_for_a_network_does_not_hold_up_one_that_computes(jobs: Jobs) -> None:
    download = jobs.submit("ann", title="", work=f"{WORKS}patient", payload={}, key="far", kind="download")
    begun(jobs, download)
    quick = submit(jobs, "quick")
    assert jobs.ahead(quick) == 0
    assert ended(jobs, quick).state == "done"
    assert jobs.get("ann", download.id).state == "running"
    assert [job.id for job in jobs.of("ann", "download")] == [download.id]
    assert [job.id for job in jobs.of("ann")] == [quick.id, download.id]
    jobs.cancel("ann", download.id)
    assert ended(jobs, download).state == "cancelled"


def test_a_secret_reaches_the_work_and_no_file(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.submit("ann", title="", work=f"{WORKS}trusted", payload={}, key="k", secret="hf_" + "C" * 34)
    done = ended(jobs, job)
    assert done.result == {"letters": 37}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(b"CCCC" in path.read_bytes() for path in files)


def test_a_killed_worker_is_said_leaves_nothing_and_the_next_job_works(jobs: Jobs, tmp_path: Path) -> None:
    killed = ended(jobs, submit(jobs, "dies"))
    assert killed.state == "failed"
    assert "a worker process runs to its end, but an end by signal 9 came" in killed.problems[0]["sentence"]
    assert left(tmp_path, killed) == ["job.json"]
    assert ended(jobs, submit(jobs, "quick")).state == "done"


def test_what_a_person_can_act_on_is_said_and_the_rest_is_not(
    jobs: Jobs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused = ended(jobs, submit(jobs, "refuses"))
    assert [problem["sentence"] for problem in refused.problems] == ["c: a, but b came.", "f: d, but e came."]
    broken = ended(jobs, submit(jobs, "breaks"))
    record = (tmp_path / "jobs" / broken.id / "job.json").read_text()
    assert "Something went wrong inside Basin" in broken.problems[0]["sentence"]
    assert "hf_" not in record and "/home/" not in record
    assert "hf_secret" not in capfd.readouterr().err
    full = ended(jobs, submit(jobs, "fills_the_disk"))
    assert [problem["sentence"] for problem in full.problems] == [
        "job: the server's disk takes the result, but a full disk came; "
        "nothing of it is left; try again when there is room."
    ]
    assert [path.name for path in (tmp_path / "jobs" / full.id).iterdir()] == ["job.json"]
    lost = ended(jobs, jobs.submit("ann", title="", work="tests.app.job_works:nothing", payload={}, key="lost"))
    assert lost.state == "failed"


def test_a_job_of_somebody_else_is_as_unknown_as_one_that_never_was(jobs: Jobs) -> None:
    job = ended(jobs, submit(jobs, "quick", "ann"))
    said = []
    for visitor, id_ in (("bob", job.id), ("bob", "0" * 32), ("bob", "../x"), ("bob", "")):
        for act in (jobs.get, jobs.cancel, jobs.forget):
            with pytest.raises(JobError) as caught:
                act(visitor, id_)
            said.append(str(caught.value))
        with pytest.raises(JobError) as caught, jobs.reading(visitor, id_):
            pytest.fail("somebody else's files were opened")
        said.append(str(caught.value))
    assert len(set(said)) == 1 and jobs.of("bob") == ()
    assert [found.id for found in jobs.of("ann")] == [job.id]


def test_asking_twice_is_one_job_and_asking_again_after_a_failure_is_another(jobs: Jobs) -> None:
    first = submit(jobs, "quick", key="same")
    assert submit(jobs, "quick", key="same").id == first.id
    assert submit(jobs, "quick", "bob", key="same").id != first.id
    assert ended(jobs, first).state == "done"
    assert submit(jobs, "quick", key="same").id == first.id
    failed = ended(jobs, submit(jobs, "refuses", key="refused"))
    assert submit(jobs, "refuses", key="refused").id != failed.id


def test_visitors_and_the_server_have_only_so_many_waiting(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(unfinished=2, waiting=2), grace=0.3) as jobs:
        begun(jobs, submit(jobs, "patient"))
        submit(jobs, "patient")
        with pytest.raises(BusyError, match="at most 2 jobs that wait or run, but one more came"):
            submit(jobs, "patient")
        submit(jobs, "patient", "bob")
        with pytest.raises(BusyError, match="at most 2 jobs wait on this server"):
            submit(jobs, "patient", "cid")


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(seconds=0.0), grace=0.1) as jobs:
        job = ended(jobs, submit(jobs, "stubborn"))
    assert job.state == "failed"
    assert "at most 0 minutes" in job.problems[0]["sentence"]


def test_results_are_found_again_by_the_next_server(tmp_path: Path) -> None:
    with running(tmp_path) as jobs:
        done = ended(jobs, submit(jobs, "quick", key="kept"))
    with running(tmp_path) as jobs:
        assert jobs.get("ann", done.id) == done
        assert submit(jobs, "quick", key="kept").id == done.id
        with jobs.reading("ann", done.id) as folder:
            assert (folder / "result" / "weights.bin").read_bytes() == b"w" * 10


def test_a_stop_of_the_server_interrupts_what_runs_and_what_waits(tmp_path: Path) -> None:
    with running(tmp_path) as jobs:
        first = begun(jobs, submit(jobs, "stubborn"))
        far = begun(jobs, jobs.submit("bob", title="", work=f"{WORKS}patient", payload={}, key="far", kind="download"))
        second = submit(jobs, "quick")
    until(lambda: is_gone(process_of(first)))
    with running(tmp_path) as jobs:
        for job, kept in (
            (first, "nothing of it is left"),
            (second, "nothing of it is left"),
            (far, "what came is kept"),
        ):
            found = jobs.get(job.visitor, job.id)
            assert found.state == "failed"
            sentence = found.problems[0]["sentence"]
            assert "a job runs to its end, but a stop of the server came" in sentence and kept in sentence
            assert [one["where"] for one in found.problems[1:]] == (["elsewhere"] if job is first else [])
            assert left(tmp_path, job) == ["job.json"]
        assert ended(jobs, submit(jobs, "quick")).state == "done"


SERVER = """
import sys, time
from pathlib import Path
from app.jobs import Jobs
if __name__ == "__main__":
    jobs = Jobs(Path(sys.argv[1]))
    job = jobs.submit("ann", title="", work="tests.app.job_works:stubborn", payload={}, key="k")
    while not jobs.get("ann", job.id).log:
        time.sleep(0.02)
    print(job.id, jobs.get("ann", job.id).log[0][1].split()[1], flush=True)
    time.sleep(3600)
"""


def test_no_worker_outlives_a_killed_server_and_the_next_server_says_what_happened(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            id_, process = server.stdout.readline().split()
            assert not is_gone(int(process))
        finally:
            server.send_signal(signal.SIGKILL)
    until(lambda: is_gone(int(process)))
    with running(tmp_path) as jobs:
        job = jobs.get("ann", id_)
        assert job.state == "failed" and "a stop of the server" in job.problems[0]["sentence"]
        assert left(tmp_path, job) == ["job.json"]


def test_a_second_server_on_the_same_data_leaves_the_first_one_s_jobs_alone(tmp_path: Path) -> None:
    with running(tmp_path, grace=0.3) as first, running(tmp_path) as second:
        job = begun(first, submit(first, "patient"))
        assert second.of("ann") == ()
        other = ended(second, submit(second, "quick"))
        assert other.state == "done" and not (tmp_path / "jobs" / other.id).exists()
        assert first.get("ann", job.id).state == "running"


def test_without_a_data_folder_results_lie_in_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with running(None) as jobs:
        job = ended(jobs, submit(jobs, "quick"))
        (folder,) = tmp_path.iterdir()
        assert (folder / job.id / "result" / "weights.bin").is_file()
    assert list(tmp_path.iterdir()) == []


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def test_results_go_by_age_number_and_size_the_oldest_first(tmp_path: Path) -> None:
    clock = Clock()
    with running(tmp_path, limits=Limits(kept=2, bytes=100_000, age=3600), now=clock) as jobs:
        many = [ended(jobs, submit(jobs, "quick", bytes=1_500)) for _ in range(3)]
        until(lambda: [job.id for job in jobs.of("ann")] == [many[2].id, many[1].id])
        large = ended(jobs, submit(jobs, "quick", "bob", bytes=98_000))
        until(lambda: jobs.of("ann") == ())
        assert [job.id for job in jobs.of("bob")] == [large.id]
        clock.time += timedelta(hours=2)
        last = ended(jobs, submit(jobs, "quick", "cid"))
        assert jobs.of("bob") == () and jobs.of("cid") == (last,)
    kept = [path.name for path in (tmp_path / "jobs").iterdir() if path.is_dir()]
    assert kept == [last.id]


def test_files_that_are_read_stay_until_they_are_read(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(kept=1)) as jobs:
        first = ended(jobs, submit(jobs, "quick"))
        with jobs.reading("ann", first.id) as folder:
            ended(jobs, submit(jobs, "quick"))
            ended(jobs, submit(jobs, "quick"))
            assert (folder / "result" / "weights.bin").is_file()
            with pytest.raises(BusyError, match="is not read"):
                jobs.forget("ann", first.id)
        jobs.forget("ann", first.id)
        assert not folder.exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"id": 1}', '{"log": [1]}'])
def test_a_damaged_record_is_no_job_and_its_folder_goes(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / ("a" * 32)
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(damage)
    (tmp_path / "jobs" / "notes").mkdir()
    with running(tmp_path) as jobs:
        assert jobs.of("ann") == ()
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == [".lock", "notes"]


def test_a_folder_that_somebody_deletes_stops_no_other_job(jobs: Jobs, tmp_path: Path) -> None:
    lost = begun(jobs, submit(jobs, "patient"))
    shutil.rmtree(tmp_path / "jobs" / lost.id)
    jobs.cancel("ann", lost.id)
    assert ended(jobs, lost).state == "cancelled"
    done = ended(jobs, submit(jobs, "quick"))
    assert list(files_of(jobs, done)) == ["weights.bin"]
    shutil.rmtree(tmp_path / "jobs" / done.id / "result")
    assert files_of(jobs, done) == {}


def test_what_a_job_uses_is_in_use_until_it_has_ended(jobs: Jobs) -> None:
    assert jobs.used() == frozenset()
    job = jobs.submit("ann", title="wait", work=f"{WORKS}patient", payload={}, key="wait", uses=("upload:a", "zoo:b"))
    assert jobs.used() == {"upload:a", "zoo:b"}
    jobs.cancel("ann", job.id)
    assert ended(jobs, job).uses == ("upload:a", "zoo:b")
    assert jobs.used() == frozenset()
