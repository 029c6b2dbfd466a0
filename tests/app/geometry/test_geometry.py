"""Studies on a server without a page: looked at piece by piece, gone on with as a job, and sent as a link."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from app.charts.geometry.registry import drawing
from app.charts.pictures import render
from app.geometry.jobs import StudyJobs
from app.geometry.memories import Memories
from app.geometry.service import Geometry
from app.jobs import Jobs
from app.learned import LearnedShelf
from app.ledger import Ledger
from app.live import Scheduler
from app.settings import Settings
from app.state import default_state
from app.studio.bench import ZooBench
from app.studio.service import Studio
from app.studio.slow_merges import SlowMerges
from merging_core.analysis.studies.registry import studies
from merging_core.evaluation.evaluator import Evaluator
from tests.app.test_jobs import until

LEFT, STRANGER = "zoo:basins/left", "zoo:basins/stranger-1"
SPEC = {"study": {"name": "interpolate", "params": {"points": 5}}, "models": [LEFT, STRANGER]}


@dataclass
class Room:
    """A server without a page."""

    bench: ZooBench
    jobs: Jobs
    geometry: Geometry
    memories: Memories

    def ask(self, name: str, message: dict[str, Any], visitor: str = "ann") -> dict[str, Any]:
        answer = self.geometry.functions()[f"geometry_{name}"](visitor, message)
        found: dict[str, Any] = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
        return found

    def state(self) -> dict[str, Any]:
        return default_state(next(one for one in self.bench.families if one.name == "basins")).as_json()

    def look(self, spec: dict[str, Any], visitor: str = "ann", **more: Any) -> dict[str, Any]:
        message = {"page": "p", "seq": 1, "state": self.state(), "spec": spec, **more}
        return self.ask("look", message, visitor)

    def whole(self, spec: dict[str, Any], visitor: str = "ann") -> list[dict[str, Any]]:
        """Ask until there is nothing more, as a page does."""
        found: list[dict[str, Any]] = []
        while not found or not (found[-1]["complete"] or found[-1]["long"]):
            found.append(self.look(spec, visitor))
            assert found[-1]["ok"], found[-1]
        return found


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    settings = Settings.from_env({"BASIN_DEVICE": "cpu", "BASIN_DATA": str(tmp_path / "data")})
    bench, line, jobs = ZooBench(settings), Scheduler(), Jobs(settings.scratch)
    slow, memories = SlowMerges(bench), Memories(settings.scratch)
    study_jobs = StudyJobs(bench.models(), memories, jobs, settings)
    geometry = Geometry(bench, line, line, slow, jobs, study_jobs, memories)
    geometry._looks._seconds = 0.0
    yield Room(bench, jobs, geometry, memories)
    jobs.close()
    line.close()
    slow.close()
    memories.close()


def measured_again(*_: object) -> None:
    raise AssertionError("it was measured already")


def sentences(answer: dict[str, Any]) -> str:
    assert answer["ok"] is False
    return " ".join(problem["sentence"] for problem in answer["problems"])


def test_every_study_is_offered_with_its_controls_and_its_figures(room: Room) -> None:
    offer = room.ask("offer", {"state": room.state()})
    assert [study["name"] for study in offer["studies"]] == [info.name for info in studies()]
    for study in offer["studies"]:
        drawn = drawing(study["name"])
        names = [] if drawn is None else [figure.name for figure in drawn.figures]
        assert [figure["name"] for figure in study["figures"]] == names
    assert [model["title"] for model in offer["models"]][:2] == ["base", "Left"]
    json.dumps(offer)


def test_a_study_refines_from_request_to_request_until_it_is_complete(room: Room) -> None:
    answers = room.whole(SPEC)
    assert len(answers) > 2
    assert [answer["complete"] for answer in answers[:-1]] == [False] * (len(answers) - 1)
    first, last = answers[0], answers[-1]
    assert (first["numbers"]["partial"], last["numbers"]["partial"]) == (True, False)
    assert len(first["numbers"]["points"]) < len(last["numbers"]["points"]) == 5
    assert (last["spec"]["base"], last["spec"]["tasks"]) == ("zoo:basins/start", ["basins/digits"])
    assert all(len(row) == len(table["header"]) for table in last["tables"].values() for row in table["rows"])
    for figure in last["figures"].values():
        assert render(figure, form="png", width=480, height=300, scale=0.5).startswith(b"\x89PNG")
    assert room.look(SPEC)["numbers"] == last["numbers"]


def test_two_visitors_who_ask_the_same_measure_it_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = room.whole(SPEC)[-1]
    monkeypatch.setattr(Evaluator, "_outputs", measured_again)
    pinned = {**SPEC, "models": [LEFT, f"{STRANGER}@{room.bench.models().engine.opened(STRANGER).content()[:16]}"]}
    bob = room.whole(pinned, "bob")[-1]
    assert (bob["numbers"]["points"], bob["numbers"]["models"]) == (ann["numbers"]["points"], pinned["models"])


def test_the_studios_merge_may_be_one_of_the_models(room: Room) -> None:
    merge = {"recipe": room.state()["recipe"]}
    answer = room.look({**SPEC, "models": [LEFT, merge]})
    assert answer["numbers"]["models"] == [LEFT, "merge"]
    titles = [(model["title"], model["kind"]) for model in answer["about"]["models"]]
    assert titles == [("Left", "expert"), ("merge", "merge")]


def test_a_merge_that_was_adapted_to_test_inputs_is_named_beside_its_numbers(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = LearnedShelf(tmp_path)
    monkeypatch.setattr(room.geometry, "_learned", shelf)
    merge = {**SPEC, "models": [LEFT, {"recipe": room.state()["recipe"]}]}
    assert "ransductive" not in room.look(merge)["numbers"]["sentence"]
    monkeypatch.setattr(shelf, "is_transductive", lambda *_: True)
    numbers = room.look(merge)["numbers"]
    assert numbers["transductive"] is True and "Transductive: a merge was adapted" in numbers["sentence"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"models": [LEFT, "zoo:tiny/digits"]}, "a study is asked of models of Digit MLPs"),
        ({"models": [LEFT, "file:/etc/passwd"]}, "a study is asked of models of Digit MLPs"),
        ({"tasks": ["tiny/digits"]}, "a study measures on tasks of Digit MLPs"),
        ({"splits": ["test"]}, "test is for reporting"),
        ({"study": {"name": "interpolat"}}, "did you mean “interpolate”?"),
        ({"models": [LEFT]}, "takes 2 to 16 models"),
    ],
)
def test_what_does_not_belong_to_the_family_is_refused(room: Room, changed: dict[str, Any], sentence: str) -> None:
    for name in ("look", "start", "share"):
        more = {"page": "p", "seq": 1} if name == "look" else {}
        answer = room.ask(name, {"state": room.state(), "spec": {**SPEC, **changed}, **more})
        assert sentence in sentences(answer)


def test_a_family_without_a_task_has_nothing_to_measure_on(room: Room) -> None:
    name = 'own:{"base":"zoo:basins/start","experts":[["zoo:basins/left",null],["zoo:basins/right",null]],"tasks":[]}'
    models = [{"ref": LEFT}, {"ref": "zoo:basins/right"}]
    state = {**room.state(), "family": name, "path": {"kind": "lambda"}}
    state["recipe"] = {**state["recipe"], "models": models}
    spec = {**SPEC, "models": [LEFT, "zoo:basins/right"]}
    answer = room.ask("look", {"page": "p", "seq": 1, "state": state, "spec": spec})
    assert "a study measures models on tasks" in sentences(answer)


def test_a_job_goes_on_from_what_looking_has_measured_and_keeps_its_last_finding(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.look(SPEC)
    message = {"state": room.state(), "spec": SPEC}
    job = room.ask("start", message)["job"]
    assert room.ask("start", message)["job"]["id"] == job["id"]

    def whole() -> dict[str, Any] | None:
        found = room.ask("watch", {"job": job["id"]})
        assert found["job"]["state"] in ("queued", "running", "done"), found["job"]["problems"]
        return found if found["job"]["state"] == "done" else None

    last = until(whole)
    assert last["complete"] and last["job"]["result"]["complete"]
    assert {one["name"] for one in last["job"]["files"]} == {
        "numbers.json",
        *(f"{name}.csv" for name in last["tables"]),
    }
    seen = room.ask("watch", {"job": job["id"], "seen": last["seen"]})
    assert (seen["seen"], seen["numbers"], seen["figures"]) == (last["seen"], None, None)
    monkeypatch.setattr(Evaluator, "_outputs", measured_again)
    again = room.whole(SPEC)[-1]["numbers"]["points"]
    assert [(point["t"], point["scores"][0]["n"]) for point in again] == [
        (point["t"], point["scores"][0]["n"]) for point in last["numbers"]["points"]
    ]
    assert room.ask("start", message)["job"]["id"] == job["id"]
    assert "one of yours" in sentences(room.ask("watch", {"job": job["id"]}, "bob"))


def test_looking_stops_before_a_training_and_a_job_goes_through_it(room: Room) -> None:
    params = {"points": 3, "steps": 3, "batch": 8}
    spec = {"study": {"name": "curve", "params": params}, "models": [LEFT, STRANGER], "subset": "preview"}
    before = room.whole(spec)[-1]
    assert before["long"] and [path["what"] for path in before["numbers"]["paths"]] == ["line"]
    assert "growth" not in before["figures"]
    job = room.ask("start", {"state": room.state(), "spec": spec})["job"]

    def whole() -> dict[str, Any] | None:
        found = room.ask("watch", {"job": job["id"]})
        assert found["job"]["state"] in ("queued", "running", "done"), found["job"]["problems"]
        return found if found["job"]["state"] == "done" else None

    last = until(whole)
    assert last["numbers"]["step"] == 3 and set(last["figures"]) == {"curve", "growth"}
    after = room.whole(spec)[-1]
    assert after["complete"] and after["numbers"] == last["numbers"]


def test_a_link_carries_the_study_and_opens_with_the_state(room: Room, tmp_path: Path) -> None:
    merge = {"recipe": room.state()["recipe"]}
    spec = {**SPEC, "models": [LEFT, merge]}
    shared = parse_qs(room.ask("share", {"state": room.state(), "spec": spec})["query"])
    query = {name: values[0] for name, values in shared.items()}
    studio = Studio(room.bench, Ledger(tmp_path), Scheduler(), Scheduler())
    opened = studio.hello("ann", {"link": query["s"], "geometry": query["g"]})
    assert opened.get("notice") is None
    assert opened["state"] == room.state()
    assert opened["geometry"] == room.look(spec)["spec"]
    damaged = studio.hello("ann", {"link": query["s"], "geometry": query["g"][:-3]})
    assert damaged["geometry"] is None and "study that this Basin cannot show" in damaged["notice"]
    assert damaged["state"] == room.state()
    elsewhere = studio.hello("ann", {"geometry": query["g"]})
    assert elsewhere["geometry"] is None and "models of" in elsewhere["notice"]
    studio.close()


def test_the_examples_that_make_a_barrier_come_as_pictures(room: Room) -> None:
    last = room.whole(SPEC)[-1]
    found = last["numbers"]["examples"][0]
    examples = [{"task": row["task"], "example": row["example"]} for row in found["rows"]]
    message = {"state": room.state(), "spec": last["spec"], "split": found["split"], "examples": examples}
    answer = room.ask("pictures", message)
    assert answer["ok"] and answer["at"] == list(range(len(examples)))
    assert answer["sprites"]["basins/digits"]["count"] == len(examples) == 24
    wrong = [{"task": "basins/digit", "example": 0}, {"task": "basins/digits", "example": 100_000}]
    refused = sentences(room.ask("pictures", {**message, "split": "test", "examples": wrong[:1]}))
    assert "examples of validation and train, but test came" in refused and "basins/digits" in refused
    assert "one of the 200 of validation" in sentences(
        room.ask("pictures", {**message, "split": "validation", "examples": wrong[1:]})
    )
    assert not room.ask("pictures", {**message, "examples": [{"task": "basins/digits", "example": -1}]})["ok"]
    assert not room.ask("pictures", {**message, "examples": examples * 3})["ok"]


def test_changed_pictures_are_shown_of_a_study_that_changes_them_only(room: Room) -> None:
    spec = {"study": {"name": "mechanisms", "params": {"keeps": "texture"}}, "models": [LEFT, STRANGER]}
    asked = {"state": room.state(), "split": "validation", "examples": [{"task": "basins/digits", "example": 3}]}
    answer = room.ask("changes", {**asked, "spec": spec})
    assert answer["changes"] == ["shuffled", "tiles", "turned"] and answer["sprites"][0]["count"] == 4
    assert "Mechanistic similarity changes pictures" in sentences(room.ask("changes", {**asked, "spec": SPEC}))
