"""Exports over the wire: planned, started, watched, downloaded; and nobody else's."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from app.charts.tables import csv_of, rows_of
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan, stream_merge
from merging_core.evaluation.percent import percent
from merging_core.recipes import parse_recipe
from tests.app.pretend import PretendServer
from tests.app.test_jobs import until
from tests.app.wire import Browser


@pytest.fixture(scope="module")
def made(server: PretendServer) -> Iterator[tuple[Browser, dict[str, Any]]]:
    """A visitor, and one export of theirs in several files."""
    with Browser(server.url) as browser:
        yield browser, exported(browser, browser.state(), 700_000)


def exported(browser: Browser, state: Any, shard_bytes: int | None = None) -> dict[str, Any]:
    """Start an export and wait for its end."""
    begun = browser.call("export_start", {"state": state, "shard_bytes": shard_bytes})
    assert begun["ok"], begun
    id_ = begun["job"]["id"]

    def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = browser.call("job_status", {"job": id_})["job"]
        return job if job["state"] not in ("queued", "running") else None

    found: dict[str, Any] = until(ended)
    return found


def refused(answer: dict[str, Any]) -> list[str]:
    assert answer["ok"] is False
    return [problem["sentence"] for problem in answer["problems"]]


def file(browser: Browser, job: str, name: str, **more: Any) -> httpx.Response:
    return browser.client.get(f"/exports/{job}/files/{name}", **more)


def test_a_plan_says_what_will_be_before_anything_is_done(ann: Browser) -> None:
    state = ann.state()
    plan = ann.call("export_plan", {"state": state, "shard_bytes": 1_000_000})["plan"]
    direct = make_plan(parse_recipe(state["recipe"]), Catalog(load_zoo()))
    assert (plan["hash"], plan["bytes"], plan["leaves"]) == (direct.hash, direct.output_bytes, len(direct.outputs))
    assert sum(part["bytes"] for part in plan["files"]) == plan["bytes"]
    assert all(part["bytes"] <= 1_000_000 for part in plan["files"]) and len(plan["files"]) > 3
    assert plan["seconds"] > 0 and plan["test"] is False
    assert set(plan["forms"]) == {"yaml", "json", "python", "command", "mergekit"}
    assert json.loads(plan["forms"]["json"])["base"] == direct.pins["zoo:tiny/base"]
    assert ann.call("job_list", {"kind": "export"})["jobs"] == []


def test_an_export_is_the_merge_its_recipe_its_charts_and_a_card_that_says_the_numbers(
    server: PretendServer, ann: Browser, tmp_path: Path
) -> None:
    state = ann.state()
    state["recipe"]["dtype"] = "bfloat16"
    score = ann.call("score_on_test", {"state": state})
    job = exported(ann, state, 500_000)
    assert job["state"] == "done", job["problems"]
    plan = make_plan(parse_recipe(state["recipe"]), Catalog(load_zoo()))
    direct = stream_merge(plan, Catalog(load_zoo()), tmp_path / "direct", shard_bytes=500_000)
    names = [found["name"] for found in job["files"]]
    extra = ["README.md", *(f"{chart}.{form}" for chart in ("accuracy", "layers", "path") for form in ("csv", "png"))]
    assert sorted(names) == sorted([*extra, *(path.name for path in direct.iterdir())])
    for found in job["files"]:
        answer = file(ann, job["id"], found["name"])
        assert len(answer.content) == found["bytes"] == int(answer.headers["content-length"])
        assert answer.headers["content-disposition"] == f'attachment; filename="{found["name"]}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        if found["name"] not in extra:
            assert answer.content == (direct / found["name"]).read_bytes()
        if found["name"].endswith(".png"):
            assert answer.content.startswith(b"\x89PNG")
    card = file(ann, job["id"], "README.md").text
    numbers = ann.live("settle", state)["numbers"]
    assert file(ann, job["id"], "accuracy.csv").text == csv_of(*rows_of("accuracy", numbers))
    assert "[The numbers as CSV](layers.csv)" in card
    for task in numbers["tasks"]:
        assert f"| {task['title']} | {percent(task['accuracy'])} |" in card
    assert f"| **average** | {percent(score['numbers']['average']['accuracy'])} |" in card
    assert "## Results on the validation split" in card and "## Results on the test split" in card
    assert "1 test score has been taken on these tasks" in card
    read = [(one.dataset_type, one.dataset_split, one.metric_value) for one in ModelCard(card).data.eval_results]
    wanted = [("validation", numbers), ("test", score["numbers"])]
    assert read == [
        (task["task"].replace("/", "-"), split, round(task["accuracy"], 4))
        for split, found in wanted
        for task in found["tasks"]
    ]
    assert job["hash"] == plan.hash and [line["text"] for line in job["log"]][-1] == "done"


def test_models_without_a_task_are_exported_with_their_layers_and_without_numbers(ann: Browser) -> None:
    experts = [{"ref": f"zoo:tiny/{name}", "task": None} for name in ("digits", "greek")]
    state = ann.call("models_check", {"base": "zoo:tiny/base", "experts": experts, "tasks": []})["state"]
    job = exported(ann, state)
    assert job["state"] == "done", job["problems"]
    names = {found["name"] for found in job["files"]}
    assert {"model.safetensors", "config.json", "recipe.json", "layers.png", "layers.csv"} <= names
    assert not {"accuracy.png", "path.png"} & names
    assert "## Results" not in file(ann, job["id"], "README.md").text


def test_models_of_a_folder_are_exported_by_the_worker_too(tmp_path: Path) -> None:
    zoo = Path(__file__).resolve().parents[3] / "assets" / "zoo" / "tiny"
    for name, source in (("start", "base"), ("mine", "digits")):
        shutil.copytree(zoo / source, tmp_path / "models" / name)
    template = "additional_chat_templates/rag.jinja"
    (tmp_path / "models" / "start" / template).parent.mkdir()
    (tmp_path / "models" / "start" / template).write_text("{{ documents }}")
    server = PretendServer(tmp_path / "data", models=tmp_path / "models")
    try:
        with Browser(server.url) as browser:
            experts = [{"ref": "local:mine", "task": None}]
            asked = {"base": "local:start", "experts": experts, "tasks": ["tiny/digits"]}
            job = exported(browser, browser.call("models_check", asked)["state"])
            assert job["state"] == "done", job["problems"]
            recipe = json.loads(file(browser, job["id"], "recipe.json").content)
            card = file(browser, job["id"], "README.md").text
            assert file(browser, job["id"], template).content == b"{{ documents }}"
            archive = io.BytesIO(browser.client.get(f"/exports/{job['id']}/archive.tar").content)
            with tarfile.open(fileobj=archive) as opened:
                assert f"{job['name']}/{template}" in opened.getnames()
        assert "local:mine@" in json.dumps(recipe) and "local:mine" in card
        assert str(tmp_path) not in json.dumps(recipe) + card
    finally:
        server.stop()


def test_the_archive_holds_every_file_and_says_its_length(made: tuple[Browser, dict[str, Any]], tmp_path: Path) -> None:
    ann, job = made
    address = f"/exports/{job['id']}/archive.tar"
    head, answer = ann.client.head(address), ann.client.get(address)
    assert int(head.headers["content-length"]) == int(answer.headers["content-length"]) == len(answer.content)
    assert head.content == b"" and f'filename="{job["name"]}.tar"' in answer.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        members = archive.getmembers()
        archive.extractall(tmp_path, filter="data")
    assert [member.name for member in members] == [f"{job['name']}/{found['name']}" for found in job["files"]]
    for found in job["files"]:
        path = tmp_path / job["name"] / found["name"]
        assert (
            hashlib.sha256(path.read_bytes()).digest()
            == hashlib.sha256(file(ann, job["id"], found["name"]).content).digest()
        )
        if path.suffix == ".safetensors":
            assert load_file(path)


def test_a_part_of_a_file_is_sent_when_asked_for(made: tuple[Browser, dict[str, Any]]) -> None:
    ann, job = made
    name = next(found["name"] for found in job["files"] if found["name"].endswith(".safetensors"))
    whole = file(ann, job["id"], name).content
    part = file(ann, job["id"], name, headers={"range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == whole[100:200]
    beyond = file(ann, job["id"], name, headers={"range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416


def test_what_is_somebody_else_s_is_not_found_in_the_same_words(
    made: tuple[Browser, dict[str, Any]], bob: Browser
) -> None:
    ann, job = made
    said = set()
    for browser, id_, name in (
        (bob, job["id"], "config.json"),
        (bob, "0" * 32, "config.json"),
        (ann, job["id"], "missing.bin"),
        (ann, job["id"], "%2e%2e%2fjob.json"),
        (ann, job["id"], "job.json"),
        (ann, job["id"], "..%5cjob.json"),
        (ann, "..", "job.json"),
    ):
        answer = file(browser, id_, name)
        assert answer.status_code == 404
        said.add(answer.text)
    archives = [bob.client.get(f"/exports/{id_}/archive.tar") for id_ in (job["id"], "0" * 32)]
    assert [answer.status_code for answer in archives] == [404, 404]
    assert archives[0].text == archives[1].text and archives[0].text in said
    for name in ("job_status", "job_cancel", "job_delete"):
        mine, unknown = (bob.call(name, {"job": id_}) for id_ in (job["id"], "0" * 32))
        assert refused(mine) == refused(unknown)
    assert bob.call("job_list", {"kind": "export"})["jobs"] == []
    with httpx.Client(base_url=ann.client.base_url) as stranger:
        assert stranger.get(f"/exports/{job['id']}/archive.tar").status_code == 404


def test_the_same_export_again_is_the_same_job_until_it_is_deleted(ann: Browser) -> None:
    state = ann.state()
    first, again = exported(ann, state), exported(ann, state)
    assert first["id"] == again["id"] and len(ann.call("job_list", {"kind": "export"})["jobs"]) == 1
    assert ann.call("job_delete", {"job": first["id"]})["jobs"] == []
    assert file(ann, first["id"], "model.safetensors").status_code == 404
    assert exported(ann, state)["id"] != first["id"]


def test_an_export_that_was_cut_off_is_offered_again_and_goes_on(
    server: PretendServer, ann: Browser, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.export.work.NAME", "tests.app.job_works:half")
    message = {"state": ann.state(), "shard_bytes": None}
    begun = ann.call("export_start", message)["job"]
    process = until(lambda: ann.call("job_status", {"job": begun["id"]})["job"]["log"])[0]["text"]
    assert (begun["rest"], begun["since"]) == (None, 0.0)
    os.kill(int(process.removeprefix("process ")), signal.SIGKILL)
    cut = until(lambda: (now := ann.call("job_status", {"job": begun["id"]})["job"])["rest"] and now)
    assert (cut["state"], cut["share"], cut["rest"]["asked"]) == ("failed", 0.5, message)
    assert [browser.call("export_plan", message)["plan"]["begun"] for browser in (ann, bob)] == [0.5, None]
    again = ann.call("export_start", cut["rest"]["asked"])["job"]
    assert (again["id"], again["state"], again["problems"]) == (cut["id"], "queued", [])
    done = until(lambda: (now := ann.call("job_status", {"job": begun["id"]})["job"])["state"] == "done" and now)
    assert (done["since"], done["rest"]) == (0.5, None)
    assert ann.call("export_plan", message)["plan"]["begun"] is None


def test_an_export_waits_for_its_turn_and_can_be_cancelled(server: PretendServer, ann: Browser, tmp_path: Path) -> None:
    jobs, go_on = server.app.jobs, tmp_path / "go on"
    work, payload = "tests.app.job_works:patient", {"until": str(go_on)}
    other = jobs.submit("somebody", title="", work=work, payload=payload, key="patient")
    until(lambda: jobs.get("somebody", other.id).log)
    begun = ann.call("export_start", {"state": ann.state(), "shard_bytes": None})["job"]
    assert (begun["state"], begun["ahead"], begun["files"]) == ("queued", 1, [])
    assert file(ann, begun["id"], "config.json").status_code == 404
    assert ann.call("job_cancel", {"job": begun["id"]})["job"]["state"] == "cancelled"
    go_on.touch()
    until(lambda: jobs.get("somebody", other.id).state == "done")
    assert ann.call("job_status", {"job": begun["id"]})["job"]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (None, "message"),
        ({}, "state is an object, but nothing came"),
        ({"state": {}}, "the state's version is 1"),
        ({"state": 1, "shard_bytes": 1}, "state is an object"),
        ({"shard_bytes": 0}, "shard_bytes is a whole number of bytes"),
        ({"shard_bytes": True}, "shard_bytes is a whole number of bytes"),
        ({"shard_bytes": 2**60}, "shard_bytes is a whole number of bytes"),
        ({"shard_bytes": 999}, "at least 1000 bytes, but 999 came"),
        ({"folder": "/etc"}, "folder"),
    ],
)
def test_a_message_that_is_wrong_is_refused(message: Any, said: str, ann: Browser) -> None:
    if isinstance(message, dict) and message and "state" not in message:
        message = {"state": ann.state(), **message}
    for name in ("export_plan", "export_start"):
        assert any(said in sentence for sentence in refused(ann.call(name, message)))


@pytest.mark.parametrize("job", [None, 7, "x" * 65, ["a"]])
def test_an_id_that_is_none_is_refused(job: Any, ann: Browser) -> None:
    for name in ("job_status", "job_cancel", "job_delete"):
        assert "job is the id of a job" in refused(ann.call(name, {"job": job}))[0]


def test_a_recipe_with_files_of_the_server_is_refused(ann: Browser) -> None:
    state = ann.state()
    state["recipe"]["models"][0]["ref"] = "file:/etc"
    for name in ("export_plan", "export_start"):
        assert ann.call(name, {"state": state, "shard_bytes": None})["ok"] is False
