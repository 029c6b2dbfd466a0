"""Who is asking: a random id in a signed cookie.

Ownership of histories, scores and jobs hangs on this id alone. Gradio's session hash is chosen by the browser and
proves nothing. The cookie is `v1.<32 hex digits>.<HMAC-SHA256>`; whoever sends none, or a forged one, is somebody new.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
from starlette.responses import PlainTextResponse

from merging_core.errors import Problem

from .notices import problems_answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LARGEST_MESSAGE", "SCOPE_KEY", "Cookie", "VisitorMiddleware", "from_another_site", "names_this_machine"]

SCOPE_KEY = "basin.visitor"
"""Where the visitor's id stands in the ASGI scope of a request."""
LARGEST_MESSAGE = 64 * 1024
"""Bytes that a message to a server function may have."""
LARGEST_QUESTION = 4 * LARGEST_MESSAGE
"""Bytes that a program's message may have: a recipe of 64 KiB, and what JSON needs to spell it."""

_YEAR = 365 * 24 * 3600
_VALUE = re.compile(r"v1\.([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")
_QUEUE = "/queue/join"
_QUESTIONS = (_QUEUE, "/gradio_api/call/", "/gradio_api/run/", "/gradio_api/mcp")
_MESSAGES = ("/component_server", *_QUESTIONS)
"""Parts of the paths to which the page and programs send messages; programs begin by asking for `/config`."""
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)

_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def from_another_site(headers: Mapping[str, str]) -> bool:
    """Say whether a browser sent a request for a page of another site; a program sends none of what browsers add.

    >>> from_another_site({"sec-fetch-site": "cross-site"}), from_another_site({"sec-fetch-site": "same-origin"})
    (True, False)
    >>> from_another_site({"host": "basin.example", "origin": "https://other.example"}), from_another_site({})
    (True, False)
    """
    told = headers.get("sec-fetch-site")
    if told is not None:
        return told not in ("same-origin", "none")
    origin = headers.get("origin")
    hosts = (headers.get("host", ""), headers.get("x-forwarded-host", "").partition(",")[0].strip())
    return origin is not None and _host_of(origin) not in {_host_of(f"//{host}") for host in hosts if host}


def names_this_machine(headers: Mapping[str, str]) -> bool:
    """Say whether a request was sent to this machine by its own name, and not by one that leads here.

    >>> names_this_machine({"host": "127.0.0.1:7860"}), names_this_machine({"host": "basin.example"})
    (True, False)
    """
    return _host_of(f"//{headers.get('host', 'localhost')}") in _THIS_MACHINE


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


class Cookie:
    """Makes and checks the cookie's value.

    The name holds a digest of the secret, so that two Basins on one host do not overwrite each other's cookie.

    >>> cookie = Cookie(b"0123456789abcdef")
    >>> visitor = cookie.new()
    >>> cookie.read(f"{cookie.name}={cookie.value(visitor)}") == visitor
    True
    >>> cookie.read(f"{cookie.name}=v1.{visitor}.forged") is None
    True
    """

    def __init__(self, secret: bytes, *, framed: bool = False) -> None:
        self._key = hashlib.sha256(b"basin visitor" + secret).digest()
        self._framed = framed
        self.name = "basin_" + hmac.digest(self._key, b"name", "sha256").hex()[:8]

    def new(self) -> str:
        """Return a new visitor's id: 128 random bits as 32 hex digits."""
        return secrets.token_hex(16)

    def value(self, visitor: str) -> str:
        """Return the signed value for `visitor`."""
        mark = hmac.digest(self._key, visitor.encode(), "sha256")
        return f"v1.{visitor}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"

    def read(self, header: str) -> str | None:
        """Return the visitor whom a `Cookie` header names, or nothing if it names none or is forged."""
        try:
            morsel = SimpleCookie(header).get(self.name)
        except CookieError:
            return None
        match = _VALUE.fullmatch(morsel.value) if morsel is not None else None
        if match is None or morsel is None:
            return None
        visitor = match.group(1)
        return visitor if hmac.compare_digest(self.value(visitor), morsel.value) else None

    def header(self, visitor: str, *, secure: bool) -> str:
        """Return the `Set-Cookie` header; inside another site's frame it must be Secure and is kept per site."""
        rules = (
            "SameSite=None; Secure; Partitioned" if self._framed else "SameSite=Lax" + ("; Secure" if secure else "")
        )
        return f"{self.name}={self.value(visitor)}; Path=/; Max-Age={_YEAR}; HttpOnly; {rules}"


class VisitorMiddleware:
    """Puts the visitor's id into each request, keeps messages small, and adds the headers that every answer needs.

    Gradio would keep whatever anybody uploads; Basin needs none of it.
    """

    def __init__(self, app: ASGIApp, cookie: Cookie) -> None:
        self._app = app
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        known = self._cookie.read(headers.get(b"cookie", b"").decode("latin-1"))
        visitor = known or self._cookie.new()
        scope[SCOPE_KEY] = visitor
        page = b"text/html" in headers.get(b"accept", b"")
        path = scope["path"]
        if "/gradio_api/upload" in path:
            await PlainTextResponse("Basin takes no files here.", 404)(scope, receive, send)
            return
        message = scope["method"] == "POST" and any(part in path for part in _MESSAGES)
        asks = message or path.endswith("/config")
        secure = scope.get("scheme") == "https" or headers.get(b"x-forwarded-proto", b"").startswith(b"https")
        new_cookie = self._cookie.header(visitor, secure=secure) if page or (asks and known is None) else None

        async def send_with_headers(event: Message) -> None:
            if event["type"] == "http.response.start":
                added = [*_HEADERS, *([(b"set-cookie", new_cookie.encode())] if new_cookie else [])]
                event = {**event, "headers": [*event.get("headers", []), *added]}
            await send(event)

        if message:
            most = LARGEST_QUESTION if any(part in path for part in _QUESTIONS) else LARGEST_MESSAGE
            body = await _read_body(receive, most)
            if body is None:
                await _too_large(send_with_headers, most, queued=_QUEUE in path)
                return
            receive = _replay(body, receive)
        await self._app(scope, receive, send_with_headers)


async def _read_body(receive: Receive, most: int) -> bytes | None:
    """Read a whole message, or nothing if it has more than `most` bytes."""
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return bytes(body)
        body += event.get("body", b"")
        if len(body) > most:
            return None
        if not event.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replay() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay


async def _too_large(send: Send, most: int, *, queued: bool) -> None:
    """Refuse a message; gradio_client shows the sentence of what its queue refuses as Gradio refuses an argument."""
    fix = "send less at once" if queued else "send one state at a time"
    problem = Problem(f"a message has at most {most} bytes", "a larger one", "", fix)
    refusal = problems_answer([problem])
    if queued:
        said = {"__type__": "validate", "is_valid": False, "parameter_name": "message", "message": str(problem)}
        refusal = {**refusal, "detail": [said]}
    content = orjson.dumps(refusal)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 422 if queued else 413, "headers": headers})
    await send({"type": "http.response.body", "body": content})
