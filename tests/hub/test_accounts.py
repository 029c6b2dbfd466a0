"""Whose a token is, and for whom it may write, in whatever form the Hub says it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from huggingface_hub import constants

from merging_core.errors import HubError
from merging_core.hub.accounts import Account, account_of
from tests.hub.uploads import TOKEN, Refusal, UploadHub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadHub]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    made = UploadHub()
    yield made
    made.stop()


ORGS = [
    {"type": "org", "name": "lab", "roleInOrg": "write"},
    {"type": "org", "name": "home", "roleInOrg": "admin"},
    {"type": "org", "name": "club", "roleInOrg": "read"},
    {"type": "org", "name": "help", "roleInOrg": "contributor"},
    {"type": "org", "name": "shut", "roleInOrg": "admin", "canWrite": False},
    {"type": "org", "name": "<img src=x>", "roleInOrg": "admin"},
    {"type": "org", "name": 7, "roleInOrg": "admin"},
    {"type": "org", "name": "odd", "roleInOrg": ["admin"]},
    {"type": "org", "name": "new", "roleInOrg": "owner of all"},
    None,
    {"type": "org", "name": "lab", "roleInOrg": "admin"},
]


@pytest.mark.parametrize(
    ("said", "organisations"),
    [
        ({"orgs": ORGS}, ("lab", "home", "help")),
        ({"orgs": ORGS, "auth": {"accessToken": {"role": "write"}}}, ("lab", "home", "help")),
        ({"orgs": ORGS, "auth": {"accessToken": {"role": "read"}}}, ()),
        ({"orgs": [{"name": "lab"}]}, ("lab",)),
        ({"orgs": "lab"}, ()),
        ({"orgs": None, "auth": 5}, ()),
        ({}, ()),
    ],
)
def test_organisations_are_those_for_which_the_token_may_write(
    hub: UploadHub, said: dict[str, Any], organisations: tuple[str, ...]
) -> None:
    hub.whoami = said
    found = account_of(TOKEN, endpoint=hub.url)
    assert found == Account("ann", organisations) and found.owners == ("ann", *organisations)


def test_a_token_for_some_organisations_is_offered_those(hub: UploadHub) -> None:
    scoped = [
        {"entity": {"type": "org", "name": "home"}, "permissions": ["repo.content.read", "repo.write"]},
        {"entity": {"type": "org", "name": "lab"}, "permissions": ["repo.content.read"]},
    ]
    hub.whoami = {"orgs": ORGS, "auth": {"accessToken": {"role": "fineGrained", "fineGrained": {"scoped": scoped}}}}
    assert account_of(TOKEN, endpoint=hub.url).organisations == ("home",)


@pytest.mark.parametrize("body", [[], "ann", {"name": None}, {"name": "../x"}, {}])
def test_an_answer_that_names_nobody_is_one_sentence(hub: UploadHub, body: object) -> None:
    hub.refuse["/whoami-v2"] = Refusal(200, {}, body)
    with pytest.raises(HubError, match="the Hub says whose the token is, but something else came"):
        account_of(TOKEN, endpoint=hub.url)
