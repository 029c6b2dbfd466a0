"""A server with a Hub beside it, and visitors with accounts of their own there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request

from app.callers import Caller, Callers
from app.main import Basin, create_app
from app.settings import Settings
from merging_core.hub.client import Hub
from tests.app.pretend import free_port
from tests.app.test_jobs import until
from tests.app.wire import Browser
from tests.hub.repositories import folder_files
from tests.hub.server import ADA, BOB, FakeHub

ZOO = Path(__file__).resolve().parents[3] / "assets" / "zoo"
TASK = "tiny/digits"
ACCOUNTS = {"ada": ADA, "bob": BOB, "stranger": None}


class Accounts(Callers):
    """Gives a visitor the token of the account that the test names; one of none is whoever runs this Basin."""

    def of(self, request: Request) -> Caller:
        found, account = super().of(request), request.headers.get("x-test-account", "")
        return Caller(found.visitor, ACCOUNTS[account]) if account else found


@dataclass
class HubServer:
    """Basin in this process, asking a Hub of this process."""

    fake: FakeHub
    cache: Path
    data: Path
    app: Basin
    url: str
    browsers: list[Browser] = field(default_factory=list)

    def visitor(self, account: str = "") -> Browser:
        """Open the page as somebody with an account."""
        browser = Browser(self.url)
        browser.client.headers["x-test-account"] = account
        self.browsers.append(browser)
        return browser

    def ref(self, name: str) -> str:
        """Return the reference of a model at the commit that its main branch means."""
        return f"hub:{name}@{self.fake.models[name].branches['main']}"

    def choice(self, *experts: str, base: str = "ada/base", tasks: tuple[str, ...] = (TASK,)) -> dict[str, Any]:
        """Pick models, as the page does."""
        rows = [{"ref": self.ref(name), "task": None} for name in experts]
        return {"base": self.ref(base), "experts": rows, "tasks": list(tasks)}

    def hold(self, *names: str) -> None:
        """Have models in the cache, as if somebody who may read them had downloaded them."""
        for name in names:
            Hub(self.fake.endpoint, ADA, self.cache).download(self.ref(name))

    def downloaded(self, browser: Browser, *names: str) -> dict[str, Any]:
        """Download models and return the job as it ended."""
        begun = browser.call("hub_download", {"refs": [self.ref(name) for name in names]})
        assert begun["ok"], begun
        return ended(browser, begun["job"]["id"])


def ended(browser: Browser, job: str) -> dict[str, Any]:
    """Wait until a job has ended."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = browser.call("job_status", {"job": job})["job"]
        return found if found["state"] not in ("queued", "running") else None

    found: dict[str, Any] = until(look)
    return found


Start = Callable[..., HubServer]


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub make requests, here and in the processes of jobs."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    """A Hub with the zoo's tiny models: two that everybody may read, a private and a gated one."""
    with FakeHub() as hub:
        tags = ["base_model:ada/base", "base_model:finetune:ada/base", "license:apache-2.0"]
        hub.add("ada/base", folder_files(ZOO / "tiny" / "base"), downloads=90)
        hub.add("ada/digits", folder_files(ZOO / "tiny" / "digits"), tags=tags, downloads=20)
        hub.add("ada/letters", folder_files(ZOO / "tiny" / "letters"), tags=tags, private=True)
        hub.add("ada/greek", folder_files(ZOO / "tiny" / "greek"), tags=tags, gated=True)
        yield hub


@pytest.fixture
def start(fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a server; what is given is put into its environment."""
    monkeypatch.setattr("app.main.Callers", Accounts)
    monkeypatch.setattr("app.studio.bench.ZooBench.warm", lambda *_: None)
    running: list[HubServer] = []

    def begin(**environment: str) -> HubServer:
        place = tmp_path / str(len(running))
        given = {
            "BASIN_DATA": str(place / "data"),
            "BASIN_CACHE": str(place / "cache"),
            "BASIN_PORT": str(free_port()),
            "BASIN_DEVICE": "cpu",
            "HF_ENDPOINT": fake.endpoint,
            **environment,
        }

        async def made() -> tuple[Basin, str]:
            app = create_app(Settings.from_env(given))
            return app, app.start(block=False, quiet=True)

        app, url = asyncio.run(made())
        server = HubServer(fake, Path(given["BASIN_CACHE"]) / "hub", Path(given["BASIN_DATA"]), app, url)
        running.append(server)
        return server

    yield begin
    for server in running:
        for browser in server.browsers:
            browser.client.close()
        server.app.stop()


@pytest.fixture
def server(start: Start) -> HubServer:
    """A server with nothing downloaded."""
    return start()
