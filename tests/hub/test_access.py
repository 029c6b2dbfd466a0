"""Who gets what: each visitor's own token or none, and the Hub is asked before the cache is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from merging_core.errors import HubAccessError, HubAwayError, HubError
from merging_core.hub.access import Memory
from merging_core.hub.client import Hub
from tests.hub.conftest import Visit, files
from tests.hub.server import ADA, BOB, FakeHub

CANARY = "hf_" + "C" * 34


def use_everything(hub: Hub) -> None:
    hub.search("digits")
    hub.experts_of("ada/base")
    hub.download(hub.pin("hub:ada/digits"))
    hub.open("hub:ada/digits")


def test_a_visitor_without_a_token_sends_none_whatever_lies_on_this_machine(
    fake: FakeHub, visit: Visit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(CANARY)
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    use_everything(visit())
    assert fake.requests != [] and {request.token for request in fake.requests} == {None}


def test_a_visitor_sends_the_own_token_with_every_request(fake: FakeHub, visit: Visit) -> None:
    use_everything(visit(BOB))
    assert {request.token for request in fake.requests} == {BOB}


def test_a_token_stays_with_the_host_that_it_is_for(fake: FakeHub, visit: Visit) -> None:
    fake.fail("elsewhere", "resolve")
    folder = visit(ADA).download("hub:ada/digits")
    assert (folder / "model.safetensors").read_bytes() == files(0.5)["model.safetensors"]
    assert {request.token for request in fake.asked("/resolve/", host="hub")} == {ADA}
    assert {request.token for request in fake.asked("/resolve/", host="storage")} == {None}


def test_cookies_of_one_visitor_do_not_reach_another(fake: FakeHub, visit: Visit) -> None:
    visit(ADA).download("hub:ada/digits")
    visit(BOB).download("hub:ada/letters")
    assert {request.cookie for request in fake.requests} == {None}


def test_a_gated_model_in_the_cache_is_refused_to_whom_the_hub_refuses_it(fake: FakeHub, visit: Visit) -> None:
    fake.models["ada/digits"].gated = True
    ref = visit(ADA).pin("hub:ada/digits")
    visit(ADA).download(ref)
    assert visit(ADA).open(ref).known_content is not None
    for token in (BOB, None):
        hub = visit(token)
        for ask in (hub.open, hub.survey, hub.download, hub.missing_bytes, hub.check_access):
            with pytest.raises(HubAccessError, match=f"gated model, but none came; ask for access at {fake.endpoint}"):
                ask(ref)


def test_private_and_missing_are_the_same_to_a_stranger(fake: FakeHub, visit: Visit) -> None:
    fake.models["ada/digits"].private = True
    visit(ADA).download("hub:ada/digits")
    for token in (BOB, None):
        texts = []
        for name in ("digits", "digitz"):
            with pytest.raises(HubAccessError) as refused:
                visit(token).open(f"hub:ada/{name}")
            texts.append(str(refused.value).replace(name, ""))
        assert texts[0] == texts[1]
    assert "sign in" in texts[0]


def test_a_yes_of_the_hub_holds_for_a_minute_and_for_one_token(fake: FakeHub, visit: Visit) -> None:
    clock = [0.0]
    memory = Memory(60, lambda: clock[0])
    model = fake.models["ada/digits"]
    model.private = True
    visit(ADA, memory=memory).check_access("hub:ada/digits")
    model.readers = frozenset()
    clock[0] = 59.0
    visit(ADA, memory=memory).check_access("hub:ada/digits")
    with pytest.raises(HubAccessError):
        visit(BOB, memory=memory).check_access("hub:ada/digits")
    clock[0] = 60.0
    with pytest.raises(HubAccessError):
        visit(ADA, memory=memory).check_access("hub:ada/digits")


def test_a_no_of_the_hub_is_not_kept(fake: FakeHub, visit: Visit) -> None:
    model = fake.models["ada/digits"]
    model.gated, model.readers = True, frozenset()
    with pytest.raises(HubAccessError):
        visit(ADA).check_access("hub:ada/digits")
    model.readers = frozenset({ADA})
    visit(ADA).check_access("hub:ada/digits")
    assert len(fake.asked("/auth-check")) == 2


def test_the_own_cache_is_used_without_the_hub_and_that_is_said(fake: FakeHub, visit: Visit) -> None:
    ref = visit().pin("hub:ada/digits")
    visit().download(ref)
    fake.close()
    said: list[str] = []
    opened = visit(own_cache=True, notice=said.append, memory=Memory()).open(ref)
    assert opened.read("layers.0.bias").shape == (3,)
    assert said == [f"{ref.label}: taken from the cache, since the Hub cannot be asked (no connection)."]
    with pytest.raises(HubAwayError):
        visit(memory=Memory()).open(ref)
    with pytest.raises(HubAwayError):
        visit(own_cache=True, memory=Memory()).open("hub:ada/digits")


def test_while_the_hub_is_away_it_is_not_asked_again_for_what_lies_in_the_own_cache(
    fake: FakeHub, visit: Visit
) -> None:
    ref = visit().pin("hub:ada/digits")
    visit().download(ref)
    fake.fail("429", "auth")
    hub = visit(own_cache=True, memory=Memory())
    hub.open(ref)
    asked = len(fake.requests)
    hub.open(ref)
    assert len(fake.requests) == asked
    with pytest.raises(HubAwayError):
        hub.open("hub:ada/letters")
    assert len(fake.requests) > asked, "what is not here is asked for"


def test_the_own_cache_is_not_used_where_the_hub_says_no(fake: FakeHub, visit: Visit) -> None:
    ref = visit().pin("hub:ada/digits")
    visit().download(ref)
    fake.models["ada/digits"].private = True
    with pytest.raises(HubAccessError):
        visit(own_cache=True, memory=Memory()).open(ref)


def test_a_sign_in_page_lets_nobody_in(fake: FakeHub, visit: Visit) -> None:
    ref = visit(ADA).pin("hub:ada/digits")
    visit(ADA).download(ref)
    fake.fail("captive", "auth")
    with pytest.raises(HubError, match="a web page"):
        visit(BOB).open(ref)


def test_no_token_is_written_down_or_said(
    fake: FakeHub, visit: Visit, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    hub = visit(ADA)
    use_everything(hub)
    fake.fail("500")
    with pytest.raises(HubError) as failed:
        hub.search("digits")
    said = "".join(capfd.readouterr()) + caplog.text + str(failed.value)
    written = b"".join(path.read_bytes() for path in hub.cache.rglob("*") if path.is_file())
    assert ADA not in said and ADA.encode() not in written and written != b""
