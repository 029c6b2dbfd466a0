"""Who asks: the visitor of the signed cookie, and the token with which the Hub is asked for this visitor.

What a visitor may read on the Hub is decided where checkpoints are opened, far below the functions of the page, and
much of what was opened is shared between visitors. So whoever answers a request says for whom (`called_by`), the
schedulers carry that along with the work, and whoever opens something of the Hub asks with that caller's token
(`caller`). Work that nobody is named for has no token: it sees what everybody sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from fastapi import Request

from app.signing_in import SIGN_IN, signed_in
from app.visitors import SCOPE_KEY, from_another_site, names_this_machine

__all__ = ["NOBODY", "Caller", "Callers", "called_by", "caller"]


@dataclass(frozen=True)
class Caller:
    """One visitor, for the time of one request."""

    visitor: str
    token: str | None = field(default=None, repr=False)
    """The visitor's own token for the Hub; never written down, never sent to the page."""
    account: str = ""
    """The visitor's name on the Hub, where it is known."""
    own: bool = False
    """Whether it is whoever runs this Basin: what lies in the cache of the Hub is then the caller's own."""


NOBODY = Caller("")
_PASSED_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers by which a proxy says that a request came from elsewhere."""

_PROGRAM = "x-hf-authorization"
"""The header in which gradio_client sends the token of whoever runs a program."""
_LONGEST = 4096

_CALLER: ContextVar[Caller] = ContextVar("basin caller", default=NOBODY)


def caller() -> Caller:
    """Return for whom the present work is done.

    >>> caller() is NOBODY
    True
    """
    return _CALLER.get()


@contextmanager
def called_by(who: Caller) -> Iterator[None]:
    """Do work for a caller.

    >>> with called_by(Caller("ann")):
    ...     caller().visitor
    'ann'
    """
    mark = _CALLER.set(who)
    try:
        yield
    finally:
        _CALLER.reset(mark)


class Callers:
    """Tells the caller of a request.

    `token`: the token of whoever runs this Basin, where visitors are asked for with it; else None. `alone`: whether
    this Basin serves nobody but them; then what a proxy passed on from elsewhere, or what was sent to another name than
    this machine's, is a stranger's all the same. `sign_in`: whether visitors sign in with their own accounts; then
    nobody's token is ever that one. A program is asked for with the token that it sends. What a page of another site
    sends has no token, whoever looks at that page.
    """

    def __init__(self, token: str | None = None, *, alone: bool = False, sign_in: bool = False) -> None:
        self._token = None if sign_in else token
        self._alone = alone and not sign_in
        self._sign_in = sign_in

    def of(self, request: Request) -> Caller:
        """Return who sent a request; the middleware has read the cookies."""
        visitor = request.scope[SCOPE_KEY]
        if from_another_site(request.headers):
            return Caller(visitor)
        sent = _token_of_a_program(request.headers.get(_PROGRAM, ""))
        if sent is not None and sent != self._token:
            return Caller(visitor, sent)
        found = signed_in(request.scope.get("session")) if self._sign_in else None
        if found is not None:
            return Caller(visitor, *found)
        passed_on = any(name in request.headers for name in _PASSED_ON) or not names_this_machine(request.headers)
        if self._alone and passed_on:
            return Caller(visitor)
        return Caller(visitor, self._token, own=self._alone)

    def own_token(self) -> str | None:
        """Return the present caller's token where it is the caller's own, to act with in that name; else None."""
        who = caller()
        return who.token if who.own or self._sign_in else None

    def account(self) -> dict[str, str | None]:
        """Return what the page may know of the present caller: the account's name, and where signing in begins."""
        return {"account": caller().account or None, "sign_in": SIGN_IN if self._sign_in else None}


def _token_of_a_program(header: str) -> str | None:
    """Return the token in a program's header.

    >>> _token_of_a_program("Bearer hf_x"), _token_of_a_program("Basic abc"), _token_of_a_program("Bearer two words")
    ('hf_x', None, None)
    """
    kind, _, token = header.strip().partition(" ")
    plain = 0 < len(token) <= _LONGEST and token.isascii() and token.isprintable() and " " not in token
    return token if kind.lower() == "bearer" and plain else None
