"""Models of the Hub over the wire: found, looked at, checked from headers, downloaded, merged."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.app.hub.conftest import TASK, HubServer, Start, ended
from tests.app.test_jobs import until
from tests.app.wire import sentences
from tests.hub.server import ADA, FakeHub


def test_models_are_found_by_words_by_base_and_page_by_page(server: HubServer) -> None:
    bob = server.visitor("bob")
    found = bob.call("hub_search", {"text": "dig", "sort": "downloads", "page": 0})
    assert found["ok"], found
    assert [(entry["ref"], entry["downloads"]) for entry in found["entries"]] == [("hub:ada/digits", 20)]
    assert (found["page"], found["more"]) == (0, False)
    experts = bob.call("hub_search", {"base": "ada/base", "page": 0})["entries"]
    assert {entry["id"] for entry in experts} == {"ada/digits", "ada/greek"}
    assert {entry["licence"] for entry in experts} == {"apache-2.0"}
    assert {entry["gated"] for entry in experts if entry["id"] == "ada/greek"} == {True}
    hers = server.visitor("ada").call("hub_search", {"base": "https://huggingface.co/ada/base"})["entries"]
    assert "ada/letters" in {entry["id"] for entry in hers}


def test_a_model_is_looked_at_from_its_headers_at_the_commit_of_now(server: HubServer) -> None:
    bob = server.visitor("bob")
    for address in ("ada/digits", "https://huggingface.co/ada/digits/tree/main", server.ref("ada/digits")):
        answer = bob.call("hub_look", {"address": address})
        assert answer["ok"], answer
        seen = answer["checkpoint"]
        assert seen["ref"] == server.ref("ada/digits")
        assert (seen["architecture"], seen["licence"]) == ("CLIPVisionModel", "apache-2.0")
        assert seen["base_models"] == ["ada/base"] and seen["missing"] > seen["bytes"] > 0
    assert not server.cache.exists()
    refused = bob.call("hub_look", {"address": "ada/letters"})
    assert "nothing of that name" in sentences(refused)[0]
    assert "ask for access at" in sentences(bob.call("hub_look", {"address": "ada/greek"}))[0]


def test_what_is_not_downloaded_is_checked_from_headers_and_priced(server: HubServer) -> None:
    bob = server.visitor("bob")
    answer = bob.call("models_check", server.choice("ada/digits"))
    assert answer["ok"], answer
    assert [row["ref"] for row in answer["missing"]] == [server.ref("ada/base"), server.ref("ada/digits")]
    assert answer["bytes"] == sum(row["bytes"] for row in answer["missing"]) > 1000
    assert answer["free"] > answer["bytes"] and answer["seconds"] > 0
    assert answer["state"]["recipe"]["base"] == server.ref("ada/base")
    told = sentences(bob.live("preview", answer["state"]))
    assert len(told) == 2 and all("MB) are downloaded before it is merged" in one for one in told)
    assert told[0].startswith("hub:ada/base@")
    assert not server.cache.exists()


def test_a_download_is_watched_once_for_the_same_models_and_then_they_are_merged(server: HubServer) -> None:
    ada = server.visitor("ada")
    refs = [server.ref("ada/base"), server.ref("ada/digits")]
    server.fake.fail("slow", "resolve", times=1, match="model.safetensors", seconds=1)
    first = ada.call("hub_download", {"refs": refs})["job"]
    again = ada.call("hub_download", {"refs": refs[::-1]})["job"]
    assert (first["id"], first["kind"], first["title"]) == (again["id"], "download", "ada/base and 1 more")
    job = ended(ada, first["id"])
    assert job["state"] == "done", job["problems"]
    assert job["done"] == job["result"]["bytes"] > 0 and job["result"]["refs"] == refs
    log = [line["text"] for line in job["log"]]
    assert any("model.safetensors" in line and "hub:ada/digits@" in line for line in log)
    checked = ada.call("models_check", server.choice("ada/digits"))
    assert checked["ok"] and "missing" not in checked, checked
    numbers = ada.live("settle", checked["state"])["numbers"]
    assert numbers["tasks"][0]["task"] == TASK
    assert ada.live("layers", checked["state"])["numbers"]["experts"][0]["title"] == "digits"
    assert ada.call("hub_download", {"refs": refs})["job"]["id"] == job["id"]
    written = [
        path.read_bytes() for place in (server.cache, server.data) for path in place.rglob("*") if path.is_file()
    ]
    assert written and not any(ADA.encode() in data for data in written) and ADA not in json.dumps([job, checked])
    shutil.rmtree(server.cache)
    assert ada.call("hub_download", {"refs": refs})["job"]["id"] != job["id"]


def test_a_download_is_cancelled_and_goes_on_from_there(server: HubServer, fake: FakeHub) -> None:
    bob = server.visitor("bob")
    bob.call("hub_look", {"address": "ada/digits"})
    weights = "digits/resolve/" + server.ref("ada/digits")[-40:] + "/model.safetensors"
    fake.fail("norange", "resolve", times=1, match=weights)  # the job reads the header
    fake.fail("truncated", "resolve", times=1, match=weights)
    fake.fail("slow", "resolve", match=weights, seconds=30)
    begun = bob.call("hub_download", {"refs": [server.ref("ada/digits")]})
    assert begun["ok"], begun
    part = server.cache.joinpath("models", "ada", "digits", server.ref("ada/digits")[-40:], "model.safetensors.part")
    until(lambda: part.is_file() and part.stat().st_size > 0)
    bob.call("job_cancel", {"job": begun["job"]["id"]})
    assert ended(bob, begun["job"]["id"])["state"] == "cancelled"
    held = part.stat().st_size
    fake.heal()
    fake.requests.clear()
    assert server.downloaded(bob, "ada/digits")["state"] == "done"
    assert f"bytes={held}-" in {request.range for request in fake.asked("digits/resolve")}


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = server.visitor("bob")
    need = bob.call("models_check", server.choice("ada/digits"))["bytes"]
    usage = shutil.disk_usage(server.data)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=int(1.05 * need)))
    for answer in (
        bob.call("models_check", server.choice("ada/digits")),
        bob.call("hub_download", {"refs": [server.ref("ada/base"), server.ref("ada/digits")]}),
    ):
        assert "the disk has room for" in sentences(answer)[0]
    assert bob.call("job_list", {"kind": "download"})["jobs"] == []


def test_whoever_runs_this_basin_is_asked_for_with_their_token_and_a_proxy_s_visitors_are_not(start: Start) -> None:
    server = start(HF_TOKEN=ADA)
    owner, passed = server.visitor(), server.visitor()
    passed.client.headers["x-forwarded-for"] = "203.0.113.9"
    offer = owner.call("models_list", {})["hub"]
    told = {"offered": True, "endpoint": server.fake.endpoint, "account": None, "sign_in": None, "own": True}
    assert offer == told
    assert owner.call("hub_look", {"address": "ada/letters"})["ok"]
    assert passed.call("models_list", {})["hub"]["own"] is False
    assert not passed.call("hub_look", {"address": "ada/letters"})["ok"]
    without = start(BASIN_HUB="0").visitor()
    assert without.call("models_list", {})["hub"]["offered"] is False
    assert without.post("hub_search", {"text": "x"}).status_code != 200


def test_messages_about_the_hub_are_read_strictly(server: HubServer) -> None:
    bob = server.visitor("bob")
    for name, wrong in (
        ("hub_search", {"text": 7}),
        ("hub_search", {"sort": "size"}),
        ("hub_search", {"page": 99}),
        ("hub_search", {"base": "datasets/x"}),
        ("hub_look", {}),
        ("hub_look", {"address": "zoo:tiny/base"}),
        ("hub_look", {"address": "https://example.org/ada/base"}),
        ("hub_download", {"refs": []}),
        ("hub_download", {"refs": ["hub:ada/base"]}),
        ("hub_download", {"refs": ["zoo:tiny/base"]}),
    ):
        assert sentences(bob.call(name, wrong)), (name, wrong)
    assert server.fake.requests == []
    loose = {"base": "hub:ada/base@main", "experts": [{"ref": "hub:ada/digits", "task": None}], "tasks": []}
    told = sentences(bob.call("models_check", loose))
    assert len(told) == 2 and all("with its commit" in one for one in told)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("404", "nothing of that name"),
        ("401", "the Hub accepts the token"),
        ("gated", "ask for access at"),
        ("429", "its limit of requests (429)"),
        ("500", "an error of its own (500)"),
        ("cut", "the Hub can be reached"),
        ("captive", "a web page"),
        ("json", "the answer comes from the Hub"),
    ],
)
def test_whatever_the_hub_answers_instead_is_one_sentence(server: HubServer, mode: str, said: str) -> None:
    bob = server.visitor("bob")
    server.fake.fail(mode)
    asked = [
        bob.call("hub_look", {"address": "ada/digits"}),
        bob.call("hub_download", {"refs": [server.ref("ada/digits")]}),
        bob.call("models_check", server.choice("ada/digits")),
    ]
    for answer in asked:
        assert any(said in one for one in sentences(answer)), answer
    assert "secret stack" not in json.dumps(asked) and "hf_" not in json.dumps(asked)
    assert sentences(bob.call("hub_search", {"text": "x"}))
