"""The preset of FusionBench on a stand-in with the same layout: looked at, downloaded, prepared, merged, measured."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.callers import called_by
from app.live import Scheduler
from app.looking.service import Looking
from app.own_family import family_named
from app.presets.reading import FOLDER, PresetError, read_presets
from app.state import StudioState, parse_state
from merging_core.hub.client import Hub
from tests.app.presets.standin import PRESET, plain, stand_in
from tests.app.tasks.places import ANN, BEN, Place, opened
from tests.hub.server import FakeHub

NAME = {"name": PRESET.name}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    with stand_in(tmp_path_factory.mktemp("made")) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        patch.setenv("HF_HUB_OFFLINE", "0")
        yield made


@pytest.fixture
def place(hub: FakeHub, tmp_path: Path) -> Iterator[Place]:
    with opened(tmp_path, None, Hub(hub.endpoint, None, tmp_path / "hub", deadline=10)) as made:
        yield made


def test_one_click_leads_from_the_preset_to_a_merge_with_eight_accuracies(place: Place) -> None:
    seen = place.ask(ANN, "preset_look", NAME)
    assert seen["ok"], seen
    assert len(seen["missing"]) == 9 and len(seen["waiting"]) == 8
    assert seen["bytes"]["models"] > 0 and seen["bytes"]["data"] > 0 and seen["free"] > 0
    download = place.done(ANN, "hub_download", {"refs": seen["missing"]})["job"]
    assert download.state == "done", download.problems
    prepared = place.prepared(ANN, *seen["waiting"])["job"]
    assert prepared.state == "done", prepared.problems
    checked = place.ask(ANN, "models_check", {key: seen[key] for key in ("base", "experts", "tasks", "specs")})
    assert checked["ok"], checked
    assert {row["architecture"] for row in checked["checkpoints"]} == {"CLIPVisionModel"}
    state = parse_state(checked["state"], place.bench.families)
    with called_by(ANN):
        numbers = place.bench.accuracy(state, "validation", "full", lambda: False).numbers
        layers = place.bench.layers(state)
    assert len(numbers["tasks"]) == 8 and len(layers["experts"]) == 8
    assert all(task["references"]["expert"] is not None and task["n"] > 0 for task in numbers["tasks"])
    picture_is_tried(place, state)
    again = place.ask(ANN, "preset_look", NAME)
    assert (again["missing"], again["waiting"], again["bytes"]) == ([], [], {"models": 0, "data": 0})


def picture_is_tried(place: Place, state: StudioState) -> None:
    """Ask all models about an example of a task of colours; what is drawn is gray, and refused for it."""
    turns = Scheduler()
    looking = Looking(place.bench.models(), place.bench.families, turns)
    task = place.bench.models().tasks_of(family_named(place.bench.families, state.family))[0]
    message = {"seq": 1, "page": "p", "state": state.as_json(), "task": task.name}
    with called_by(ANN):
        strip = looking.try_pictures("ann", {"family": state.family, "task": task.name})["numbers"]
        numbers = asyncio.run(looking.try_picture("ann", {**message, "example": 0}))["numbers"]
        refused = asyncio.run(looking.try_picture("ann", {**message, "picture": "AAAA"}))
    turns.close()
    assert len(strip["examples"]) == strip["sprite"]["count"] > 0
    assert [row["kind"] for row in numbers["models"]] == ["merge", "base", *["expert"] * 8]
    assert numbers["truth"] == strip["examples"][0]["truth"] in task.classes and numbers["picture"] is None
    with Image.open(io.BytesIO(base64.b64decode(numbers["photo"].partition(",")[2]))) as seen:
        assert (seen.mode, seen.size) == ("RGB", (task.image_size, task.image_size))
    assert "pick an example" in refused["problems"][0]["sentence"]


def test_what_the_memory_does_not_hold_is_said_before_anything_is_downloaded(
    place: Place, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = place.ask(ANN, "preset_look", NAME)
    monkeypatch.setattr(place.bench.models().engine, "memory_budget", 1000)
    experts = [{"ref": expert["ref"], "task": None} for expert in seen["experts"]]
    answer = place.ask(ANN, "models_check", {"base": seen["base"], "experts": experts, "tasks": []})
    (problem,) = answer["problems"]
    assert "fit the 500 B that the sliders hold in memory" in problem["sentence"]
    assert place.ask(ANN, "preset_look", NAME)["missing"] == seen["missing"]


def test_without_a_network_one_sentence_says_so(place: Place, hub: FakeHub) -> None:
    hub.fail("cut")
    try:
        answer = place.ask(ANN, "preset_look", NAME)
    finally:
        hub.heal()
    (problem,) = answer["problems"]
    assert problem["sentence"].startswith(f"{PRESET.title}: the Hub can be reached, but")


def test_what_a_visitor_may_not_have_is_named_all_at_once(place: Place, hub: FakeHub) -> None:
    hidden = [hub.models[plain(task.expert)] for task in PRESET.tasks[:2]]
    for model in hidden:
        model.private = True
    try:
        answer = place.ask(BEN, "preset_look", NAME)
    finally:
        for model in hidden:
            model.private = False
    named = [problem["sentence"].partition(":")[2] for problem in answer["problems"]]
    assert ["sun397" in named[0], "stanford-cars" in named[1], len(named)] == [True, True, 2]


def changed(tmp_path: Path, changes: dict[str, Any]) -> Path:
    tree = json.loads((FOLDER / f"{PRESET.name}.json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps({**tree, **changes}))
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 2}, "version 1"),
        ({"colour": "red"}, "known by name"),
        ({"base": "hub:openai/clip-vit-base-patch32"}, "repositories of the Hub"),
        ({"tasks": [{"expert": "zoo:a", "data": "hub:a/b"}]}, "repositories of the Hub"),
        ({"tasks": []}, "1 to 16 tasks"),
    ],
)
def test_a_preset_with_a_mistake_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PresetError, match=rf"mine\.json: .*{sentence}"):
        read_presets(changed(tmp_path, changes))
