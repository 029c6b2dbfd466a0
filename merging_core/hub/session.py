"""huggingface_hub's own client, held to our rules: a total deadline, few retries, no cookies, no silence.

Left to itself the client waits for ever for an answer and repeats a failed request five times with growing pauses:
15 to 23 seconds of silence for one that never succeeds. It can be given a client of one's own (`set_client_factory`);
ours is httpx2's, unchanged for whoever does not ask for rules. Inside `rules(…)` every request of this thread, also
those that HfApi makes, obeys them, and whatever goes wrong is a HubError at once. Redirects keep the token only on the
same host (httpx2 sees to that). Cookies are never kept: the client is shared by all visitors.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from math import inf
from typing import Any

import httpx2
from huggingface_hub import HfApi, get_session, set_client_factory
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but loaded lazily

from merging_core import __version__
from merging_core.errors import HubAwayError, HubError
from merging_core.hub.problems import (
    away,
    of_status,
    of_store,
    offline_mode,
    too_late,
    too_long,
    wait_seconds,
    without_meaning,
)

__all__ = ["LARGEST_ANSWER", "Caller", "Rules", "rules", "understood"]

LARGEST_ANSWER = 64 << 20
"""Bytes that an answer of the API may have."""
_TRIES = 3
_PAUSES = (0.2, 0.6)
_LONGEST_WAIT = 2
"""Seconds of a rate limit that are waited out instead of told."""
_SERVER = 500
_BROKEN = frozenset({408, 500, 502, 503, 504})
_OF_THE_BODY = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that are those of a body before it is unpacked."""
_SOONEST = 0.05
_CONNECT = 5.0
"""Seconds in which a connection is made, or is tried again."""


@dataclass(frozen=True)
class Caller:
    """Whom requests are made for, and where to."""

    endpoint: str
    """Without a slash at its end."""
    token: str | None = field(repr=False)
    """The visitor's own token; None asks without one, never with one that lies on this machine."""
    deadline: float
    """Seconds that one call may take in all, with every request that it makes."""
    until: float = inf
    """`time.monotonic()` at which the call has taken so long."""

    @property
    def api(self) -> HfApi:
        """huggingface_hub's client for this endpoint and token."""
        token = self.token or False
        return HfApi(endpoint=self.endpoint, token=token, library_name="basin", library_version=__version__)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request for a file: no other encoding, so that ranges and sizes are those of the file."""
        plain = {"accept-encoding": "identity"}
        token = self.token or False
        return build_hf_headers(token=token, library_name="basin", library_version=__version__, headers=plain)

    def starting(self) -> Caller:
        """Return the same caller, whose call starts now."""
        return replace(self, until=time.monotonic() + self.deadline)


@dataclass(frozen=True)
class Rules:
    """What requests must keep to."""

    caller: Caller
    repo: str
    """`owner/name`, or empty."""
    until: float
    """`time.monotonic()` at which an answer must be whole; infinity where only silence is limited."""
    silence: float
    """Seconds without a byte."""
    most: int = LARGEST_ANSWER
    """Bytes of one answer."""
    passed: frozenset[int] = frozenset()
    """Statuses of 400 and more that the caller handles."""

    def left(self) -> float:
        """Return the seconds that the next read may take; raises HubAwayError where none are left."""
        seconds = min(self.silence, self.until - time.monotonic())
        if seconds <= 0:
            raise self.late()
        return max(seconds, _SOONEST)

    def late(self) -> HubAwayError:
        """Return the error of an answer that does not keep to the rules."""
        return too_late(min(self.silence, self.caller.deadline))


_RULES: ContextVar[Rules | None] = ContextVar("basin_hub_rules", default=None)
_INSTALLING = threading.Lock()


@contextmanager
def rules(
    caller: Caller,
    repo: str = "",
    *,
    silence: float | None = None,
    most: int = LARGEST_ANSWER,
    passed: frozenset[int] = frozenset(),
) -> Iterator[httpx2.Client]:
    """Make this thread's requests through huggingface_hub obey the rules, and give its client.

    `silence` are the seconds without a byte, by default the caller's deadline. Raises HubError for whatever goes wrong
    with a request; `understood` does so for answers that huggingface_hub cannot read.
    """
    _install()
    quiet = caller.deadline if silence is None else silence
    token = _RULES.set(Rules(caller, repo, caller.until, quiet, most, passed))
    try:
        yield get_session()
    except HubError:
        raise
    except OfflineModeIsEnabled:
        raise offline_mode() from None
    except httpx2.TimeoutException:
        raise too_late(caller.deadline) from None
    except httpx2.DecodingError:
        raise without_meaning("something that cannot be unpacked") from None
    except httpx2.HTTPError as error:
        raise away(_named(error)) from None
    except httpx2.InvalidURL:
        raise away("an address that is none") from None
    finally:
        _RULES.reset(token)


@contextmanager
def understood() -> Iterator[None]:
    """Turn what huggingface_hub raises where an answer is not the Hub's into a HubError; only its calls stand inside.

    It reads answers without checking them: a web page, or JSON of another kind, fails anywhere inside it.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise without_meaning("something else") from None


def _install() -> None:
    """Let huggingface_hub use our client from now on, once in this process."""
    with _INSTALLING:
        current = get_session()
        if isinstance(current, _BoundedClient):
            return
        hooks = current.event_hooks
        jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        set_client_factory(lambda: _BoundedClient(event_hooks=hooks, follow_redirects=True, timeout=None, cookies=jar))


class _BoundedClient(httpx2.Client):
    """httpx2's client; inside `rules` its requests obey them."""

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        found = _RULES.get()
        if found is None:
            return super().send(request, stream=stream, **options)
        response = self._answer(found, request, options, whole=not stream)
        try:
            if _is_page(response, stream):
                raise without_meaning("a web page")
        except BaseException:
            response.close()
            raise
        return response

    def _answer(
        self, found: Rules, request: httpx2.Request, options: dict[str, Any], *, whole: bool
    ) -> httpx2.Response:
        """Send the request, again if the connection or the Hub failed, and return the first answer that counts.

        `whole`: its body is read, and an answer that was cut off is one that failed.
        """
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1 or request.method not in ("GET", "HEAD")
            seconds = found.left()
            timeout = {**dict.fromkeys(("read", "write", "pool"), seconds), "connect": min(seconds, _CONNECT)}
            request.extensions = {**request.extensions, "timeout": timeout}
            pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
            try:
                response = super().send(request, stream=True, **options)
            except httpx2.TimeoutException:
                if last or found.until - time.monotonic() <= pause:
                    raise found.late() from None
            except httpx2.TransportError as error:
                if last:
                    raise away(_named(error)) from None
            else:
                status = response.status_code
                if status < httpx2.codes.BAD_REQUEST or status in found.passed:
                    response.stream = _Bounded(response, found)
                    try:
                        return _read(response, found.most) if whole else response
                    except HubAwayError:
                        response.close()
                        if last or found.until - time.monotonic() <= pause:
                            raise
                        time.sleep(pause)
                        continue
                    except BaseException:
                        response.close()
                        raise
                headers = dict(response.headers)
                response.close()
                wait, away_from_hub = wait_seconds(headers), _is_of_store(response, request, found.caller.endpoint)
                pause = pause if wait is None else wait + _PAUSES[0]
                again = status in _BROKEN or away_from_hub or status == httpx2.codes.TOO_MANY_REQUESTS
                patient = status != httpx2.codes.TOO_MANY_REQUESTS if wait is None else wait <= _LONGEST_WAIT
                if last or not (again and patient):
                    if away_from_hub:
                        raise of_store(status)
                    raise of_status(
                        status,
                        headers,
                        repo=found.repo,
                        endpoint=found.caller.endpoint,
                        signed_in=found.caller.token is not None,
                    )
            time.sleep(min(pause, found.left()))
        raise found.late()


def _is_of_store(response: httpx2.Response, request: httpx2.Request, endpoint: str) -> bool:
    """Say whether a refusal is that of another host, to which the Hub sent us for a file; it says nothing of rights.

    Addresses there hold for a while only: whoever asks the Hub again gets a new one.
    """
    hub, there = httpx2.URL(endpoint), response.url
    elsewhere = (hub.host, hub.port) != (there.host, there.port)
    limited = response.status_code == httpx2.codes.TOO_MANY_REQUESTS
    return elsewhere and not limited and response.status_code < _SERVER and "/resolve/" in request.url.path


def _read(response: httpx2.Response, most: int) -> httpx2.Response:
    """Return the answer with its whole body, unpacked; it is never longer than `most` bytes then either."""
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > most:
            raise too_long(most)
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _OF_THE_BODY]
    return httpx2.Response(
        response.status_code,
        headers=headers,
        content=bytes(body),
        request=response.request,
        history=response.history,
        extensions=response.extensions,
    )


def _is_page(response: httpx2.Response, stream: bool) -> bool:
    """Say whether an answer is a web page; a short text may have a page's type, no file that we ask for has it."""
    typed = response.is_success and response.headers.get("content-type", "").startswith("text/html")
    return typed and (stream or response.content.lstrip().startswith(b"<"))


class _Bounded(httpx2.SyncByteStream):
    """The body of an answer: read within the rules, or an error."""

    def __init__(self, response: httpx2.Response, found: Rules) -> None:
        self._inner: Any = response.stream
        self._rules = found

    def __iter__(self) -> Iterator[bytes]:
        count = 0
        try:
            for part in self._inner:
                count += len(part)
                if count > self._rules.most:
                    raise too_long(self._rules.most)
                yield part
                self._rules.left()
        except httpx2.TimeoutException:
            raise self._rules.late() from None
        except httpx2.TransportError as error:
            raise away(_named(error)) from None

    def close(self) -> None:
        self._inner.close()


def _named(error: Exception) -> str:
    """Say in our words what happened to a connection; the library's own text may hold addresses."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (httpx2.ConnectError, "no connection"),
        (httpx2.RemoteProtocolError, "an answer that was cut off"),
        (httpx2.ReadError, "an answer that was cut off"),
        (httpx2.TooManyRedirects, "a circle of redirects"),
        (httpx2.UnsupportedProtocol, "a redirect to no web address"),
        (httpx2.ProxyError, "an error of the proxy"),
    )
    return next((text for kind, text in kinds if isinstance(error, kind)), "a broken connection")
