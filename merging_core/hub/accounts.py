"""Whose a token is, and for which organisations it may write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, HubError, Problem
from merging_core.hub.answers import text_of
from merging_core.hub.upload_problems import SILENCE, asking

__all__ = ["Account", "account_of"]

_MAY_WRITE = frozenset({"admin", "write", "contributor"})
"""Roles in which a member of an organisation makes repositories there."""
_RIGHT = "repo.write"
_MOST = 100


@dataclass(frozen=True)
class Account:
    """An account of the Hub, as its token shows it."""

    name: str
    organisations: tuple[str, ...] = ()
    """Those for which the token may write, as far as the Hub says."""

    @property
    def owners(self) -> tuple[str, ...]:
        """Under whose names it may publish, its own first."""
        return (self.name, *self.organisations)


def account_of(token: str, *, endpoint: str | None = None, silence: float = SILENCE) -> Account:
    """Return the account whose token this is. Raises HubError."""
    with asking("", token, endpoint, silence, whole=True) as api:
        answer: object = api.whoami()
    name = text_of(answer.get("name")) if isinstance(answer, Mapping) else ""
    if not isinstance(answer, Mapping) or not _is_owner(name):
        raise HubError(Problem("the Hub says whose the token is", "something else", "", "try again later"))
    return Account(name, _organisations(answer))


def _organisations(answer: Mapping[str, object]) -> tuple[str, ...]:
    """Return the organisations in the Hub's answer for which the token may write.

    >>> _organisations({"orgs": [{"name": "lab", "roleInOrg": "write"}, {"name": "club", "roleInOrg": "read"}, None]})
    ('lab',)
    """
    orgs = answer.get("orgs")
    limits = _limits(answer.get("auth"))
    found = [
        name
        for one in (orgs if isinstance(orgs, list) else [])
        if isinstance(one, Mapping)
        and _is_owner(name := text_of(one.get("name")))
        and text_of(one.get("roleInOrg", "write")) in _MAY_WRITE
        and one.get("canWrite") is not False
        and (limits is None or name in limits)
    ]
    return tuple(dict.fromkeys(found))[:_MOST]


def _limits(auth: object) -> frozenset[str] | None:
    """Return the names for which alone a token may write; None where the Hub names none.

    >>> scope = {"entity": {"type": "org", "name": "lab"}, "permissions": ["repo.write"]}
    >>> sorted(_limits({"accessToken": {"role": "fineGrained", "fineGrained": {"scoped": [scope, 7]}}}))
    ['lab']
    >>> _limits({"accessToken": {"role": "read"}}), _limits({"accessToken": {"role": "write"}}), _limits(None)
    (frozenset(), None, None)
    """
    token = _inside(auth, "accessToken")
    if token.get("role") == "read":
        return frozenset()
    scoped = _inside(token, "fineGrained").get("scoped")
    if token.get("role") != "fineGrained" or not isinstance(scoped, list):
        return None
    allowed = (one for one in scoped if isinstance(one, Mapping) and _grants(one.get("permissions")))
    return frozenset(text_of(_inside(one, "entity").get("name")) for one in allowed)


def _grants(permissions: object) -> bool:
    return isinstance(permissions, list) and _RIGHT in permissions


def _inside(value: object, key: str) -> Mapping[str, object]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _is_owner(name: str) -> bool:
    try:
        Ref("hub", f"{name}/model")
    except CheckpointError:
        return False
    return True
