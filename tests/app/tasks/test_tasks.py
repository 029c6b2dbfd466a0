"""Tasks of a visitor's own: looked at, prepared by a job, measured on; and nobody's but whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.callers import called_by
from app.own_family import family_named
from app.state import parse_state
from app.tasks.spec import parse_spec
from merging_core.errors import BasinError, HubAccessError
from merging_core.hub.client import Hub
from tests.app.tasks.places import ANN, BEN, Place, opened, shards
from tests.evaluation.test_clip_benchmark import write_benchmark
from tests.evaluation.test_picture_tasks import CLASSES
from tests.hub.server import FakeHub

ANIMALS = "https://huggingface.co/datasets/ada/animals"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_benchmark(folder)
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    with FakeHub() as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        patch.setenv("HF_HUB_OFFLINE", "0")
        made.add("ada/animals", shards(tmp_path_factory.mktemp("made")), data_set=True, private=True)
        yield made


@pytest.fixture(scope="module")
def place(hub: FakeHub, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("server")
    with opened(folder, models, Hub(hub.endpoint, None, folder / "hub", deadline=10)) as made:
        yield made


@pytest.fixture(scope="module")
def spec(place: Place) -> dict[str, Any]:
    """The task as the page would ask for it, prepared by Ann."""
    seen = place.ask(ANN, "task_look", {"source": ANIMALS})
    wanted = {"source": seen["source"], "head": "zero_shot", "model": "local:clip", "at_most": 20}
    job = place.prepared(ANN, wanted)["job"]
    assert job.state == "done", job
    return wanted


def family_of(place: Place, spec: dict[str, Any]) -> dict[str, Any]:
    """Pick base, two experts and the task, as the page does."""
    name = parse_spec(spec).name
    experts = [{"ref": "local:one", "task": name}, {"ref": "local:two", "task": None}]
    return place.ask(ANN, "models_check", {"base": "local:base", "experts": experts, "tasks": [name], "specs": [spec]})


def test_looking_says_columns_classes_splits_and_what_would_be_made(place: Place) -> None:
    seen = place.ask(ANN, "task_look", {"source": ANIMALS, "model": "local:clip"})
    assert seen["ok"], seen
    assert seen["proposed"] == {"kind": "pictures", "input": "image", "second": None, "label": "label"}
    assert seen["classes"] == list(CLASSES) and seen["bytes"] > 0 and seen["model"] == "local:clip"
    assert [(row["name"], row["role"], row["rows"]) for row in seen["splits"]] == [
        ("test", "test", 60),
        ("train", "train", 90),
    ]
    assert seen["made"].startswith("Test as the data divide them; train, calibration and validation made from train")


def test_a_prepared_task_measures_a_merge_with_n_split_and_interval(place: Place, spec: dict[str, Any]) -> None:
    answer = family_of(place, spec)
    assert answer["ok"], answer
    state = parse_state(answer["state"], place.bench.families)
    with called_by(ANN):
        numbers = place.bench.accuracy(state, "validation", "full", lambda: False).numbers
        test = place.bench.accuracy(state, "test", "full", lambda: False).numbers
        path = place.bench.path(state, False, lambda: False)
    (task,) = numbers["tasks"]
    assert (task["title"], numbers["split"], test["split"]) == ("animals", "validation", "test")
    assert 15 <= task["n"] <= 20 and len(task["interval"]) == 2 and task["references"]["expert"] is not None
    assert path["splits"]["validation"]["points"]


def test_the_same_task_is_prepared_once_and_its_data_are_not_kept_twice(
    place: Place, spec: dict[str, Any], hub: FakeHub
) -> None:
    asked = len(hub.asked("/resolve/"))
    job = place.prepared(ANN, {**spec, "seed": 0})["job"]
    assert job.state == "done" and "prepared already" in str(job.log) + str(job.result) or job.result["specs"]
    assert len(hub.asked("/resolve/")) == asked
    folders = [path for path in place.bench.shelf.root.iterdir() if path.name != "heads"]
    assert [path.name for path in folders] == [parse_spec({**spec, "seed": 0}).digest]


def test_a_visitor_without_the_data_set_gets_no_number_and_no_word_of_it(place: Place, spec: dict[str, Any]) -> None:
    state = parse_state(family_of(place, spec)["state"], place.bench.families)
    with called_by(ANN):
        place.bench.accuracy(state, "validation", "full", lambda: False)
    family = family_named(place.bench.families, state.family)
    tasks_of = place.bench.models().tasks_of
    calls = (
        lambda: place.bench.accuracy(state, "validation", "full", lambda: False),
        lambda: place.bench.accuracy(state, "test", "full", lambda: False),
        lambda: place.bench.path(state, False, lambda: False),
        lambda: place.bench.check(family),
        lambda: tasks_of(family),
    )
    for call in calls:
        with called_by(BEN), pytest.raises(HubAccessError, match="data set ada/animals"):
            call()
    for name, message in (
        ("task_look", {"source": spec["source"]}),
        ("task_prepare", {"spec": spec}),
    ):
        answer = place.ask(BEN, name, message)
        assert not answer["ok"] and "ada/animals" in answer["problems"][0]["sentence"]
    rows = place.ask(BEN, "tasks_list", {"family": state.family})["tasks"]
    assert [(row["prepared"], "classes" in row, len(row["problems"])) for row in rows] == [(False, False, 1)]


def test_a_link_opens_where_nothing_is_prepared_and_says_so(place: Place, spec: dict[str, Any]) -> None:
    other = {**spec, "seed": 5}
    answer = family_of(place, other)
    assert answer["ok"], answer
    state = parse_state(answer["state"], place.bench.families)
    with called_by(ANN), pytest.raises(BasinError, match="animals: a task is prepared before it measures"):
        place.bench.accuracy(state, "validation", "full", lambda: False)
    rows = place.ask(ANN, "tasks_list", {"family": state.family})["tasks"]
    assert {row["name"]: row["prepared"] for row in rows}[parse_spec(other).name] is False


def test_what_the_disk_cannot_hold_is_refused_before_it_is_downloaded(
    place: Place, spec: dict[str, Any], hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.desk._places, "budget", 10_000)
    jobs = len(place.jobs.of(ANN.visitor))
    (problem,) = place.ask(ANN, "task_prepare", {"spec": {**spec, "at_most": 400}})["problems"]
    assert "kB for 150 pictures of" in problem["sentence"] and len(place.jobs.of(ANN.visitor)) == jobs


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"source": "hub:ada/animals"}, "named with its commit"),
        ({"source": "zoo:tiny/digits"}, "data are on the Hub"),
        ({"model": "file:/etc/passwd"}, "every visitor may open"),
        ({"at_most": 0}, "at_most is a whole number"),
        ({"classes": ["a", "a"]}, "classes are different names"),
        ({"templates": ["a photo"]}, "templates are at most 40"),
        ({"columns": 1}, "keys are known by name"),
        ({"splits": {"train": ""}}, "splits name the source's"),
    ],
)
def test_what_is_wrong_with_a_task_is_said_in_a_sentence(
    place: Place, spec: dict[str, Any], changes: dict[str, Any], sentence: str
) -> None:
    answer = place.ask(ANN, "task_prepare", {"spec": {**spec, **changes}})
    assert not answer["ok"] and sentence in answer["problems"][0]["sentence"]


def test_everything_wrong_with_a_task_is_said_at_once(place: Place) -> None:
    answer = place.ask(ANN, "task_prepare", {"spec": {"head": "mine", "seed": -1, "secret": 1}})
    assert len(answer["problems"]) == 5


def test_a_head_that_does_not_come_from_clip_fails_with_its_sentence(place: Place, spec: dict[str, Any]) -> None:
    job = place.prepared(ANN, {**spec, "model": "local:one"})["job"]
    assert job.state == "failed"
    assert "a zero-shot head comes from a checkpoint of CLIPModel" in job.problems[0]["sentence"]
