"""Merges of the Hub's models go wherever the zoo's go: exports, links elsewhere, programs; and with the Hub away."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
import torch
from gradio_client import Client
from gradio_client.exceptions import AppError
from safetensors.torch import load, save

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan, stream_merge
from merging_core.recipes import parse_recipe
from tests.app.hub.conftest import TASK, HubServer, Start, ended
from tests.app.test_jobs import until
from tests.app.wire import sentences
from tests.hub.server import ADA, FakeHub


def opened(server: HubServer, *names: str, tasks: tuple[str, ...] = (TASK,)) -> tuple[Any, dict[str, Any]]:
    """A visitor on a server that has base and experts, and the first state of them."""
    ada = server.visitor("ada")
    server.hold("ada/base", *names)
    checked = ada.call("models_check", server.choice(*names, tasks=tasks))
    assert checked["ok"], checked
    return ada, checked["state"]


def test_an_export_reads_what_is_here_without_a_token_and_carries_the_base_s_companions(
    server: HubServer, tmp_path: Path
) -> None:
    hub = server.fake
    base = next(iter(hub.models["ada/base"].commits.values()))
    beside = {"preprocessor_config.json": b'{"size": 32}', "tokenizer.json": b"{}", "chat_template.jinja": b"{{ 1 }}"}
    beside |= {"tokenizer.model": b"\0words", "vocab.txt": b"a", "generation_config.json": b"{}"}
    base |= beside | {"extra.bin": b"pickle"}
    ada, state = opened(server, "ada/letters", tasks=())
    held = server.cache.joinpath("models", "ada", "base", server.ref("ada/base")[-40:])
    assert {path.name for path in held.iterdir()} >= beside.keys()
    assert not (held / "extra.bin").exists()
    assert ada.call("export_plan", {"state": state})["plan"]["hash"]
    begun = ada.call("export_start", {"state": state})
    assert begun["ok"], begun
    job = ended(ada, begun["job"]["id"])
    assert job["state"] == "done", job["problems"]
    files = {file["name"] for file in job["files"]}
    assert files >= {"model.safetensors", "recipe.json", *beside}
    for name, data in beside.items():
        assert ada.client.get(f"/exports/{job['id']}/files/{name}").content == data
    weights = load(ada.client.get(f"/exports/{job['id']}/files/model.safetensors").content)
    recipe = parse_recipe({**state["recipe"], "base": "zoo:tiny/base", "models": [{"ref": "zoo:tiny/letters"}]})
    catalog = Catalog(load_zoo())
    twin = stream_merge(make_plan(recipe, catalog), catalog, tmp_path / "twin")
    same = load((twin / "model.safetensors").read_bytes())
    assert weights.keys() == same.keys() and all(weights[name].equal(same[name]) for name in same)
    written = json.loads(ada.client.get(f"/exports/{job['id']}/files/recipe.json").content)
    assert written["base"] == server.ref("ada/base")
    everything = b"".join(path.read_bytes() for path in server.data.rglob("*") if path.is_file())
    everything += b"".join(path.read_bytes() for path in server.cache.rglob("*") if path.is_file())
    assert ADA.encode() not in everything and everything


def test_an_adapter_of_the_hub_is_looked_at_priced_and_merged_as_an_expert_of_its_base(server: HubServer) -> None:
    says = json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": "ada/base"}).encode()
    layer = "base_model.model.encoder.layers.0.self_attn.q_proj"
    leaves = {f"{layer}.lora_A.weight": torch.ones(1, 144), f"{layer}.lora_B.weight": torch.ones(144, 1)}
    files = {"adapter_config.json": says, "adapter_model.safetensors": save(leaves)}
    server.fake.add("ada/lora", files)
    server.hold("ada/base")
    bob = server.visitor("bob")
    seen = bob.call("hub_look", {"address": "ada/lora"})["checkpoint"]
    assert seen["adapter"] == {"ranks": [1, 1], "targets": ["q_proj"], "more": 0, "base": "ada/base"}
    choice = server.choice("ada/lora", tasks=())
    priced = bob.call("models_check", choice)
    assert [row["ref"] for row in priced["missing"]] == [server.ref("ada/lora")]
    plan = bob.call("export_plan", {"state": priced["state"]})["plan"]
    assert len(plan["missing"]) == len(plan["problems"]) == 1
    server.hold("ada/lora")
    checked = bob.call("models_check", choice)
    assert "missing" not in checked
    layers = bob.live("layers", checked["state"])["numbers"]
    assert [round(norm) for norm in layers["experts"][0]["norms"][:3]] == [0, 144, 0]
    begun = bob.call("export_start", {"state": checked["state"]})
    job = ended(bob, begun["job"]["id"])
    assert (job["state"], job["hash"]) == ("done", plan["hash"]), job["problems"]


def test_a_link_opened_on_another_server_says_what_to_download_there(server: HubServer, start: Start) -> None:
    ada, state = opened(server, "ada/digits")
    query = parse_qs(ada.call("share", {"state": state})["query"])["s"][0]
    there = start().visitor("bob")
    said = there.call("hello", {"link": query})
    assert said["state"] == state
    for ask in (
        there.live("preview", state),
        there.live("layers", state),
        there.call("export_start", {"state": state}),
    ):
        told = sentences(ask)
        assert len(told) == 2 and all("open Choose models and press Download, then merge" in one for one in told)
    away, here = (browser.call("export_plan", {"state": state})["plan"] for browser in (there, ada))
    assert away["hash"] == here["hash"] and away["outcomes"] == here["outcomes"]
    refs = [server.ref(name) for name in ("ada/base", "ada/digits")]
    assert all(ref.startswith(one["label"]) for ref, one in zip(refs, away["missing"], strict=True))
    assert all(one["bytes"] > here["bytes"] for one in away["missing"])
    assert len(away["problems"]) == 2 and "are downloaded before it is merged" in away["problems"][0]["sentence"]
    assert here["missing"] == here["problems"] == []


def test_programs_merge_models_of_the_hub_by_name(server: HubServer) -> None:
    opened(server, "ada/digits")
    bob = Client(server.url, verbose=False, headers={"x-test-account": "bob"})
    models = [{"ref": "hub:ada/digits"}]
    recipe = json.dumps({"version": 1, "base": "hub:ada/base", "models": models, "method": {"name": "task_arithmetic"}})
    plan = bob.predict(recipe, api_name="/plan")
    assert {model["ref"] for model in plan["models"]} == {server.ref("ada/base"), server.ref("ada/digits")}
    found = bob.predict(recipe, "validation", "preview", TASK, api_name="/evaluate")
    assert (found["numbers"]["tasks"][0]["task"], found["hash"]) == (TASK, plan["hash"])
    assert bob.predict(recipe, api_name="/layers")["numbers"]["experts"][0]["ref"] == server.ref("ada/digits")
    line = bob.predict(server.ref("ada/base"), "hub:ada/digits", 2, "preview", TASK, api_name="/interpolate")
    assert [point["t"] for point in line["splits"]["validation"]["points"]] == [0.0, 1.0]
    link = bob.predict(recipe, api_name="/share_link")
    assert bob.predict(link["url"], api_name="/open_link")["hash"] == plan["hash"]
    with pytest.raises(AppError, match="name some in tasks: .*tiny/digits"):
        bob.predict(recipe, api_name="/evaluate")
    for name in ("plan", "layers", "share_link"):
        with pytest.raises(AppError, match="may be seen by you"):
            bob.predict(recipe.replace("ada/digits", "ada/letters"), api_name=f"/{name}")


def test_a_program_downloads_what_it_may_read_and_watches_its_own_job(server: HubServer) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def measured" in block), names)
    pause = threading.Event()
    names["time"] = SimpleNamespace(sleep=lambda _: pause.wait(0.05))
    ada, bob = (Client(server.url, verbose=False, headers={"x-test-account": who}) for who in ("ada", "bob"))
    models = [{"ref": "hub:ada/letters"}]
    recipe = json.dumps({"version": 1, "base": "hub:ada/base", "models": models, "method": {"name": "task_arithmetic"}})
    found = names["measured"](ada, recipe, TASK)
    assert [task["task"] for task in found["numbers"]["tasks"]] == [TASK] and not found["numbers"]["partial"]
    job = ada.predict(recipe, api_name="/download")["job"]
    assert (job["state"], job["kind"]) == ("done", "download")
    with pytest.raises(AppError, match="a job is one of yours"):
        bob.predict(job["id"], api_name="/job")
    with pytest.raises(AppError, match="may be seen by you"):
        bob.predict(recipe, api_name="/download")
    with pytest.raises(AppError, match="may be seen by you"):
        names["measured"](bob, recipe, TASK)


def test_a_plan_names_every_model_that_is_refused_at_once_by_branch_and_by_commit(server: HubServer) -> None:
    server.fake.add("ada/pickle", {"pytorch_model.bin": b"1"})
    bob = Client(server.url, verbose=False, headers={"x-test-account": "bob"})
    names = ("ada/letters", "ada/greek", "ada/pickle", "ada/digits")
    for written in (lambda name: f"hub:{name}", server.ref):
        models = [{"ref": written(name)} for name in names]
        recipe = {"version": 1, "base": written("ada/base"), "models": models, "method": {"name": "task_arithmetic"}}
        with pytest.raises(AppError) as told:
            bob.predict(json.dumps(recipe), api_name="/plan")
        said = str(told.value).splitlines()
        reasons = ("nothing of that name", "gated model", "pickles can run code")
        rows = zip(said, names[:3], reasons, strict=True)
        assert all(name in line and why in line for line, name, why in rows), said


def test_while_the_hub_is_away_only_whoever_runs_this_basin_goes_on(start: Start, fake: FakeHub) -> None:
    server = start(HF_TOKEN=ADA)
    _, state = opened(server, "ada/digits")
    owner, bob = server.visitor(), server.visitor("bob")
    fake.fail("cut")
    first = owner.live("preview", state)
    assert first["ok"], first
    asked = len(fake.requests)
    assert owner.live("preview", state)["ok"] and len(fake.requests) == asked
    begun = time.monotonic()
    told = [sentences(bob.live("preview", state)) for _ in range(3)]
    assert all("the Hub can be reached" in one for answer in told for one in answer)
    assert time.monotonic() - begun < 25  # three deadlines of a Hub that is asked again each time would be 30
    fake.heal()


def test_no_slider_waits_while_the_hub_thinks_about_somebody_else(server: HubServer, fake: FakeHub) -> None:
    _, state = opened(server, "ada/digits")
    bob, eve = server.visitor("bob"), server.visitor("stranger")
    zoo = eve.state()
    assert eve.live("preview", zoo)["ok"]
    fake.requests.clear()
    fake.fail("slow", "auth")
    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(bob.live("preview", state)))
    waiting.start()
    until(lambda: fake.asked("/auth-check") or None)
    assert eve.live("preview", zoo)["ok"]
    assert waiting.is_alive() and answers == []
    fake.heal()
    waiting.join()
    assert answers[0]["ok"], answers


def test_a_right_that_is_taken_away_is_noticed_within_the_minute_by_whoever_goes_on(
    server: HubServer, fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, state = opened(server, "ada/letters")
    assert ada.live("preview", state)["ok"]
    fake.models["ada/letters"].readers = frozenset()
    monkeypatch.setattr("app.hub.admission._SOON", 61.0)
    told = until(lambda: None if (answer := ada.live("preview", state))["ok"] else sentences(answer))
    assert "may be seen by you" in told[0]
