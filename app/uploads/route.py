"""The address to which files are uploaded, straight to the disk.

`PUT basin-upload/<kind>?name=…[&config=n]` has the file as its body, before it the `n` bytes of its `config.json`; the
kind is `checkpoint` or `data`. `PUT basin-upload/<kind>/start?name=…&size=…[&config=n]` has only the start of it, and
says whether the rest would be taken. Answers are those of the server functions, with a status for programs. What is
slow, cut off, refused or cancelled leaves nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from app.live import BusyError
from app.notices import answer_for
from app.uploads.intake import KINDS, LARGEST_START, Intake, check_start
from app.uploads.problems import StrangerError, TooLargeError, UploadError, disk_problem, status_of
from app.uploads.shelf import Upload, Uploads, plain_name
from app.visitors import from_another_site
from merging_core.checkpoints.config import CONFIG_BYTES
from merging_core.errors import BasinError, Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from app.visitors import Cookie

__all__ = ["Patience", "upload_routes"]

_PIECE = 1 << 20
_DRAINED, _DRAIN_SECONDS = 16 << 20, 1.0
_LONGEST_NAME = 255
_LARGEST = 10**15
_GONE = 499
"""What is logged for a client that went away; nobody reads it."""


class Patience:
    """How slow an upload may be: `silence` seconds without a byte, and `rate` bytes a second after `start` seconds."""

    def __init__(self, silence: float = 30.0, rate: float = 16_000.0, start: float = 60.0) -> None:
        self.silence, self.rate, self.start = silence, rate, start


def upload_routes(uploads: Uploads, cookie: Cookie, patience: Patience | None = None) -> list[Route]:
    """Return the routes to put before Gradio's own; only a visitor who already has our cookie is heard."""
    waits = patience or Patience()

    async def whole(request: Request) -> dict[str, Any]:
        visitor, asked = _visitor(cookie, request), _Asked(request)
        size = asked.length - asked.config
        with uploads.arriving(visitor, asked.length) as place:
            intake = Intake(place.folder, asked.kind, asked.shown, size, asked.config)
            try:
                await _pour(request, intake, waits, asked.shown)
                found = await to_thread.run_sync(intake.finish, uploads.limits.file)
            finally:
                intake.close()
            if await request.is_disconnected():
                raise ClientDisconnect
            kept: Upload = await to_thread.run_sync(place.keep, found, plain_name(asked.name))
            return {"upload": kept.as_json()}

    async def start(request: Request) -> dict[str, Any]:
        visitor, asked = _visitor(cookie, request), _Asked(request)
        if asked.length > LARGEST_START:
            raise TooLargeError(Problem("the start of a file is its header", f"{asked.length:,} bytes", asked.shown))
        uploads.check(visitor, asked.size + asked.config)
        data = b"".join([piece async for piece in _timely(request, waits, asked.shown)])
        form = await to_thread.run_sync(check_start, asked.kind, asked.shown, asked.size, asked.config, data)
        return {"form": form}

    return [
        Route("/basin-upload/{kind}", partial(_answered, whole), methods=["PUT"]),
        Route("/basin-upload/{kind}/start", partial(_answered, start), methods=["PUT"]),
    ]


async def _answered(work: Callable[[Request], Coroutine[Any, Any, dict[str, Any]]], request: Request) -> Response:
    """Do the work and write its answer; after an error the rest of the body is not read, and the connection ends."""
    try:
        return _written({"ok": True, **await work(request)}, 200)
    except ClientDisconnect:
        return Response(status_code=_GONE)
    except BusyError as error:
        failure: Exception = error
        status = 429
    except BasinError as error:
        failure, status = error, status_of(error)
    except OSError as error:
        failure = disk_problem(error)
        status = status_of(disk_problem(error))
    except Exception as error:
        failure, status = error, 500
    await _drain(request)
    # A page that reads the answer needs no status, which its browser would write down as an error of the page.
    from_page = "sec-fetch-mode" in request.headers
    return _written(answer_for(failure), 200 if from_page else status, {"connection": "close"})


class _Asked:
    """What a request says before its body: a kind, a name, sizes; raises UploadError with everything that is wrong."""

    def __init__(self, request: Request) -> None:
        query, problems = request.query_params, list[Problem]()
        self.kind = str(request.path_params["kind"])
        self.name = query.get("name", "")
        self.config = _whole(query, "config", CONFIG_BYTES, problems)
        self.size = _whole(query, "size", _LARGEST, problems)
        length = request.headers.get("content-length", "")
        self.length = int(length) if length.isascii() and length.isdigit() and len(length) < 16 else -1
        self.shown = f"{plain_name(self.name)}{_ending(self.name)}"
        if self.kind not in KINDS:
            problems.append(Problem("an upload is a checkpoint or data", ascii(self.kind[:40]), "upload"))
        if not 0 < len(self.name) <= _LONGEST_NAME:
            got = f"{len(self.name)} characters"
            problems.append(Problem(f"a file's name has 1 to {_LONGEST_NAME} characters", got, "name"))
        if self.config and self.kind == "data":
            problems.append(Problem("only a checkpoint has a configuration", "data with one", "config"))
        if self.length < 0:
            fix = "send a file that is there, not a stream"
            problems.append(Problem("an upload says how long it is", "no Content-Length", "upload", fix))
        elif self.length < self.config:
            problems.append(Problem("the configuration is part of the upload", "a shorter upload", "config"))
        if problems:
            raise UploadError(*problems)


def _whole(query: Mapping[str, str], name: str, most: int, problems: list[Problem]) -> int:
    text = query.get(name, "0")
    if text.isascii() and text.isdigit() and len(text) < 17 and int(text) <= most:
        return int(text)
    problems.append(Problem(f"{name} is a whole number of at most {most:,} bytes", ascii(text[:40]), name))
    return 0


def _ending(name: str) -> str:
    """Return a plain ending of a file's name, for messages.

    >>> _ending("a.safetensors"), _ending("a.<b>")
    ('.safetensors', '')
    """
    ending = name.rpartition(".")[2] if "." in name else ""
    return f".{ending}" if ending.isascii() and ending.isalnum() and len(ending) <= 12 else ""


def _visitor(cookie: Cookie, request: Request) -> str:
    """Return the visitor of the signed cookie; a page of another site cannot upload in a visitor's name."""
    if from_another_site(request.headers):
        raise StrangerError(Problem("files are uploaded by Basin's own page", "a page of another site", "upload"))
    visitor = cookie.read(request.headers.get("cookie", ""))
    if visitor is None:
        must, fix = "an upload belongs to a visitor of this page", "allow cookies, or reload the page"
        raise StrangerError(Problem(must, "somebody unknown", "upload", fix))
    return visitor


async def _pour(request: Request, intake: Intake, patience: Patience, name: str) -> None:
    """Write what comes, a megabyte at a time once its start was seen; the disk is waited for in another thread."""
    held = bytearray()
    async for piece in _timely(request, patience, name):
        held += piece
        if len(held) >= _PIECE or not intake.form:
            await to_thread.run_sync(intake.take, bytes(held))
            held.clear()
    if held:
        await to_thread.run_sync(intake.take, bytes(held))


async def _timely(request: Request, patience: Patience, name: str) -> AsyncIterator[bytes]:
    """Yield the pieces of a body; raises UploadError where they come too slowly."""
    begun, count = time.monotonic(), 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(patience.silence):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            must, got = f"the next bytes come within {patience.silence:g} seconds", "none"
            raise UploadError(Problem(must, got, name, "send the file again")) from None
        count += len(piece)
        request.state.seen = count
        seconds = time.monotonic() - begun
        if seconds > patience.start and count < patience.rate * (seconds - patience.start):
            must = f"an upload brings at least {patience.rate / 1000:g} kB a second"
            raise UploadError(Problem(must, f"{count / seconds / 1000:.1f} kB a second", name, "use a faster line"))
        yield piece


async def _drain(request: Request) -> None:
    """Read on for a moment: most browsers and programs read an answer only when they have sent what they began."""
    length = request.headers.get("content-length", "")
    left = min(_DRAINED, int(length) if length.isdigit() else _DRAINED) - getattr(request.state, "seen", 0)
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while left > 0:
                event = await request.receive()
                if event["type"] != "http.request" or not event.get("more_body", False):
                    return
                left -= len(event.get("body", b""))
    except TimeoutError:
        return


def _written(answer: dict[str, Any], status: int, more: Mapping[str, str] | None = None) -> Response:
    headers = {"cache-control": "no-store", **(more or {})}
    return Response(orjson.dumps(answer), status, headers=headers, media_type="application/json")
