"""Picking models over the wire: what there is, what fits, and what does not, all at once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.families import Family
from app.live import Scheduler
from app.models.service import Models
from app.own_family import family_named, own_name
from app.settings import Settings
from app.state import parse_state
from app.studio.bench import ZooBench
from merging_core.errors import BasinError
from tests.app.wire import Browser, sentences

ZOO = Path(__file__).resolve().parents[3] / "assets" / "zoo"
BASE, DIGITS, GREEK = "zoo:tiny/base", "zoo:tiny/digits", "zoo:tiny/greek"


@pytest.fixture(scope="module")
def bench() -> ZooBench:
    return ZooBench(Settings.from_env({"BASIN_DEVICE": "cpu"}, make_folder=False))


@pytest.fixture
def picker(bench: ZooBench) -> Iterator[Models]:
    scheduler = Scheduler()
    yield Models(bench, scheduler)
    scheduler.close()


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A folder with two checkpoints of the zoo under other names."""
    for name, source in (("runs/start", "base"), ("runs/mine", "digits")):
        shutil.copytree(ZOO / "tiny" / source, tmp_path / "models" / name)
    return tmp_path / "models"


def choice(base: str | None, *experts: tuple[str, str | None], tasks: tuple[str, ...]) -> dict[str, Any]:
    return {"base": base, "experts": [{"ref": ref, "task": task} for ref, task in experts], "tasks": list(tasks)}


def test_every_checkpoint_of_the_zoo_can_be_picked_with_the_task_it_was_trained_on(picker: Models) -> None:
    rows = picker.list("ann", {})["checkpoints"]
    known = {(row["ref"], row["role"], row["task"]) for row in rows}
    assert (BASE, "base", None) in known and (DIGITS, "expert", "tiny/digits") in known
    assert len(rows) == len({row["ref"] for row in rows}) == 18


def test_models_that_fit_open_a_studio_of_their_own(bench: ZooBench, picker: Models) -> None:
    wanted = choice(BASE, (GREEK, "tiny/greek"), (DIGITS, "tiny/digits"), tasks=("tiny/digits", "tiny/letters"))
    answer = asyncio.run(picker.check("ann", wanted))
    assert answer["ok"], answer
    assert [row["ref"] for row in answer["checkpoints"]] == [BASE, GREEK, DIGITS]
    assert {row["architecture"] for row in answer["checkpoints"]} == {"CLIPVisionModel"}
    state = parse_state(answer["state"], bench.families)
    numbers = bench.accuracy(state, "validation", "preview", lambda: False).numbers
    assert [task["task"] for task in numbers["tasks"]] == ["tiny/digits", "tiny/letters"]
    assert numbers["tasks"][0]["references"]["expert"] is not None
    assert numbers["tasks"][1]["references"]["expert"] is None
    assert bench.layers(state)["experts"][0]["ref"] == GREEK


def test_models_without_a_task_still_have_layers_and_exports_but_no_accuracy(bench: ZooBench, picker: Models) -> None:
    answer = asyncio.run(picker.check("ann", choice(BASE, (GREEK, None), (DIGITS, None), tasks=())))
    assert answer["ok"], answer
    state = parse_state(answer["state"], bench.families)
    assert len(bench.layers(state)["experts"]) == 2
    with pytest.raises(BasinError, match="a merge is measured on tasks"):
        bench.accuracy(state, "validation", "full", lambda: False)


def test_what_is_missing_is_nothing_and_never_an_error(ann: Browser) -> None:
    state = ann.call("models_check", choice(BASE, (DIGITS, None), tasks=()))["state"]
    for want in ("preview", "path", "settle"):
        answer = ann.live(want, state)
        assert (answer["ok"], answer["numbers"], answer["figures"]) == (True, None, {})
    assert ann.live("layers", state)["numbers"]["experts"]
    loose = ann.call("models_check", choice(None, (DIGITS, None), (GREEK, None), tasks=("tiny/digits",)))["state"]
    assert loose["path"] == {"kind": "between", "a": DIGITS, "b": GREEK}
    assert ann.live("layers", loose)["numbers"] is None and ann.live("path", loose)["numbers"] is not None
    saved = ann.call("save", {"state": loose})
    assert saved["ok"], saved
    page = ann.call("library_result", {"id": saved["id"]})["page"]
    assert page["family"] == loose["family"]
    alone = {**loose, "path": {"kind": "lambda"}}
    assert ann.live("path", alone)["numbers"] is None


def test_folders_of_the_machine_are_offered_merged_and_seen_when_they_change(folders: Path) -> None:
    settings = Settings.from_env({"BASIN_DEVICE": "cpu", "BASIN_MODELS": str(folders)}, make_folder=False)
    bench, scheduler = ZooBench(settings), Scheduler()
    picker = Models(bench, scheduler)
    rows = [row for row in picker.list("ann", {})["checkpoints"] if row["ref"].startswith("local:")]
    assert [(row["ref"], row["title"]) for row in rows] == [
        ("local:runs/mine", "mine"),
        ("local:runs/start", "start"),
    ]
    wanted = choice("local:runs/start", ("local:runs/mine", "tiny/digits"), (GREEK, None), tasks=("tiny/digits",))
    answer = asyncio.run(picker.check("ann", wanted))
    assert answer["ok"], answer
    state = parse_state(answer["state"], bench.families)
    recipe = {**answer["state"]["recipe"], "base": BASE, "models": [{"ref": DIGITS}, {"ref": GREEK}]}
    twin = parse_state({**answer["state"], "family": "tiny", "recipe": recipe}, bench.families)
    ours = bench.accuracy(state, "validation", "full", lambda: False).correct["tiny/digits"]
    theirs = bench.accuracy(twin, "validation", "full", lambda: False).correct["tiny/digits"]
    assert (ours == theirs).all()
    before, numbers = bench.identity(state), bench.accuracy(state, "validation", "full", lambda: False).numbers
    expert = numbers["tasks"][0]["references"]["expert"]
    shutil.copy(ZOO / "tiny" / "shapes" / "model.safetensors", folders / "runs" / "mine" / "model.safetensors")
    assert bench.identity(state) != before
    now = bench.accuracy(state, "validation", "full", lambda: False).correct["tiny/digits"]
    assert (now != theirs).any()
    again = bench.accuracy(state, "validation", "full", lambda: False).numbers
    assert again["tasks"][0]["references"]["expert"] < expert - 0.1
    scheduler.close()


def told(bench: ZooBench, family: Family) -> str:
    with pytest.raises(BasinError) as caught:
        bench.check(family)
    return str(caught.value)


def test_what_does_not_fit_is_said_before_anything_is_merged(bench: ZooBench) -> None:
    def made(base: str | None, refs: list[str], tasks: list[str]) -> Family:
        return family_named(bench.families, own_name(base, [(ref, None) for ref in refs], tasks))

    missing = told(bench, made(BASE, ["zoo:tiny/digit", "zoo:tiny/nothing"], ["tiny/digits"]))
    assert "tiny/digit came" in missing and "tiny/nothing came" in missing
    assert "basins" in told(bench, made(BASE, ["zoo:basins/stranger-1"], ["tiny/digits"]))
    assert "images of shape" in told(bench, made(BASE, [DIGITS], ["basins/digits"]))


def test_a_picker_s_message_is_read_strictly(ann: Browser) -> None:
    assert (
        "base and experts are different"
        in sentences(ann.call("models_check", choice(BASE, (BASE, None), tasks=("tiny/digits",))))[0]
    )
    for wrong in (
        None,
        {},
        {"experts": "x", "tasks": []},
        {"experts": [{"ref": 1, "task": None}], "tasks": []},
        {"experts": [], "tasks": [1]},
    ):
        assert ann.call("models_check", wrong)["ok"] is False
    assert ann.call("models_list", {"x": 1})["ok"] is False


def test_an_own_family_is_kept_in_history_and_library_and_opens_from_a_link(ann: Browser, bob: Browser) -> None:
    state = ann.call("models_check", choice(BASE, (DIGITS, "tiny/digits"), (GREEK, None), tasks=("tiny/digits",)))[
        "state"
    ]
    settled = ann.live("settle", state)
    assert settled["ok"] and settled["history"][-1]["state"]["family"] == state["family"]
    saved = ann.call("save", {"state": state})
    assert saved["ok"], saved
    shared = ann.call("share", {"state": state})["query"].removeprefix("s=")
    assert bob.call("hello", {"link": shared})["state"] == state
    stored = ann.call("share_result", {"id": saved["id"]})
    page = bob.call("stored", {"r": stored["query"].partition("r=")[2].partition("&")[0]})
    assert page["found"] and page["page"]["family"] == state["family"]


def test_a_folder_of_the_server_cannot_be_named(ann: Browser, tmp_path: Path) -> None:
    answer = ann.call("models_check", choice(None, (f"file:{tmp_path}", None), tasks=("tiny/digits",)))
    assert "every visitor may open" in sentences(answer)[0]
