"""Publishing over the wire: planned, started, watched, with the own token of whoever is signed in and no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from app.callers import Caller, Callers, called_by
from app.publish import service
from app.publish.work import publish
from merging_core.errors import BasinError, CancelledError, Problem
from tests.app.at_a_space import SpaceVisitor, space_server
from tests.app.openid import OpenId, token_of
from tests.app.pretend import PretendServer
from tests.app.test_jobs import until
from tests.app.wire import Browser, sentences
from tests.hub.test_publish import relicense
from tests.hub.uploads import TOKEN, Refusal, Repo, UploadHub

# The client hands a file to its HTTP library in a way that this one will no longer take some day.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
SERVERS_OWN = "hf_" + "S" * 34


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PretendServer, UploadHub, OpenId]]:
    """A Space, the Hub that it publishes to, and where its visitors sign in; worker processes know that Hub too."""
    provider, hub = OpenId(), UploadHub()
    hub.accounts |= {token_of(name): name for name in ("ann", "bob")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True), ("ENDPOINT", hub.url)):
            patch.setattr(constants, name, value)
        for name, value in (("HF_HUB_OFFLINE", "0"), ("HF_HUB_DISABLE_XET", "1"), ("HF_ENDPOINT", hub.url)):
            patch.setenv(name, value)
        patch.setenv("HF_TOKEN", SERVERS_OWN)
        server = space_server(tmp_path_factory.mktemp("data"), provider, patch, hub=hub.url)
        yield server, hub, provider
        server.stop()
    hub.stop()
    provider.stop()


def signed_in(world: tuple[PretendServer, UploadHub, OpenId], account: str) -> SpaceVisitor:
    server, _, provider = world
    visitor = SpaceVisitor(server.url)
    provider.visitor = account
    visitor.get("/login/huggingface")
    return visitor


def exported(visitor: SpaceVisitor) -> str:
    state = visitor.call("hello", {"link": None})["state"]
    begun = visitor.call("export_start", {"state": state, "shard_bytes": None})
    assert ended(visitor, begun)["state"] == "done"
    return str(begun["job"]["id"])


def ended(visitor: SpaceVisitor, begun: dict[str, Any]) -> dict[str, Any]:
    assert begun["ok"], begun

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = visitor.call("job_status", {"job": begun["job"]["id"]})["job"]
        return job if job["state"] not in ("queued", "running") else None

    found: dict[str, Any] = until(look)
    return found


@pytest.fixture(scope="module")
def ann(world: tuple[PretendServer, UploadHub, OpenId]) -> Iterator[tuple[SpaceVisitor, str]]:
    """A visitor who is signed in, and an export of hers."""
    visitor = signed_in(world, "ann")
    yield visitor, exported(visitor)
    visitor.close()


@pytest.fixture
def hub(world: tuple[PretendServer, UploadHub, OpenId]) -> Iterator[UploadHub]:
    """The Hub, empty and willing."""
    made = world[1]
    made.repos.clear()
    made.objects.clear()
    made.refuse.clear()
    made.asked.clear()
    made.tokens.clear()
    made.before_commit = None
    made.whoami = {}
    yield made
    made.refuse.clear()


def folder_of(world: tuple[PretendServer, UploadHub, OpenId], job: str) -> Path:
    data = world[0].settings.data
    assert data is not None
    return data / "jobs" / job / "result"


def test_a_plan_says_what_would_happen_and_asks_the_hub_only_about_the_repository(
    hub: UploadHub, ann: tuple[SpaceVisitor, str]
) -> None:
    visitor, job = ann
    plan = visitor.call("publish_plan", {"job": job, "repo": None})["plan"]
    names = {file["name"] for file in plan["files"]}
    assert {"README.md", "model.safetensors", "config.json", "recipe.json", "accuracy.png"} <= names
    assert plan["bytes"] == sum(file["bytes"] for file in plan["files"])
    assert {"part": "zoo:tiny/base", "licence": "apache-2.0"} in plan["parts"] and plan["hindrances"] == []
    assert (plan["account"], plan["may"], plan["trouble"], plan["destination"]) == ("ann", True, None, None)
    assert plan["proposed"].startswith("ann/basin-task-arithmetic-") and plan["owners"] == ["ann"]
    assert [path for _, path in hub.asked] in ([], ["/api/whoami-v2"]), "asked once for each token"
    hub.repos["models", "ann/merge"] = Repo(True, {}, {"model-00001-of-00002.safetensors": b"1", "notes.txt": b"mine"})
    asked = visitor.call("publish_plan", {"job": job, "repo": "ann/merge"})["plan"]["destination"]
    gone = ["model-00001-of-00002.safetensors"]
    assert asked == {"repo": "ann/merge", "exists": True, "private": True, "files": 2, "removed": gone}
    assert visitor.call("publish_plan", {"job": job, "repo": "ann/new"})["plan"]["destination"]["exists"] is False
    assert "owner/name" in sentences(visitor.call("publish_plan", {"job": job, "repo": "merge"}))[0]


def test_two_visitors_publish_each_with_the_own_token_and_nobody_else_s_export(
    world: tuple[PretendServer, UploadHub, OpenId], hub: UploadHub, ann: tuple[SpaceVisitor, str], caplog: Any
) -> None:
    visitor, job = ann
    done = ended(visitor, visitor.call("publish_start", {"job": job, "repo": "ann/merge"}))
    assert done["state"] == "done", done["problems"]
    repo = hub.model("ann/merge")
    assert (repo.private, len(repo.commits)) == (True, 1)
    assert done["result"]["url"] == f"{hub.url}/ann/merge" and done["result"]["commit"] == repo.head
    assert repo.files["model.safetensors"] == (folder_of(world, job) / "model.safetensors").read_bytes()
    assert 'from_pretrained("ann/merge")' in repo.files["README.md"].decode()
    assert done["files"] == [] and done["title"] == "to ann/merge"
    assert hub.tokens == {f"Bearer {token_of('ann')}"}

    said = sentences(visitor.call("publish_plan", {"job": done["id"], "repo": None}))[0]
    assert "what is published is an export that is done, but publish came" in said

    bob, stranger = signed_in(world, "bob"), SpaceVisitor(world[0].url)
    for name, data in (("publish_plan", {"job": job, "repo": None}), ("publish_start", {"job": job, "repo": "bob/x"})):
        assert "a job is one of yours" in sentences(bob.call(name, data))[0]
    own = exported(bob)
    refused = ended(bob, bob.call("publish_start", {"job": own, "repo": "ann/merge", "create": False}))
    assert "the token may write there, but one that may not (403) came" in refused["problems"][0]["sentence"]
    assert len(repo.commits) == 1 and hub.tokens == {f"Bearer {token_of(name)}" for name in ("ann", "bob")}

    said = "\n".join([*visitor.seen, *bob.seen, *stranger.seen, caplog.text])
    data = world[0].settings.data
    assert data is not None
    kept = b"\n".join(path.read_bytes() for path in data.rglob("*") if path.is_file() and path.suffix != ".safetensors")
    for token in (token_of("ann"), token_of("bob"), SERVERS_OWN):
        assert token not in said and token.encode() not in kept
    bob.close()
    stranger.close()


def test_organisations_are_offered_beside_the_own_name_and_their_absence_hinders_nobody(
    world: tuple[PretendServer, UploadHub, OpenId], hub: UploadHub
) -> None:
    cid = signed_in(world, "cid")
    job = exported(cid)
    hub.refuse["/whoami-v2"] = Refusal(429)
    plan = cid.call("publish_plan", {"job": job, "repo": None})["plan"]
    assert (plan["owners"], plan["account"], plan["trouble"], plan["may"]) == (["cid"], "cid", None, True)
    hub.refuse.clear()
    hub.accounts[token_of("cid")] = "cid"
    hub.whoami = {"orgs": [{"name": "lab", "roleInOrg": "write"}, {"name": "club", "roleInOrg": "read"}]}
    plan = cid.call("publish_plan", {"job": job, "repo": None})["plan"]
    assert plan["owners"] == ["cid", "lab"] and plan["proposed"].startswith("cid/")
    hub.asked.clear()
    assert cid.call("publish_plan", {"job": job, "repo": "lab/merge"})["plan"]["owners"] == ["cid", "lab"]
    assert not any("whoami" in path for _, path in hub.asked)
    cid.close()


def test_whoever_is_not_signed_in_is_told_how_and_the_server_s_own_token_is_not_taken(
    world: tuple[PretendServer, UploadHub, OpenId], hub: UploadHub, ann: tuple[SpaceVisitor, str]
) -> None:
    visitor, job = ann
    visitor.get("/logout")
    plan = visitor.call("publish_plan", {"job": job, "repo": "ann/merge"})["plan"]
    assert (plan["may"], plan["account"], plan["destination"], plan["proposed"]) == (False, None, None, "")
    said = "you publish with an account of the Hub, but none came; sign in first."
    assert plan["trouble"] == said
    assert sentences(visitor.call("publish_start", {"job": job, "repo": "ann/merge"})) == [said]
    assert hub.asked == []
    world[2].visitor = "ann"
    visitor.get("/login/huggingface")


def test_at_home_the_own_token_is_asked_whose_it_is_and_strangers_do_not_publish_with_it(
    hub: UploadHub, tmp_path: Path
) -> None:
    server = PretendServer(tmp_path, hub=hub.url, hub_token=TOKEN, alone=True)
    try:
        with Browser(server.url) as browser:
            begun = browser.call("export_start", {"state": browser.state(), "shard_bytes": None})
            id_ = begun["job"]["id"]
            until(lambda: browser.call("job_status", {"job": id_})["job"]["state"] == "done")
            found = [browser.call("publish_plan", {"job": id_, "repo": None})["plan"] for _ in range(2)]
            assert [(plan["account"], plan["may"]) for plan in found] == [("ann", True)] * 2
            assert found[0]["proposed"].startswith("ann/basin-task-arithmetic-")
            assert [path for _, path in hub.asked] == ["/api/whoami-v2"]
            browser.client.headers["x-forwarded-for"] = "10.0.0.7"
            plan = browser.call("publish_plan", {"job": id_, "repo": "ann/merge"})["plan"]
            assert plan["may"] is False and "start Basin with your token in HF_TOKEN" in plan["trouble"]
            assert len(hub.asked) == 1
    finally:
        server.stop()


def test_a_token_that_a_server_shares_for_reading_is_nobody_s_to_publish_with() -> None:
    for who, kind, token in (
        (Caller("v", TOKEN), {}, None),
        (Caller("v", TOKEN, own=True), {"alone": True}, TOKEN),
        (Caller("v", TOKEN, "ann"), {"sign_in": True}, TOKEN),
        (Caller("v"), {"sign_in": True}, None),
    ):
        with called_by(who):
            assert Callers(SERVERS_OWN, **kind).own_token() == token


@pytest.mark.parametrize("changes", [{"create": False}, {"create": False, "as_pull_request": True}])
def test_one_that_is_there_is_changed_or_proposed_to(
    world: Any, hub: UploadHub, ann: tuple[SpaceVisitor, str], tmp_path: Path, changes: dict[str, bool]
) -> None:
    hub.repos["models", "ann/merge"] = Repo(False, {}, {"model-00001-of-00002.safetensors": b"1", "a.txt": b"a"})
    told = Told()
    made = publish(payload(folder_of(world, ann[1]), hub, **changes), tmp_path, told)  # type: ignore[arg-type]
    repo = hub.model("ann/merge")
    if changes.get("as_pull_request"):
        assert made["url"] == f"{hub.url}/ann/merge/discussions/1"
        assert set(repo.files) == {"model-00001-of-00002.safetensors", "a.txt"} and len(repo.proposals) == 1
    else:
        assert made["removed"] == ["model-00001-of-00002.safetensors"]
        assert {"a.txt", "model.safetensors"} <= set(repo.files)
        assert "taken out: model-00001-of-00002.safetensors" in told.lines
    assert list(tmp_path.iterdir()) == []


def test_asking_again_while_it_runs_is_one_job_and_a_cancelled_one_leaves_nothing_of_it(
    hub: UploadHub, ann: tuple[SpaceVisitor, str]
) -> None:
    visitor, job = ann
    hub.refuse["/lfs/"] = Refusal(200, wait=60.0)
    first, second = (visitor.call("publish_start", {"job": job, "repo": "ann/slow"}) for _ in range(2))
    assert first["job"]["id"] == second["job"]["id"]
    until(lambda: any("/lfs/" in path for _, path in list(hub.asked)))
    visitor.call("job_cancel", {"job": first["job"]["id"]})
    done = ended(visitor, first)
    assert done["state"] == "cancelled"
    (left,) = [problem["sentence"] for problem in done["problems"]]
    assert left.startswith("ann/slow: the new repository gets its files") and "empty: publish to it again" in left
    assert set(hub.model("ann/slow").files) == {".gitattributes"} and hub.model("ann/slow").commits == []


def test_a_licence_that_forbids_it_is_said_before_anything_is_asked_and_another_may_be_named(
    world: Any, hub: UploadHub, ann: tuple[SpaceVisitor, str], request: pytest.FixtureRequest
) -> None:
    visitor, job = ann
    card = folder_of(world, job) / "README.md"
    request.addfinalizer(partial(card.write_bytes, card.read_bytes()))
    relicense(folder_of(world, job), "cc-by-nc-4.0")
    visitor.call("publish_plan", {"job": job, "repo": None})
    hub.asked.clear()
    plan = visitor.call("publish_plan", {"job": job, "repo": None})["plan"]
    assert len(plan["hindrances"]) == 1 and "cc-by-nc-4.0, which forbids commercial use," in plan["hindrances"][0]
    start = {"job": job, "repo": "ann/merge"}
    assert sentences(visitor.call("publish_start", start)) == plan["hindrances"]
    assert "such as apache-2.0" in sentences(visitor.call("publish_start", {**start, "licence": "My own!"}))[0]
    assert hub.asked == []
    done = ended(visitor, visitor.call("publish_start", {**start, "licence": "cc-by-nc-4.0"}))
    assert done["state"] == "done", done["problems"]
    assert hub.model("ann/merge").files["README.md"].startswith(b"---\nlicense: cc-by-nc-4.0\n")


class Told:
    """A job's reporter that remembers, and has a token."""

    def __init__(self, token: str = TOKEN) -> None:
        self.secret = token
        self.lines: list[str] = []
        self.left: tuple[Problem, ...] = ()
        self.stop = threading.Event()

    def progress(self, share: float, what: str, done: int = 0) -> None:
        return None

    def log(self, text: str) -> None:
        self.lines.append(text)

    def leaves(self, *problems: Problem) -> None:
        self.left = problems

    def cancelled(self) -> bool:
        return self.stop.is_set()


def payload(folder: Path, hub: UploadHub, **changes: Any) -> dict[str, Any]:
    given = {"folder": str(folder), "name": "merge", "repo": "ann/merge", "private": True, "create": True}
    return {**given, "as_pull_request": False, "licence": None, "endpoint": hub.url, **changes}


@pytest.mark.parametrize(
    ("place", "refusal", "said"),
    [
        ("/api/models/", Refusal(401), "the token is one that the Hub knows"),
        ("/repos/create", Refusal(403), "the token may write there"),
        ("/repos/create", Refusal(409), "nothing else of this name is there"),
        ("/commit/", Refusal(412), "nobody else changes the repository meanwhile"),
        ("/lfs/", Refusal(500), "an error of its own (500)"),
        ("/commit/", Refusal(429, {"RateLimit": '"api";r=0;t=9'}), "try again in 9 s"),
    ],
)
def test_each_refusal_is_a_sentence_and_nothing_is_half_there(
    world: Any, hub: UploadHub, ann: tuple[SpaceVisitor, str], tmp_path: Path, place: str, refusal: Refusal, said: str
) -> None:
    hub.refuse[place] = refusal
    told = Told()
    with pytest.raises(BasinError) as caught:
        publish(payload(folder_of(world, ann[1]), hub), tmp_path, told)  # type: ignore[arg-type]
    assert said in str(caught.value) and TOKEN not in str(caught.value) + "".join(told.lines)
    assert told.left == () and len(caught.value.problems) == 1 + len(hub.repos), "the error says what is left"
    assert not [name for repo in hub.repos.values() for name in repo.files if name.endswith(".safetensors")]
    assert list(tmp_path.iterdir()) == []


def test_between_two_files_it_stops(world: Any, hub: UploadHub, ann: tuple[SpaceVisitor, str], tmp_path: Path) -> None:
    told = Told()
    told.stop.set()
    with pytest.raises(CancelledError):
        publish(payload(folder_of(world, ann[1]), hub), tmp_path, told)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_gone_is_said(hub: UploadHub, tmp_path: Path) -> None:
    with pytest.raises(BasinError, match="the export is still there, but one that was deleted came"):
        publish(payload(tmp_path / "none", hub), tmp_path, Told())  # type: ignore[arg-type]


def test_a_hub_that_falls_silent_is_not_waited_for(
    hub: UploadHub, ann: tuple[SpaceVisitor, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_SILENCE", 0.3)
    hub.refuse["/api/models/"] = Refusal(200, wait=60.0)
    said = sentences(ann[0].call("publish_plan", {"job": ann[1], "repo": "ann/merge"}))[0]
    assert said.startswith("ann/merge: ") and "answer" in said


@pytest.mark.parametrize(
    "message",
    [
        {"repo": "ann/x", "create": True, "as_pull_request": True},
        {"repo": "ann/x", "private": "yes"},
        {"repo": 7},
        {"repo": "x" * 201},
        {},
    ],
)
def test_a_message_that_makes_no_sense_starts_nothing(
    hub: UploadHub, ann: tuple[SpaceVisitor, str], message: dict[str, Any]
) -> None:
    assert sentences(ann[0].call("publish_start", {"job": ann[1], **message}))
    assert hub.asked == []
