"""A Hub on a socket: the routes that huggingface_hub reads, two accounts, and every way in which it can fail.

    with FakeHub() as hub:
        hub.add("ada/base", folder_files(path))
        Hub(hub.endpoint, None, cache).open("hub:ada/base")

`hub.fail("gated", where="resolve")` makes a route misbehave until `hub.heal()`, or `times` times. `hub.requests` holds
what was asked, with its headers, `hub.sent` how many bytes were answered under each path.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.hub.repositories import ADA, BOB, FakeModel, entry_of, folder_files

__all__ = ["ADA", "BOB", "MODES", "FakeHub", "FakeModel", "folder_files"]

MODES = (
    "404", "401", "401repo", "gated", "429", "500", "slow", "drip", "cut", "captive", "sizelie", "truncated", "corrupt",
    "elsewhere", "moved", "norange", "json", "chunked", "deep", "okay", "disabled",
    "half", "unpackable", "bomb", "endless",
)  # fmt: skip
_PAGE = b"<!doctype html><html><title>Sign in to this network</title></html>"
_API = re.compile(r"/api/(?:models|(datasets))/([^/]+/[^/]+)(?:/(revision|tree|auth-check)(?:/([^/]+))?)?")
_RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Failure:
    """How one kind of request fails, and how often."""

    mode: str
    where: str
    times: float
    match: str
    seconds: float


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, list[str]]
    token: str | None
    range: str | None
    cookie: str | None
    host: str
    """`hub` or `storage`."""


class FakeHub:
    """A Hub, and a storage host to which it may redirect."""

    def __init__(self) -> None:
        self.models: dict[str, FakeModel] = {}
        self.data_sets: dict[str, FakeModel] = {}
        self.requests: list[Request] = []
        self.sent = Counter[str]()
        self.failures: list[Failure] = []
        self.tells_sizes = True
        """Whether a model's own answer has sizes and digests; the tree always has."""
        self.pages_at: str | None = None  # the address that further pages of a search are said to have
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._healed = threading.Event()
        self._servers = [_serve(self, "hub"), _serve(self, "storage")]
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> FakeHub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering; afterwards the Hub is offline."""
        self._closing.set()
        self._healed.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers = []

    def add(self, id: str, files: dict[str, bytes], *, data_set: bool = False, **about: Any) -> FakeModel:
        """Add a model, or a data set, with one commit on `main`."""
        options = {name: about.pop(name) for name in ("private", "gated", "readers") if name in about}
        made = FakeModel(id, about=about, **options)
        made.commit(files)
        (self.data_sets if data_set else self.models)[id] = made
        return made

    def fail(
        self, mode: str, where: str = "", times: float = float("inf"), match: str = "", seconds: float = 30
    ) -> None:
        """Let requests fail: `where` is `api`, `search`, `tree`, `auth`, `resolve`, `storage` or empty for all."""
        assert mode in MODES
        self.failures.append(Failure(mode, where, times, match, seconds))

    def heal(self) -> None:
        """Let nothing fail any more; who was kept waiting waits no longer."""
        self.failures.clear()
        healed, self._healed = self._healed, threading.Event()
        healed.set()

    def asked(self, part: str = "", host: str = "") -> list[Request]:
        """Return the requests whose path holds `part`."""
        with self._lock:
            return [one for one in self.requests if part in one.path and host in one.host]

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than the server lives, or things fail."""
        healed = self._healed
        if not self._closing.is_set():
            healed.wait(seconds)

    def note(self, request: Request, where: str) -> Failure | None:
        """Write a request down and say how it fails, if it does."""
        with self._lock:
            self.requests.append(request)
            for failure in self.failures:
                if failure.times > 0 and failure.where in ("", where) and failure.match in request.path:
                    failure.times -= 1
                    return failure
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Tell of mistakes, not of clients that hang up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _serve(hub: FakeHub, host: str) -> ThreadingHTTPServer:
    class Answers(_Answers):
        pass

    Answers.hub, Answers.host = hub, host
    server = _Server(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


class _Answers(BaseHTTPRequestHandler):
    """One request."""

    hub: FakeHub
    host: str
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.hub._closing.is_set():
            self.close_connection = True
            return
        address = urlsplit(self.path)
        path = address.path
        where = self._where(path)
        authorization = self.headers.get("authorization")
        token = authorization.removeprefix("Bearer ") if authorization else None
        query = parse_qs(address.query)
        request = Request(
            self.command, path, query, token, self.headers.get("range"), self.headers.get("cookie"), self.host
        )
        failure = self.hub.note(request, where)
        try:
            if failure is None or not self._failed(failure):
                self._sound(path, query, token, where, failure)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _where(self, path: str) -> str:
        if self.host == "storage":
            return "storage"
        if path == "/api/models":
            return "search"
        match = _API.fullmatch(path)
        if match is None:
            return "resolve"
        return {"tree": "tree", "auth-check": "auth"}.get(match.group(3) or "", "api")

    def _failed(self, failure: Failure) -> bool:
        """Answer with a failure that has nothing to do with what was asked; say whether that was done."""
        mode = failure.mode
        if mode == "404":
            self._send(404, b'{"error": "Sorry, nothing here"}', {"X-Error-Code": "RepoNotFound"})
        elif mode == "401":
            self._send(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif mode == "401repo":
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Invalid username or password."})
        elif mode == "gated":
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted: <b>ask</b>"})
        elif mode == "disabled":
            self._send(403, b"{}", {"X-Error-Message": "Access to this resource is disabled."})
        elif mode == "429":
            limit = {
                "RateLimit": f'"api";r=0;t={failure.seconds:.0f}',
                "RateLimit-Policy": '"fixed window";"api";q=5;w=300',
            }
            self._send(429, b"{}", limit)
        elif mode == "500":
            self._send(500, b"Internal Server Error: secret stack", {"Content-Type": "text/plain"})
        elif mode == "captive":
            self._send(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif mode == "json":
            self._send(200, b'["another", "service"]')
        elif mode == "okay":
            self._send(200, b"OK", {"Content-Type": "text/html; charset=utf-8"})
        elif mode == "deep":
            self._send(200, b"[" * 100_000 + b"]" * 100_000)
        elif mode == "half":
            self._send(200, b'{"id": "ada/digits"}', cut=True)
        elif mode == "unpackable":
            self._send(200, b"{}", {"Content-Encoding": "gzip"})
        elif mode == "bomb":
            self._send(200, gzip.compress(bytes(70 << 20), 1), {"Content-Encoding": "gzip"})
        elif mode == "endless":
            self._send(200, b"[]", {"Link": f'<{self.hub.endpoint}/api/models?cursor=1>; rel="next"'})
        elif mode == "slow":
            self.hub.wait(failure.seconds)
            self.close_connection = True
        elif mode == "drip":
            self._drip(failure.seconds)
        elif mode == "cut":
            self.close_connection = True
        else:
            return False
        return True

    def _drip(self, seconds: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "100000")
        self.end_headers()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.hub._closing.is_set():
            self.wfile.write(b" ")
            self.wfile.flush()
            self.hub.wait(0.05)
        self.close_connection = True

    def _sound(
        self, path: str, query: dict[str, list[str]], token: str | None, where: str, failure: Failure | None
    ) -> None:
        if where == "search":
            return self._search(query, token)
        resolve, api = _RESOLVE.fullmatch(path), _API.fullmatch(path)
        match = api or resolve
        if match is None:
            return self._send(404, b"Not Found")
        model = (self.hub.data_sets if match.group(1) else self.hub.models).get(match.group(2))
        known = token in (ADA, BOB)
        if token is not None and not known:
            return self._send(401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"})
        if model is None or (model.private and token not in model.readers):
            status = 404 if known else 401
            return self._send(status, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        barred = model.gated and token not in model.readers
        if barred and (resolve is not None or where == "auth"):
            return self._send(403 if known else 401, b"{}", {"X-Error-Code": "GatedRepo"})
        if where == "auth":
            return self._send(200, b"{}")
        revision = unquote((match.group(4) or "main") if api else match.group(3))
        commit = model.branches.get(revision, revision)
        if commit not in model.commits:
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if failure is not None and failure.mode == "moved":
            commit = hashlib.sha1(commit.encode()).hexdigest() if resolve else commit
            files = next(iter(model.commits.values()))
        else:
            files = model.commits[commit]
        if resolve is not None:
            return self._file(commit, resolve.group(4), files, failure)
        if where == "tree":
            return self._json([{"type": "file", **entry_of(name, data)} for name, data in files.items()])
        return self._json(self._info(model, commit, files, blobs="blobs" in query and self.hub.tells_sizes))

    def _search(self, query: dict[str, list[str]], token: str | None) -> None:
        def first(name: str) -> str:
            return query.get(name, [""])[0]

        rows = []
        for model in self.hub.models.values():
            row = self._info(model, model.branches["main"], {}, blobs=False)
            said = row["tags"] if isinstance(row["tags"], list) else []
            tags = {*filter(lambda tag: isinstance(tag, str), said), row.get("library_name", "")}
            seen = not model.private or token in model.readers
            fits = first("search").lower() in model.id.lower() and set(query.get("filter", [])) <= tags
            if seen and fits and first("pipeline_tag") in ("", row.get("pipeline_tag")):
                rows.append(row)
        key = first("sort")
        if key in ("downloads", "likes"):
            rows.sort(key=lambda row: -row[key] if type(row[key]) is int else 0)
        start, size = int(first("cursor") or 0), min(int(first("limit") or 1000), 3)
        more = {name: values for name, values in query.items() if name != "cursor"}
        asked = urlencode({**more, "cursor": [start + size]}, doseq=True)
        link = f"{self.hub.endpoint if self.hub.pages_at is None else self.hub.pages_at}/api/models?{asked}"
        headers = {"Link": f'<{link}>; rel="next"'} if start + size < len(rows) else {}
        self._send(200, json.dumps(rows[start : start + size]).encode(), headers)

    def _info(self, model: FakeModel, commit: str, files: dict[str, bytes], *, blobs: bool) -> dict[str, Any]:
        siblings = []
        for name, data in files.items():
            entry = entry_of(name, data)
            sibling: dict[str, Any] = {"rfilename": name}
            if blobs:
                sibling |= {"size": entry["size"], "blobId": entry["oid"]}
                if "lfs" in entry:
                    lfs = entry["lfs"]
                    sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
            siblings.append(sibling)
        return {
            "_id": "0", "id": model.id, "modelId": model.id, "sha": commit, "private": model.private,
            "gated": "manual" if model.gated else False, "likes": 0, "downloads": 0, "tags": [],
            "lastModified": "2026-01-02T03:04:05.000Z", "siblings": siblings, **model.about,
        }  # fmt: skip

    def _file(self, commit: str, name: str, files: dict[str, bytes], failure: Failure | None) -> None:
        mode = failure.mode if failure is not None else ""
        if name not in files:
            return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        data = files[name]
        entry = entry_of(name, data)
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes", "Set-Cookie": "visitor=1"}
        headers |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{etag}"'}
        if mode == "elsewhere" and self.host == "hub":
            return self._send(302, b"", {**headers, "Location": f"{self.hub.storage}{self.path}"})
        if mode == "corrupt":
            data = data[:-8] + bytes(byte ^ 255 for byte in data[-8:])
        if mode == "sizelie":
            data = data + b"\0" * 7
        match = _RANGE.fullmatch(self.headers.get("range") or "")
        if mode == "chunked":
            return self._chunks(data, headers)
        if match is None or mode == "norange":
            return self._send(200, data, headers, cut=mode == "truncated")
        start, stop = int(match.group(1)), min(int(match.group(2) or len(data)) + 1, len(data))
        if start >= len(data):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._send(206, data[start:stop], headers, cut=mode == "truncated")

    def _chunks(self, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in (*_pieces(data), b""):
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode())

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            for piece in _pieces(body[: len(body) // 2] if cut else body):
                self.wfile.write(piece)
                self.hub.sent[urlsplit(self.path).path] += len(piece)
        if cut:
            self.close_connection = True


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 1 << 16):
        yield body[start : start + (1 << 16)]
