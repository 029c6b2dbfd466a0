"""Each way in which the Hub can fail has one sentence, a kind, and an end."""

from __future__ import annotations

import time

import pytest

from merging_core.errors import HubAccessError, HubAwayError, HubError
from merging_core.hub.client import Hub
from merging_core.hub.problems import of_status
from tests.hub.conftest import Visit
from tests.hub.server import ADA, FakeHub

SENTENCES = [
    ("404", "api", HubAccessError, "the model exists on the Hub and may be seen by you, but nothing of that name came"),
    ("401", "api", HubAccessError, "the Hub accepts the token, but a refusal (401) came; sign in again"),
    ("401repo", "api", HubAccessError, "the model exists on the Hub and may be seen by you, but nothing of that name"),
    ("gated", "auth", HubAccessError, "this gated model, but none came; ask for access at {endpoint}/ada/digits"),
    ("gated", "resolve", HubAccessError, "ask for access at {endpoint}/ada/digits"),
    ("disabled", "api", HubAccessError, "your token may read this, but a refusal (403) came; allow it at"),
    ("429", "api", HubAwayError, "its limit of requests (429) came; try again in 300 s"),
    ("500", "api", HubAwayError, "the Hub answers, but an error of its own (500) came; try again in a moment"),
    ("500", "resolve", HubAwayError, "an error of its own (500)"),
    ("cut", "api", HubAwayError, "the Hub can be reached, but an answer that was cut off came"),
    ("cut", "resolve", HubAwayError, "an answer that was cut off came"),
    ("captive", "auth", HubError, "the answer comes from the Hub, but a web page came; a network's sign-in page"),
    ("captive", "api", HubError, "the answer comes from the Hub, but a web page came"),
    ("captive", "resolve", HubError, "the answer comes from the Hub, but a web page came"),
    ("unpackable", "api", HubError, "the answer comes from the Hub, but something that cannot be unpacked came"),
    ("bomb", "api", HubError, "the Hub's answer has at most 67,108,864 bytes, but a longer one came"),
    ("half", "api", HubAwayError, "an answer that was cut off came"),
    ("json", "api", HubError, "the answer comes from the Hub, but something else came"),
    ("sizelie", "resolve", HubError, "bytes, as the Hub lists it, but one of"),
    ("truncated", "resolve", HubAwayError, "an answer that was cut off came"),
    ("corrupt", "resolve", HubError, "as the Hub says, but"),
    ("moved", "resolve", HubError, "the Hub keeps the commit that was asked for, but another one came"),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "where", "kind", "said"), SENTENCES, ids=lambda value: str(value)[:12])
def test_a_failure_is_one_sentence_that_names_the_model(
    fake: FakeHub, visit: Visit, mode: str, where: str, kind: type[HubError], said: str
) -> None:
    fake.fail(mode, where, seconds=300)
    with pytest.raises(HubError) as failed:
        visit(ADA).survey("hub:ada/digits")
    assert type(failed.value) is kind
    sentence = str(failed.value)
    assert said.format(endpoint=fake.endpoint) in sentence
    assert sentence.startswith("hub:ada/digits") and sentence.endswith(".")
    for word in ("\n", ADA, "secret", "<", "Traceback", "127.0.0.1:" + fake.storage.rpartition(":")[2]):
        assert word not in sentence


def test_who_has_no_token_is_not_told_to_change_it(fake: FakeHub, visit: Visit) -> None:
    fake.fail("disabled", "api")
    with pytest.raises(HubAccessError, match=r"everybody may read this, but a refusal \(403\) came; sign in or give a"):
        visit(None).survey("hub:ada/digits")


@pytest.mark.parametrize("mode", ["404", "401", "429", "500", "cut", "captive", "json", "deep"])
def test_a_search_that_fails_is_one_sentence(fake: FakeHub, visit: Visit, mode: str) -> None:
    fake.fail(mode, "search", seconds=300)
    with pytest.raises(HubError) as failed:
        visit().search("digits")
    assert len(failed.value.problems) == 1 and "\n" not in str(failed.value)


@pytest.mark.parametrize("mode", ["slow", "drip"])
@pytest.mark.parametrize("where", ["api", "search", "auth"])
def test_no_silence_is_longer_than_the_deadline(fake: FakeHub, visit: Visit, mode: str, where: str) -> None:
    hour = 3600
    fake.fail(mode, where, seconds=hour)
    start = time.monotonic()
    with pytest.raises(HubAwayError, match="the Hub answers in time, but no whole answer in"):
        hub = visit(deadline=0.5)
        hub.search("digits") if where == "search" else hub.survey("hub:ada/digits")
    assert time.monotonic() - start < hour / 2


def test_a_hub_that_is_not_there_is_said_to_be_out_of_reach(fake: FakeHub, visit: Visit) -> None:
    fake.close()
    with pytest.raises(HubAwayError, match="the Hub can be reached, but no connection came; check the network"):
        visit().survey("hub:ada/digits")


def test_offline_mode_is_named_with_its_variable(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubAwayError, match="unset HF_HUB_OFFLINE"):
        visit().search("digits")


def test_a_passing_failure_is_not_told(fake: FakeHub, visit: Visit) -> None:
    fake.fail("500", "api", times=1)
    fake.fail("cut", "auth", times=2)
    fake.fail("429", "resolve", times=1, seconds=1)
    fake.fail("half", "api", times=1)
    fake.fail("truncated", "resolve", times=1, match="model.safetensors")
    assert visit().survey("hub:ada/digits").elements == 23
    assert len(fake.asked("/auth-check")) == 3


@pytest.mark.parametrize("mode", ["404", "401", "disabled"])
def test_a_refusal_by_another_host_says_nothing_of_rights_and_a_new_address_is_asked_for(
    fake: FakeHub, visit: Visit, mode: str
) -> None:
    fake.fail("elsewhere", "resolve")
    fake.fail(mode, "storage", times=1)
    assert visit(ADA).survey("hub:ada/digits").elements == 23
    fake.fail(mode, "storage")
    with pytest.raises(HubAwayError, match="the store to which the Hub leads gives the file, but a refusal"):
        visit(ADA).survey("hub:ada/letters")
    assert {request.token for request in fake.asked(host="storage")} == {None}


def test_an_error_of_the_hub_says_when_to_try_again_where_the_hub_does() -> None:
    away = of_status(503, {"Retry-After": "120"}, repo="", endpoint="", signed_in=False)
    assert str(away) == "the Hub answers, but an error of its own (503) came; try again in 120 s."


def test_a_long_limit_is_told_at_once_and_not_waited_for(fake: FakeHub, visit: Visit) -> None:
    fake.fail("429", "search", seconds=300)
    with pytest.raises(HubAwayError, match="try again in 300 s"):
        visit().search("digits")
    assert len(fake.requests) == 1


def test_a_failing_request_is_made_three_times_at_most(fake: FakeHub, visit: Visit) -> None:
    fake.fail("500", "search")
    with pytest.raises(HubAwayError):
        visit().search("digits")
    assert len(fake.requests) == 3


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("hub:ada/nothing", "the model exists on the Hub and may be seen by you, but nothing of that name came"),
        ("hub:ada/digits@v9", "the revision exists in the repository, but none of that name came"),
        ("hub:ada/digits@" + "0" * 40, "the revision exists in the repository, but none of that name came"),
    ],
)
def test_what_does_not_exist_is_said_to_be_missing(visit: Visit, ref: str, said: str) -> None:
    with pytest.raises(HubAccessError) as failed:
        visit(ADA).survey(ref)
    assert said in str(failed.value)


def test_a_bad_address_or_token_is_refused_before_any_request(visit: Visit, fake: FakeHub) -> None:
    with pytest.raises(HubError, match="starts with https://"):
        visit(endpoint="ftp://hub")
    with pytest.raises(HubError, match="a token is plain text") as failed:
        visit("hf_x\nX-Evil: 1")
    assert "Evil" not in str(failed.value)
    assert fake.requests == []


def test_other_users_of_huggingface_hub_are_left_alone(fake: FakeHub, visit: Visit) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    visit().search("digits")
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=fake.endpoint, token=False).model_info("ada/nothing")
    assert HfApi(endpoint=fake.endpoint, token=False).model_info("ada/digits").id == "ada/digits"


def test_a_hub_shows_no_token(visit: Visit) -> None:
    hub: Hub = visit(ADA)
    hub.check_access("hub:ada/digits")
    assert ADA not in repr(hub) and ADA not in repr(vars(hub.memory)) and ADA not in repr(hub._caller())


def test_a_short_text_is_no_sign_in_page(fake: FakeHub, visit: Visit) -> None:
    hub = visit()
    fake.fail("captive", "auth")
    with pytest.raises(HubError, match="sign-in page"):
        hub.check_access("hub:ada/digits")
    fake.heal()
    fake.fail("okay", "auth")
    hub.check_access("hub:ada/digits")
    asked = len(fake.requests)
    hub.check_access("hub:ada/digits")
    assert len(fake.requests) == asked == 2, "the short text is a yes, and a yes is kept"
