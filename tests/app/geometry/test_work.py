"""The work of a study's job, in this process: stopped, killed and gone on with; and what is kept of memories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

from app.geometry import work
from app.geometry.jobs import StudyJobs
from app.geometry.memories import Memories
from app.geometry.question import Question, bench_for, question_of
from app.jobs import Jobs
from app.settings import Settings
from app.state import default_state
from app.studio.bench import ZooBench
from merging_core.analysis.studies.memory import Memory
from merging_core.errors import CancelledError
from merging_core.evaluation.evaluator import Evaluator

SPEC = {"study": {"name": "interpolate", "params": {"points": 5}}, "models": ["zoo:basins/left", "zoo:basins/right"]}


class Listener:
    """Stands in for the reporter of a job; stops the work after so many findings."""

    def __init__(self, stops_after: int = 10**6) -> None:
        self.shares: list[float] = []
        self.stops_after = stops_after

    def progress(self, share: float, what: str, done: int = 0) -> None:
        self.shares.append(share)

    def cancelled(self) -> bool:
        return len(self.shares) >= self.stops_after


@pytest.fixture
def bench(tmp_path: Path) -> ZooBench:
    return ZooBench(Settings.from_env({"BASIN_DEVICE": "cpu", "BASIN_DATA": str(tmp_path / "data")}))


@pytest.fixture
def question(bench: ZooBench) -> Question:
    state = default_state(next(one for one in bench.families if one.name == "basins"))
    return question_of(SPEC, state, bench.families)


def payload_of(bench: ZooBench, question: Question, tmp_path: Path) -> dict[str, Any]:
    settings = Settings.from_env({"BASIN_DEVICE": "cpu", "BASIN_DATA": str(tmp_path / "data")})
    study_jobs = StudyJobs(bench.models(), Memories(tmp_path), Jobs(None), settings)
    return study_jobs._payload(question, question.spec.identity(bench_for(question, bench.models())))


def test_a_study_that_was_stopped_goes_on_from_what_it_had_measured(
    bench: ZooBench, question: Question, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    scores = Evaluator.scores

    def counted(self: Evaluator, config: Any, weights: Any, parts: Any, cancelled: Any = None) -> Any:
        found = scores(self, config, weights, parts, cancelled)
        measured.append(sum(part.stop - part.start for part in parts))
        return found

    monkeypatch.setattr(Evaluator, "scores", counted)
    payload = payload_of(bench, question, tmp_path)
    folders = [tmp_path / name for name in ("stopped", "again", "killed")]
    for folder in folders:
        folder.mkdir()
    with pytest.raises(CancelledError):
        work.study(payload, folders[0], Listener(stops_after=4))  # type: ignore[arg-type]
    begun = sum(measured)
    labelled = {**payload, "transductive": True}
    result = work.study(labelled, folders[1], Listener())  # type: ignore[arg-type]
    found = work.finding_in(folders[1])
    assert found is not None
    assert (result["complete"], found["complete"], found["numbers"]["partial"]) == (True, True, False)
    assert found["numbers"]["transductive"] and found["numbers"]["sentence"].endswith("inputs of the test split.")
    whole = sum(measured)
    assert 0 < begun < whole == 5 * (200 + 897)
    assert sorted(path.name for path in (folders[1] / "result").iterdir())[0].endswith(".csv")
    late = {**payload, "seconds": 0.0, "memory": str(tmp_path / "late.npz")}
    with pytest.raises(CancelledError):
        work.study(late, folders[2], Listener())  # type: ignore[arg-type]


def test_the_time_of_a_job_ends_with_what_was_found(bench: ZooBench, question: Question, tmp_path: Path) -> None:
    payload = payload_of(bench, question, tmp_path)
    (tmp_path / "job").mkdir()
    listener = Listener()
    monotonic = work.time.monotonic

    def hurried() -> float:
        return monotonic() + (1e6 if len(listener.shares) > 2 else 0.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work.time, "monotonic", hurried)
        result = work.study(payload, tmp_path / "job", listener)  # type: ignore[arg-type]
    assert result["complete"] is False and 0.0 < result["share"] < 1.0
    assert (tmp_path / "job" / "result" / "numbers.json").is_file()


def test_memories_are_bounded_and_a_job_begins_with_what_is_known(tmp_path: Path) -> None:
    memories = Memories(tmp_path, most=3000, disk=10_000)
    a, b = "a" * 64, "b" * 64
    memories.of(a).put("x", values=numpy.zeros(250))
    memories.settle()
    assert "x" in memories.of(a)
    memories.of(b).put("x", values=numpy.zeros(250))
    memories.settle()
    assert "x" in memories.of(b) and "x" not in memories.of(a)

    path = memories.handed_over(b)
    assert "x" in Memory.load(path, b)
    more = Memory.load(path, b)
    more.put("y", values=numpy.zeros(250))
    more.save(path, b)
    assert memories.renew(b) and "y" in memories.of(b)
    assert not memories.renew(b)
    memories.handed_over(b)
    assert "y" in Memory.load(path, b)

    path.write_bytes(b"damaged")
    assert Memories(tmp_path / "elsewhere").renew(b) is False
    path.write_bytes(b"0" * 20_000)
    memories.handed_over(a)
    assert not path.exists()
    memories.close()
