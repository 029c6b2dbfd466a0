"""What the Hub answers about repositories: JSON in which every value may be of any type, or missing.

huggingface_hub's records fail as a whole where one value is not what they expect, and one strange entry would take a
page of others with it. So its session asks here, and answers are read value by value: what is of another type is not
said.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

import httpx2

from merging_core.hub.data_ref import Place, kind_of, repository_of
from merging_core.hub.problems import without_meaning
from merging_core.hub.session import Caller, rules, understood

__all__ = ["Answer", "count_of", "entries", "models", "repository", "text_of", "texts_of", "tree"]

Answer = Mapping[str, Any]
"""An object in an answer."""
_MOST_IN_A_TREE = 100_000
_LARGEST = 1 << 53
"""Beyond it a browser's numbers have gaps."""


def repository(caller: Caller, place: Place) -> Answer:
    """Return what the Hub says of a repository at a revision, with its files where it tells them.

    Raises HubError, also where the answer is no object.
    """
    revision = f"/revision/{quote(place.pin, safe='')}" if place.pin is not None else ""
    with rules(caller, repository_of(place)) as client, understood():
        answer = client.get(_address(caller, place) + revision, params={"blobs": True}, headers=caller.headers).json()
    if not isinstance(answer, Mapping):
        raise without_meaning("something else")
    return answer


def models(caller: Caller, params: Mapping[str, Any], most: int) -> list[object]:
    """Return the first `most` entries of a list of models. Raises HubError."""
    return entries(caller, "", f"{caller.endpoint}/api/models", params, most)


def tree(caller: Caller, place: Place, *, recursive: bool = False) -> list[object]:
    """Return what a repository holds at a revision, as its tree lists it. Raises HubError."""
    address = f"{_address(caller, place)}/tree/{quote(place.pin or 'main', safe='')}"
    return entries(caller, repository_of(place), address, {"recursive": recursive}, _MOST_IN_A_TREE)


def entries(caller: Caller, repo: str, address: str, params: Mapping[str, Any], most: int) -> list[object]:
    """Return the first `most` entries of a list that comes in pages.

    A page on another host is asked for without the token; an empty one is the last, and so is one that leads to none.
    Raises HubError, also where a page is no list.
    """
    found: list[object] = []
    following: str | None = address
    asked: Mapping[str, Any] | None = params
    with rules(caller, repo) as client, understood():
        while following is not None and len(found) < most:
            own = _origin(following) == _origin(caller.endpoint)
            headers = {name: value for name, value in caller.headers.items() if own or name.lower() != "authorization"}
            response = client.get(following, params=asked, headers=headers)
            page = response.json()
            if not isinstance(page, list):
                raise without_meaning("something else")
            found += islice(page, most - len(found))
            following, asked = (_next(response) if page else None), None
    return found


def text_of(value: object) -> str:
    """Return a text; nothing where the value is none.

    >>> text_of("mit"), text_of(["mit"]), text_of(None)
    ('mit', '', '')
    """
    return value if isinstance(value, str) else ""


def texts_of(value: object) -> tuple[str, ...]:
    """Return the texts of a list; whatever else is in it is left out.

    >>> texts_of(["a", 1, None, "b"]), texts_of("ab")
    (('a', 'b'), ())
    """
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def count_of(value: object) -> int | None:
    """Return a whole number of 0 or more that every program can hold; None where the value is none.

    >>> count_of(7), count_of("7"), count_of(True), count_of(-1), count_of(10**30)
    (7, None, None, None, None)
    """
    return value if type(value) is int and 0 <= value <= _LARGEST else None


def _address(caller: Caller, place: Place) -> str:
    return f"{caller.endpoint}/api/{kind_of(place) or 'model'}s/{place.path}"


def _next(response: httpx2.Response) -> str | None:
    """Return the address of the page that follows, where there is one that can be asked for."""
    try:
        found = response.url.join(response.links["next"]["url"])
    except (KeyError, ValueError, httpx2.InvalidURL):
        return None
    return str(found) if found.scheme in ("http", "https") and found.host else None


def _origin(address: str) -> tuple[str, str, int | None]:
    url = httpx2.URL(address)
    return url.scheme, url.host, url.port
