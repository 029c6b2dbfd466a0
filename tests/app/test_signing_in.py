"""Visitors of a Space sign in: through Gradio's own routes, with a provider that stands in for Hugging Face."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.callers import Caller, Callers
from app.settings import Settings
from app.signing_in import signed_in
from app.space import files_of_space
from app.visitors import SCOPE_KEY
from tests.app.at_a_space import OFFERED, SpaceVisitor, space_server
from tests.app.openid import CLIENT_SECRET, OpenId, token_of
from tests.app.pretend import PretendServer

SERVERS_OWN = "hf_" + "S" * 34


@pytest.fixture
def provider() -> Iterator[OpenId]:
    made = OpenId()
    yield made
    made.stop()


@pytest.fixture
def space(tmp_path: Path, provider: OpenId, monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendServer]:
    """A running Space whose provider is the stand-in; it has a token of its own, which is nobody's business."""
    monkeypatch.setenv("HF_TOKEN", SERVERS_OWN)
    server = space_server(tmp_path, provider, monkeypatch)
    yield server
    server.stop()


def test_two_visitors_sign_in_and_each_is_known_by_the_own_account(space: PretendServer, provider: OpenId) -> None:
    ann, bob, nobody = (SpaceVisitor(space.url) for _ in range(3))
    for visitor, account in ((ann, "ann"), (bob, "bob")):
        provider.visitor = account
        assert visitor.call("hello", {"link": None})["hub"] == {"account": None, "sign_in": "login/huggingface"}
        assert visitor.get("/login/huggingface?_target_url=/", accept="text/html").status_code == 200
    assert [one.call("account")["hub"]["account"] for one in (ann, bob, nobody)] == ["ann", "bob", None]
    assert ann.call("hello", {"link": None})["hub"]["account"] == "ann"
    for visitor in (ann, bob, nobody):
        whole = "\n".join(visitor.seen)
        assert not [token for token in (token_of("ann"), token_of("bob"), SERVERS_OWN) if token in whole]
        visitor.close()


def test_a_session_s_cookie_works_in_the_frame_of_another_site_and_no_script_reads_it(space: PretendServer) -> None:
    ann = SpaceVisitor(space.url)
    ann.get("/login/huggingface")
    rules = ann.rules["session"].lower()
    assert "samesite=none" in rules and "secure" in rules and "httponly" in rules
    ann.close()


def test_signing_out_forgets_the_account(space: PretendServer) -> None:
    ann = SpaceVisitor(space.url)
    ann.get("/login/huggingface")
    assert ann.call("account")["hub"]["account"] == "ann"
    ann.get("/logout?_target_url=/")
    assert ann.call("account")["hub"]["account"] is None
    ann.close()


def test_a_token_that_no_longer_holds_counts_as_none(space: PretendServer, provider: OpenId) -> None:
    provider.lasts = -10
    ann = SpaceVisitor(space.url)
    ann.get("/login/huggingface")
    assert ann.call("account")["hub"]["account"] is None
    ann.close()


def test_a_page_of_another_site_never_asks_with_a_visitor_s_token(space: PretendServer) -> None:
    ann = SpaceVisitor(space.url)
    ann.get("/login/huggingface")
    body = {"data": {}, "component_id": ann.component, "fn_name": "account", "session_hash": "shared"}
    for told in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}):
        asked = ann.ask("POST", "/gradio_api/component_server/", json=body, headers=told).json()
        assert asked["hub"]["account"] is None, told
    assert ann.call("account")["hub"]["account"] == "ann"
    ann.close()


def test_a_forged_session_is_nobody_s(space: PretendServer) -> None:
    ann = SpaceVisitor(space.url)
    ann.get("/login/huggingface")
    host = urlsplit(space.url).netloc
    signed = ann.cookies[host]["session"]
    told = json.loads(base64.b64decode(signed.split(".")[0]))
    told["oauth_info"]["userinfo"]["preferred_username"] = "bob"
    forged = base64.b64encode(json.dumps(told).encode()).decode()
    ann.cookies[host]["session"] = ".".join([forged, *signed.split(".")[1:]])
    assert ann.call("account")["hub"]["account"] is None
    ann.close()


def test_whoever_declines_comes_back_to_the_page_and_no_secret_is_logged(
    space: PretendServer, provider: OpenId, caplog: pytest.LogCaptureFixture
) -> None:
    provider.visitor = None
    ann = SpaceVisitor(space.url)
    with caplog.at_level(logging.INFO):
        assert ann.get("/login/huggingface", accept="text/html").status_code == 200
    assert any("/#not-signed-in" in address for address in ann.seen)
    assert ann.call("account")["hub"]["account"] is None
    assert "session" not in ann.cookies[urlsplit(space.url).netloc]
    assert CLIENT_SECRET not in caplog.text
    ann.close()


@pytest.mark.parametrize("missing", [None, *OFFERED])
def test_it_is_offered_where_a_space_has_all_that_it_needs(tmp_path: Path, missing: str | None) -> None:
    told = {name: value for name, value in OFFERED.items() if name != missing}
    found = Settings.from_env({**told, "BASIN_DATA": str(tmp_path)})
    assert found.sign_in is (missing in (None, "SPACE_ID"))


def test_elsewhere_nothing_is_offered_and_the_own_token_is_the_only_caller_s(tmp_path: Path) -> None:
    class Request:
        headers: dict[str, str] = {}
        scope = {SCOPE_KEY: "ann", "session": {"oauth_info": info("hf_oauth_other", 2**40, "bob")}}

    assert Callers(SERVERS_OWN).of(Request()) == Caller("ann", SERVERS_OWN)  # type: ignore[arg-type]
    assert Callers(SERVERS_OWN).account() == {"account": None, "sign_in": None}
    assert Callers(SERVERS_OWN, sign_in=True).of(Request()) == Caller("ann", "hf_oauth_other", "bob")  # type: ignore[arg-type]
    Request.scope["session"] = {}
    assert Callers(SERVERS_OWN, sign_in=True).of(Request()) == Caller("ann")  # type: ignore[arg-type]


def info(token: object, until: object, name: object) -> dict[str, Any]:
    return {"access_token": token, "expires_at": until, "userinfo": {"preferred_username": name}}


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"access_token": "hf_x"},
        info("", 2**40, "ann"),
        info(7, 2**40, "ann"),
        info("hf_x\r\nHost: evil", 2**40, "ann"),
        info("hf_x", "tomorrow", "ann"),
        info("hf_x", None, "ann"),
        info("hf_x", 1, "ann"),
    ],
)
def test_a_session_that_is_not_whole_names_nobody(told: object) -> None:
    assert signed_in({"oauth_info": told}) is None


@pytest.mark.parametrize("name", [None, 7, "a" * 97])
def test_an_account_without_a_usable_name_has_none(name: object) -> None:
    assert signed_in({"oauth_info": info("hf_x", 2**40, name)}) == ("hf_x", "")


def test_a_space_installs_what_signing_in_needs() -> None:
    text = files_of_space()["requirements.txt"]
    assert isinstance(text, bytes)
    assert "gradio[oauth]>=" in text.decode()
    root = Path(__file__).resolve().parents[2]
    assert text.decode().replace("gradio[oauth]", "gradio") == (root / "requirements.txt").read_text()
