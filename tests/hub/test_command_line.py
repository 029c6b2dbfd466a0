"""Whole programs: recipes over the Hub give the same bits as over the zoo, and problems stay one message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from merging_core.checkpoints.zoo import load_zoo
from merging_core.cli.main import main
from merging_core.export import forms
from merging_core.recipes import parse_recipe
from tests.hub.conftest import Visit, weights
from tests.hub.server import ADA, FakeHub, folder_files

NAMES = ("base", "digits", "letters")
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def zoo_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The tiny family of the zoo on a Hub, private to Ada, whose environment this is."""
    zoo = load_zoo()
    with FakeHub() as hub:
        for name in NAMES:
            tags = [] if name == "base" else ["base_model:finetune:tiny/base"]
            hub.add(f"tiny/{name}", folder_files(zoo.folder(f"tiny/{name}")), private=True, tags=tags)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", ADA)
        monkeypatch.setenv("BASIN_CACHE", str(tmp_path / "cache"))
        yield hub


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Say:
    """Run a command in this process."""

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        said = capfd.readouterr()
        return status, said.out, said.err

    return call


def recipe(folder: Path, scheme: str, method: dict[str, Any], **more: object) -> str:
    base, *experts = (f"{scheme}:tiny/{name}" for name in NAMES)
    models = [{"ref": ref} for ref in experts]
    path = folder / f"{scheme}-{method['name']}.json"
    path.write_text(json.dumps({"version": 1, "base": base, "models": models, "method": method, **more}))
    return str(path)


@pytest.mark.parametrize("method", [{"name": "ties"}, {"name": "dare_linear", "params": {"density": 0.5}}], ids=str)
def test_a_merge_over_the_hub_has_the_bits_of_one_over_the_zoo(
    zoo_hub: FakeHub, say: Say, tmp_path: Path, method: dict[str, Any]
) -> None:
    assert say("merge", recipe(tmp_path, "zoo", method), str(tmp_path / "zoo"))[0] == 0
    status, out, err = say("merge", recipe(tmp_path, "hub", method), str(tmp_path / "hub"), "--json")
    assert (status, err) == (0, "")
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("hub", "zoo"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    kept = json.loads((tmp_path / "hub" / "recipe.json").read_text())
    commits = {name: zoo_hub.models[f"tiny/{name}"].branches["main"] for name in NAMES}
    assert json.dumps(kept).count(commits["digits"]) >= 1 and commits["base"] in json.dumps(kept)
    card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    assert all(f"\n- tiny/{name}\n" in card for name in NAMES)
    assert {request.token for request in zoo_hub.requests} == {ADA}
    before = len(zoo_hub.asked("/resolve/"))
    again = json.loads(say("plan", recipe(tmp_path, "hub", method), "--json")[1])
    assert again["hash"] == json.loads(out)["hash"] and again["download"] == {}
    assert len(zoo_hub.asked("/resolve/")) == before


def test_a_plan_downloads_nothing_and_says_what_a_merge_will(zoo_hub: FakeHub, say: Say, tmp_path: Path) -> None:
    path = recipe(tmp_path, "hub", {"name": "task_arithmetic"})
    status, out, err = say("plan", path, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    weights = load_zoo().folder("tiny/base") / "model.safetensors"
    assert len(document["download"]) == 3 and min(document["download"].values()) > weights.stat().st_size
    assert not (tmp_path / "cache").exists()
    assert "download" in say("plan", path)[1]


def test_a_model_of_the_hub_scores_and_interpolates_like_its_twin(zoo_hub: FakeHub, say: Say) -> None:
    scores = [
        json.loads(say("evaluate", ref, "--task", "digits", "--json")[1])
        for ref in ("hub:tiny/digits", "zoo:tiny/digits")
    ]
    assert scores[0]["tasks"] == scores[1]["tasks"]
    line = ("--points", "2", "--task", "digits", "--json")
    paths = [
        json.loads(say("interpolate", f"{scheme}:tiny/base", f"{scheme}:tiny/digits", *line)[1])
        for scheme in ("hub", "zoo")
    ]
    assert paths[0]["points"] == paths[1]["points"]


def test_models_are_searched_and_shown(zoo_hub: FakeHub, say: Say, tmp_path: Path) -> None:
    document = json.loads(say("hub", "search", "digits", "--json")[1])
    assert [model["ref"] for model in document["models"]] == ["hub:tiny/digits"] and document["more"] is False
    assert "hub:tiny/digits" in say("hub", "search", "digits")[1]
    assert say("hub", "search", "nothing-like-this")[1] == "No model found.\n"
    experts = json.loads(say("hub", "search", "--base", "tiny/base", "--json")[1])
    assert {model["id"] for model in experts["models"]} == {"tiny/digits", "tiny/letters"}
    shown = json.loads(say("hub", "show", "https://huggingface.co/tiny/digits", "--json")[1])
    checkpoint = load_zoo().checkpoint("tiny/digits")
    assert shown["elements"] == checkpoint.parameters and shown["missing_bytes"] == shown["bytes"]
    assert f"commit   {shown['commit']}" in say("hub", "show", "tiny/digits")[1]
    assert not (tmp_path / "cache").exists()


def test_the_recipe_as_python_says_how_its_models_are_fetched(visit: Visit, fake: FakeHub, tmp_path: Path) -> None:
    ref = str(visit().pin("hub:ada/digits"))
    tree = {"version": 1, "base": None, "models": [{"ref": ref}], "method": {"name": "linear"}}
    code = forms(parse_recipe(tree)).python
    assert f"catalog.fetch(['{ref}'])" in code
    there = code.replace("https://huggingface.co", fake.endpoint).replace('"downloads"', repr(str(tmp_path / "here")))
    exec(there.replace('"merged"', repr(str(tmp_path / "merged"))), {})
    merged, expected = load_file(tmp_path / "merged" / "model.safetensors"), weights(0.5)
    assert all(torch.equal(merged[name], expected[name]) for name in expected)


@pytest.mark.parametrize("command", ["plan", "merge", "evaluate", "show", "search"])
def test_a_failure_of_the_hub_is_one_message_and_status_2(
    zoo_hub: FakeHub, say: Say, tmp_path: Path, command: str
) -> None:
    zoo_hub.fail("429", seconds=300)
    path = recipe(tmp_path, "hub", {"name": "task_arithmetic"})
    arguments = {
        "plan": ("plan", path),
        "merge": ("merge", path, str(tmp_path / "out")),
        "evaluate": ("evaluate", "hub:tiny/digits"),
        "show": ("hub", "show", "tiny/digits"),
        "search": ("hub", "search", "digits"),
    }[command]
    status, out, err = say(*arguments)
    assert (status, out) == (2, "") and "try again in 300 s" in err and ADA not in err
    assert not (tmp_path / "out").exists()


def test_without_a_token_a_private_model_is_missing(
    zoo_hub: FakeHub, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    status, out, err = say("hub", "show", "tiny/digits")
    assert (status, out) == (2, "")
    assert err == (
        "hub:tiny/digits: the model exists on the Hub and may be seen by you, but nothing of that name came; "
        "check owner and name; if it is private, sign in or give a token.\n"
    )
    assert {request.token for request in zoo_hub.requests} == {None}


def test_models_of_the_hub_are_compared_once_their_headers_fit(zoo_hub: FakeHub, say: Say, tmp_path: Path) -> None:
    status, out, err = say("diff", "hub:tiny/digits", "zoo:basins/left", "--base", "hub:tiny/nothing")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    asked = ("--expert", "hub:tiny/digits", "--out", str(tmp_path / "out"))
    assert say("extract-lora", "--base", "zoo:basins/left", *asked)[0] == 2
    assert say("extract-lora", "--base", "hub:tiny/base", *asked, "--leaves", "no-such-leaf")[0] == 2
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    found = [
        json.loads(say("diff", f"{scheme}:tiny/digits", f"{scheme}:tiny/letters", "--json")[1])
        for scheme in ("hub", "zoo")
    ]
    assert found[0]["whole"]["norm"] > 0
    assert found[0]["depths"] == found[1]["depths"]
