"""Learning as a job of the server: started, watched, paused, gone on with, and opened in the studio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.jobs import Jobs
from app.learned import ADVICE, LearnedShelf
from app.learning import work
from app.learning.downloads import learned_routes
from app.learning.example import PATH
from app.learning.example import SPEC as SPEC_OF_EXAMPLE
from app.learning.files import RunFiles
from app.learning.service import Learning
from app.learning.shelf import Run, RunLimits, Runs
from app.live import Scheduler
from app.settings import Settings
from app.state import default_state, parse_state
from app.studio.bench import ZooBench
from app.studio.rows import history_row
from app.uploads.intake import checked_checkpoint
from app.uploads.shelf import UploadLimits, Uploads
from app.visitors import SCOPE_KEY
from merging_core.checkpoints.ref import parse_ref
from merging_core.errors import CheckpointError
from tests.app.test_jobs import until

SPEC = {"method": {"name": "adamerging", "params": {"rate": 0.05}}, "steps": 6, "batch": 4, "check": {"every": 2}}
NEVER = 10**6


@dataclass
class Listener:
    """Stands in for the reporter of a job; stops the run after so many checks."""

    files: RunFiles
    checks: int

    def progress(self, share: float, what: str, done: int = 0) -> None:
        assert 0.0 <= share <= 1.0

    def cancelled(self) -> bool:
        return sum(line["kind"] == "checked" for line in self.files.said()) >= self.checks


@dataclass
class Room:
    """A server without a page."""

    bench: ZooBench
    jobs: Jobs
    runs: Runs
    learning: Learning

    def ask(self, name: str, message: dict[str, Any], visitor: str = "ann") -> dict[str, Any]:
        answer = self.learning.functions()[name](visitor, message)
        found: dict[str, Any] = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
        return found

    def state(self) -> dict[str, Any]:
        family = next(family for family in self.bench.families if family.name == "basins")
        state = default_state(family).as_json()
        recipe = {
            "version": 1,
            "base": family.base,
            "models": [{"ref": expert.ref} for expert in family.experts[:2]],
            "method": {"name": "task_arithmetic"},
        }
        return parse_state({**state, "recipe": recipe, "path": {"kind": "lambda"}}, self.bench.families).as_json()

    def begin(self, **changes: Any) -> dict[str, Any]:
        begun = self.ask("learn_start", {"state": self.state(), "spec": {**SPEC, **changes}})
        assert begun["ok"], begun
        run: dict[str, Any] = begun["run"]
        return run

    def run(self, shown: dict[str, Any]) -> Run:
        return self.runs.get("ann", shown["id"])

    def made(self, **changes: Any) -> Run:
        """A run whose job never began."""
        run, _ = self.learning.prepared("ann", parse_state(self.state(), self.bench.families), {**SPEC, **changes})
        return run

    def work_on(self, run: Run, checks: int = NEVER) -> dict[str, Any]:
        """Do in this process what its job would do."""
        family = next(family for family in self.bench.families if family.name == "basins")
        payload = self.learning._payload(run, family)
        files = self.runs.files(run)
        return work.learn(payload, files.folder, Listener(files, checks))  # type: ignore[arg-type]

    def ended(self, run: dict[str, Any], *states: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.ask("learn_watch", {"run": run["id"]})
            return found if found["run"]["state"] in states else None

        found: dict[str, Any] = until(look)
        return found


def opened(data: Path) -> Room:
    settings = Settings.from_env({"BASIN_DEVICE": "cpu", "BASIN_DATA": str(data)})
    learned = LearnedShelf(settings.data)
    bench, scheduler, jobs = ZooBench(settings, learned=learned), Scheduler(), Jobs(settings.scratch)
    runs = Runs(settings.scratch, learned)
    models = bench.models()
    return Room(bench, jobs, runs, Learning(bench, models, scheduler, jobs, runs, settings))


def closed(room: Room) -> None:
    room.jobs.close()
    room.runs.close()
    room.learning._errands.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = opened(tmp_path / "data")
    yield made
    closed(made)


def accuracy(room: Room, state: dict[str, Any]) -> float:
    shown = room.bench.accuracy(parse_state(state, room.bench.families), "validation", "full", lambda: False)
    found: float = shown.numbers["average"]["accuracy"]
    return found


def test_a_run_is_a_job_and_ends_as_a_recipe_that_the_studio_merges(room: Room) -> None:
    run = room.begin()
    found = room.ended(run, "finished", "failed")
    assert found["run"]["state"] == "finished", found["run"]["problems"]
    assert [check["step"] for check in found["numbers"]["checks"]] == [0, 2, 4, 6]
    assert found["numbers"]["baseline"]["n"] == found["numbers"]["checks"][0]["n"]
    again = room.ask("learn_watch", {"run": run["id"], "seen": found["seen"]})
    assert (again["numbers"], again["figures"]) == (None, None)
    result, studio = found["result"], found["run"]["studio"]
    assert studio["recipe"]["tensors"].startswith("learned:")
    assert accuracy(room, studio) == result["after"]["average"]["accuracy"]
    assert result["before"]["average"]["accuracy"] == result["baseline"]["average"]["accuracy"]
    until(lambda: room.ask("learn_runs", {})["ok"] and room.jobs.of("ann") == ())
    other = room.ask("learn_watch", {"run": run["id"]}, "bob")
    assert other["problems"][0]["must"] == "a run is one of yours and still kept"
    assert room.ask("learn_runs", {}, "bob")["runs"] == []


def test_a_run_that_stands_still_goes_on_to_the_bits_of_one_that_never_did(room: Room) -> None:
    whole, halting = room.made(), room.made()
    assert room.work_on(whole)["finished"] is True
    first = room.work_on(halting, checks=2)
    assert first["finished"] is False
    assert first["step"] == 2
    shown = room.ask("learn_watch", {"run": halting.id})
    assert (shown["run"]["state"], shown["run"]["step"]) == ("paused", first["step"])
    room.runs.files(halting).say({"kind": "moment", "step": 6, "loss": 9.0, "losses": [9.0]})
    assert room.work_on(halting)["finished"] is True
    one, other = (room.runs.files(run).read("result") or {} for run in (whole, halting))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}
    checks = [[line for line in room.runs.files(run).said() if line["kind"] == "checked"] for run in (whole, halting)]
    assert [line["average"] for line in checks[0]] == [line["average"] for line in checks[1]]
    assert 9.0 not in [line.get("loss") for line in room.runs.files(halting).said()]


def test_a_run_that_is_stopped_ends_with_the_best_so_far(room: Room) -> None:
    run = room.made()
    room.work_on(run, checks=2)
    room.runs.files(run).wish("stop")
    assert room.work_on(run)["finished"] is True
    result = room.runs.files(run).read("result") or {}
    assert result["stopped"] is True
    assert result["step"] < 6
    best = [line for line in room.runs.files(run).said() if line.get("best")][-1]
    assert result["kept_step"] == best["step"]


def test_after_a_restart_a_run_is_where_its_last_check_was(tmp_path: Path) -> None:
    room = opened(tmp_path / "data")
    run = room.made()
    run = room.runs.keep(run.changed(starts=1))
    room.work_on(run, checks=2)
    room.jobs._store.create("ann", "a run", f"learn {run.id} 1", "learn", datetime.now(UTC))
    closed(room)
    room = opened(tmp_path / "data")
    (shown,) = room.ask("learn_runs", {})["runs"]
    assert (shown["id"], shown["state"], shown["interrupted"], shown["problems"]) == (run.id, "paused", True, [])
    assert shown["step"] > 0
    assert room.jobs.of("ann") == ()
    closed(room)


def test_a_merge_that_was_learned_from_test_inputs_says_so_wherever_it_is_measured(room: Room) -> None:
    run, plain = room.made(split="test"), room.made()
    for one in (run, plain):
        room.work_on(one)
    results = [room.runs.files(one).read("result") or {} for one in (run, plain)]
    assert [result["transductive"] for result in results] == [True, False]
    for split, subset in (("validation", "full"), ("validation", "preview"), ("test", "full")):
        states = [parse_state({**run.state, "recipe": one["recipe"]}, room.bench.families) for one in results]
        shown = [room.bench.accuracy(state, split, subset, lambda: False).numbers for state in states]
        assert [numbers["transductive"] for numbers in shown] == [True, False]
    assert history_row("", "a merge", shown[0])["label"] == "a merge, transductive"


def test_learned_tensors_go_with_their_run_unless_something_names_them(room: Room) -> None:
    kept, gone = room.made(seed=1), room.made(seed=2)
    for run in (kept, gone):
        room.work_on(run)
        result = room.runs.files(run).read("result") or {}
        room.runs.keep(run.changed(learned=(result["recipe"]["tensors"],)))
    (kept, gone) = (room.runs.get("ann", run.id) for run in (kept, gone))
    (first,), (second,) = kept.learned, gone.learned
    state = replace(parse_state(kept.state, room.bench.families))
    named = {**kept.state, "recipe": {**state.recipe.as_json(), "tensors": first}}
    lost = {**gone.state, "recipe": {**state.recipe.as_json(), "tensors": second}}
    room.bench.named(parse_state(named, room.bench.families))
    before = accuracy(room, named)
    for run in (kept, gone):
        assert room.ask("learn_delete", {"run": run.id})["ok"]
    assert accuracy(room, named) == before
    with pytest.raises(CheckpointError) as missing:
        accuracy(room, lost)
    (problem,) = missing.value.problems
    assert (problem.where, problem.fix) == (f"tensors: learned:{second[8:16]}", ADVICE)
    assert room.runs.learned.size(second) == 0


def test_what_a_visitor_may_learn_has_bounds_and_what_is_old_goes(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    days = timedelta()

    def clock() -> datetime:
        return now + days

    learned = LearnedShelf(tmp_path, now=lambda: clock().timestamp())
    runs = Runs(None, learned, RunLimits(kept=2, visitor=10_000, total=1_000, seconds=60.0), now=clock)
    spec = {"method": {"name": "adamerging"}, "steps": 1}
    first, _ = (runs.create("ann", title, spec, {}) for title in "ab")
    runs.files(first).folder.joinpath("big").write_bytes(b"b" * 20_000)
    learned.root.mkdir()
    (learned.root / f"{'a' * 64}.safetensors").write_bytes(b"t" * 2_000)
    with pytest.raises(Exception, match="at most 2 runs") as refused:
        runs.create("ann", "c", spec, {})
    assert len(refused.value.problems) == 3  # type: ignore[attr-defined]
    days = timedelta(days=30)
    again = runs.create("ann", "c", spec, {})
    assert [run.id for run in runs.of("ann")] == [again.id]
    assert list(learned.root.iterdir()) == []
    runs.close()


def test_a_visitor_and_nobody_else_downloads_what_a_run_learned(room: Room) -> None:
    run = room.made()
    app = Starlette(routes=learned_routes(room.runs))

    def get(visitor: str, name: str) -> Any:
        async def asked(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, SCOPE_KEY: visitor}, receive, send)

        return TestClient(asked).get(f"/basin-learned/{run.id}/{name}")

    assert get("ann", "recipe.json").status_code == 404
    room.work_on(run)
    recipe = json.loads(get("ann", "recipe.json").text)
    tensors = get("ann", "recipe.tensors").content
    assert tensors == room.runs.learned.path(recipe["tensors"]).read_bytes()
    refused = [get("bob", "recipe.tensors"), get("ann", "run.json"), get("ann", "state.safetensors")]
    assert [answer.status_code for answer in refused] == [404, 404, 404]


def test_losses_are_of_the_tasks_that_are_learned_from_and_accuracies_of_all(room: Room) -> None:
    family = next(family for family in room.bench.families if family.name == "tiny")
    state = default_state(family)
    given = {**SPEC, "steps": 1, "batch": 1, "tasks": list(family.tasks[:2]), "learn_from": [family.tasks[1]]}
    run, payload = room.learning.prepared("ann", state, given)
    files = room.runs.files(run)
    work.learn(payload, files.folder, Listener(files, NEVER))  # type: ignore[arg-type]
    found = room.ask("learn_watch", {"run": run.id})
    curves = [trace["name"] for trace in found["figures"]["loss"]["data"] if trace.get("xaxis") == "x2"]
    assert curves == [family.title_of_task(family.tasks[1], "")]
    assert len(found["numbers"]["checks"][0]["tasks"]) == 2
    assert [len(row) for row in found["numbers"]["curve"]["losses"]] == [1]


def test_everything_that_is_wrong_with_what_is_asked_for_is_said(room: Room) -> None:
    def problems(state: dict[str, Any], **changes: Any) -> list[str]:
        answer = room.ask("learn_start", {"state": state, "spec": {**SPEC, **changes}})
        return [problem["where"] for problem in answer["problems"]]

    state = room.state()
    assert problems(state, steps=0, split="nowhere") == ["spec.steps", "spec.split"]
    assert problems(state, tasks=["tiny/digits"]) == ["tasks"]
    baseless = {**state["recipe"], "method": {"name": "linear"}, "base": None, "lambda": 1.0}
    assert problems({**state, "recipe": baseless}) == ["base"]
    assert room.ask("learn_wish", {"run": "x", "wish": "fly"})["problems"][0]["where"] == "message.wish"
    assert room.runs.of("ann") == ()


def test_a_trained_expert_ends_among_the_uploads_of_whoever_trained_it(room: Room, tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, UploadLimits(10**6, 10**6, 10**6, None))
    room.learning._uploads = uploads
    run = room.made(method={"name": "train_expert"}, steps=2, tasks=["basins/digits"])
    run = room.runs.keep(run.changed(starts=1))
    room.work_on(run)
    room.jobs._store.create("ann", "a run", f"learn {run.id} 1", "learn", datetime.now(UTC))
    found = room.ask("learn_watch", {"run": run.id})
    (upload,) = uploads.of("ann")
    assert found["run"]["state"] == "finished"
    assert (found["run"]["expert"], upload.name, upload.form) == (upload.ref, "digits-expert", "checkpoint")
    content = uploads.checkpoints.open(parse_ref(upload.ref)).content()
    assert content == found["result"]["digest"]
    assert not room.runs.files(run).expert.exists()
    assert found["numbers"]["yardstick"] == "the base"
    uploads.close()


def test_what_a_run_measured_is_merged_kept_and_downloaded(room: Room) -> None:
    run = room.made(method={"name": "regmean"}, steps=1, batch=8)
    room.work_on(run)
    result = room.runs.files(run).read("result") or {}
    measured = [entry["statistics"] for entry in result["recipe"]["models"]]
    assert result["recipe"]["method"]["name"] == "regmean" and len(set(measured)) == 2
    state = {**run.state, "recipe": result["recipe"]}
    assert accuracy(room, state) == pytest.approx(result["after"]["average"]["accuracy"])
    room.bench.named(parse_state(state, room.bench.families))
    assert all(room.runs.learned.is_named(ref) for ref in measured)
    app = Starlette(routes=learned_routes(room.runs))

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, SCOPE_KEY: "ann"}, receive, send)

    names = [f"{measured[0].removeprefix('learned:')}.safetensors", "recipe.tensors", f"{'0' * 64}.safetensors"]
    answers = [TestClient(asked).get(f"/basin-learned/{run.id}/{name}") for name in names]
    assert [answer.status_code for answer in answers] == [200, 404, 404]
    assert answers[0].content == room.runs.learned.path(measured[0]).read_bytes()


def test_each_model_is_measured_on_its_own_task_in_whatever_order_they_stand(room: Room) -> None:
    family = next(family for family in room.bench.families if family.name == "tiny")
    state = default_state(family).as_json()
    turned = {**state["recipe"], "models": state["recipe"]["models"][::-1]}
    found = parse_state({**state, "recipe": turned}, room.bench.families)
    _, spec = room.learning._checked(found, {"method": {"name": "fisher"}})
    own = {expert.ref.partition("@")[0]: expert.task for expert in family.experts}
    assert spec.tasks == tuple(own[ref.partition("@")[0]] for ref in spec.models)
    _, others = room.learning._checked(found, {"method": {"name": "adamerging"}})
    assert others.tasks == spec.tasks[::-1]


def test_what_was_learned_elsewhere_is_brought_as_an_upload_of_the_visitor(room: Room, tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, UploadLimits(10**6, 10**6, 10**6, None))
    room.learning._uploads = uploads
    run = room.made()
    room.work_on(run)
    recipe = (room.runs.files(run).read("result") or {})["recipe"]
    before = accuracy(room, {**run.state, "recipe": recipe})
    path = room.runs.learned.path(recipe["tensors"])
    with uploads.arriving("ann", path.stat().st_size) as place:
        path.rename(place.folder / "model.safetensors")
        upload = place.keep(checked_checkpoint(place.folder / "model.safetensors", b"", "recipe.tensors"), "recipe")
    assert room.ask("learn_bring", {"upload": upload.ref}, "bob")["problems"][0]["where"] == "upload"
    assert room.ask("learn_bring", {"upload": upload.ref})["learned"] == recipe["tensors"]
    assert uploads.of("ann") == ()
    assert accuracy(room, {**run.state, "recipe": recipe}) == before
    uploads.close()


def test_the_recorded_example_is_of_the_zoo_as_it_is(room: Room) -> None:
    told = room.ask("learn_example", {})["example"]
    first = default_state(room.bench.families[0])
    recorded = json.loads(PATH.read_text(encoding="utf-8"))
    assert recorded["pins"] == room.bench.pins(first)
    titles = [expert["title"] for expert in told["numbers"]["experts"]]
    assert titles == [expert.title for expert in room.bench.families[0].experts]
    assert told["numbers"]["steps"] == SPEC_OF_EXAMPLE["steps"]
    assert all(told["figures"][name] for name in ("loss", "accuracy", "coefficients"))
