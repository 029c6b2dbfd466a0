"""A small Hub that takes uploads: the routes that the real client uses for one commit, over a socket.

Create, look, preupload, LFS batch, PUT, verify, commit. Every request is written down; `refuse` makes one route fail.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Refusal", "Repo", "UploadHub"]

TOKEN = "hf_" + "C" * 34
OWNER = "ann"
_API = re.compile(r"/api/(models|spaces)/([^/]+/[^/]+)(?:/(preupload|commit|hardware)(?:/([^/?]+))?)?")
_BATCH = re.compile(r"/(spaces/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")


@dataclass
class Repo:
    """One repository: its files, its commits, the newest last, and what was asked of it."""

    private: bool
    made_with: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.safetensors filter=lfs\n"})
    commits: list[dict[str, Any]] = field(default_factory=list)
    proposals: list[dict[str, bytes]] = field(default_factory=list)
    hardware: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return hashlib.sha1(f"{len(self.commits)} {sorted(self.files)}".encode()).hexdigest()


@dataclass(frozen=True)
class Refusal:
    """The answer of a route that fails."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = field(default_factory=lambda: {"error": "refused"})
    wait: float = 0.0
    """Seconds before the answer; it comes earlier when the server stops."""


class UploadHub:
    """Serves on a free port until `stop`; `repos` by (kind, id), `asked` every request as (method, path)."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.accounts = {TOKEN: OWNER}
        """Whose each token is."""
        self.whoami: dict[str, Any] = {}
        """What an account's own answer has beside its name."""
        self.refuse: dict[str, Refusal] = {}
        """By a part of the path."""
        self.before_commit: Any = None
        """Called with the repository when a commit arrives."""
        self.after_commit: Refusal | None = None
        """What is answered when a commit is made, instead of saying so."""
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        hub = self

        class Handler(_Handler):
            world = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def model(self, name: str) -> Repo:
        return self.repos["models", name]

    def space(self, name: str) -> Repo:
        return self.repos["spaces", name]

    def routes(self) -> list[str]:
        """Return which routes were asked, each once, in the order of their first request."""
        return list(dict.fromkeys(f"{method} {path}" for method, path in self.asked))


class _Handler(BaseHTTPRequestHandler):
    world: UploadHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return None

    def do_GET(self) -> None:
        self._handle(b"")

    def do_POST(self) -> None:
        self._handle(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_PUT(self) -> None:
        self.do_POST()

    def _handle(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        world = self.world
        with world.lock:
            world.asked.append((self.command, path))
            if path.startswith("/api"):
                world.tokens.add(self.headers.get("Authorization", ""))
        refusal = next((found for part, found in world.refuse.items() if part in path), None)
        if refusal is not None:
            world.stopped.wait(refusal.wait)
            return self._answer(refusal.body, refusal.status, refusal.headers)
        if path.startswith("/lfs/"):
            return self._store(path.removeprefix("/lfs/"), body)
        account = world.accounts.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if account is None:
            said = {"X-Error-Message": "Invalid credentials in Authorization header"}
            return self._answer({"error": "Invalid credentials"}, 401, said)
        if path == "/api/validate-yaml":
            front = json.loads(body)["content"].startswith("---\n")
            return self._answer({"errors": [] if front else [{"message": "no front matter"}]}, 200 if front else 400)
        if path == "/api/whoami-v2":
            return self._answer({"type": "user", "name": account, **world.whoami})
        if path == "/api/repos/create":
            return self._create(json.loads(body), account)
        batch, api = _BATCH.fullmatch(path), _API.fullmatch(path)
        if batch is not None:
            return self._batch(json.loads(body))
        repo = world.repos.get((api[1], api[2])) if api is not None else None
        if api is None or repo is None:
            return self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if not api[2].startswith(f"{account}/") and self.command != "GET" and "create_pr=1" not in query:
            return self._answer({"error": "Forbidden"}, 403, {"X-Error-Message": "You may not write here"})
        if api[3] == "preupload":
            return self._modes(json.loads(body)["files"])
        if api[3] == "hardware":
            repo.hardware.append(json.loads(body)["flavor"])
            return self._answer({"stage": "BUILDING", "hardware": {"current": None, "requested": None}})
        if api[3] == "commit":
            return self._commit(repo, api[1], api[2], body, "create_pr=1" in query)
        return self._answer(
            {
                "id": api[2],
                "sha": repo.head,
                "private": repo.private,
                "siblings": [{"rfilename": name} for name in repo.files],
            }
        )

    def _create(self, asked: dict[str, Any], account: str) -> None:
        name = f"{asked['organization'] or account}/{asked['name']}"
        kind = f"{asked.get('type', 'model')}s"
        if not name.startswith(f"{account}/"):
            return self._answer({"error": "Forbidden"}, 403, {"X-Error-Message": "not yours"})
        if (kind, name) in self.world.repos:
            return self._answer({"error": "You already created this repo"}, 409)
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.world.repos[kind, name] = Repo(private, asked)
        prefix = "spaces/" if kind == "spaces" else ""
        return self._answer({"url": f"{self.world.url}/{prefix}{name}", "id": name})

    def _modes(self, files: list[dict[str, Any]]) -> None:
        def mode(file: dict[str, Any]) -> str:
            text = b"\0" not in base64.b64decode(file["sample"])
            return "regular" if text and file["size"] < 1 << 20 and not file["path"].endswith(".png") else "lfs"

        answers = [{"path": file["path"], "uploadMode": mode(file), "shouldIgnore": False} for file in files]
        return self._answer({"files": answers})

    def _batch(self, asked: dict[str, Any]) -> None:
        def action(one: dict[str, Any]) -> dict[str, Any]:
            if one["oid"] in self.world.objects:
                return dict(one)
            return {**one, "actions": {"upload": {"href": f"{self.world.url}/lfs/{one['oid']}"}}}

        return self._answer({"transfer": "basic", "objects": [action(one) for one in asked["objects"]]})

    def _store(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._answer({"error": "another content"}, 400)
        self.world.objects[oid] = body
        return self._answer({})

    def _commit(self, repo: Repo, kind: str, name: str, body: bytes, proposal: bool) -> None:
        if self.world.before_commit is not None:
            self.world.before_commit(repo)
        lines = [json.loads(line) for line in body.splitlines() if line]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, repo.head):
            return self._answer({"error": "a newer commit"}, 412)
        files = dict(repo.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.world.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        prefix = "spaces/" if kind == "spaces" else ""
        page = f"{self.world.url}/{prefix}{name}"
        if proposal:
            repo.proposals.append(files)
        else:
            repo.files = files
            repo.commits.append(header)
        if self.world.after_commit is not None:
            return self._answer(self.world.after_commit.body, self.world.after_commit.status)
        number = len(repo.proposals)
        pull = f"{page}/discussions/{number}" if proposal else ""
        found = {"success": True, "commitOid": repo.head, "commitUrl": f"{page}/commit/{repo.head}"}
        return self._answer({**found, **({"pullRequestUrl": pull} if proposal else {})})

    def _answer(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
