"""A real Basin in a process of its own, and a watched page: what the browser tests and the latency benchmark drive."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from playwright.sync_api import Browser, BrowserContext, Page, expect

ROOT = Path(__file__).resolve().parents[2]
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
SETTLED_MS = 60_000


class StudioProcess:
    """`python app.py` on a free port with a data folder of its own."""

    def __init__(self, data: Path, port: int | None = None, **environment: str) -> None:
        self.data = data
        self.environment = environment
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> StudioProcess:
        environment = os.environ | {
            "BASIN_HOST": "127.0.0.1",
            "BASIN_PORT": str(self.port),
            "BASIN_DATA": str(self.data),
            "PYTHONUNBUFFERED": "1",
            **self.environment,
        }
        log = (self.data / "server.log").open("a")
        self._process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True
        )
        log.close()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(self.url, timeout=5):
                    return self
            except OSError:
                time.sleep(0.2)
        self.stop()
        raise AssertionError(f"the server did not start:\n{self.log()}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def log(self) -> str:
        return (self.data / "server.log").read_text()


class Witness:
    """What a page must never do: write an error to the console, or ask another host for anything."""

    def __init__(self, context: BrowserContext, host: str) -> None:
        self.errors: list[str] = []
        self.outside: list[str] = []
        self._host = host
        context.on("console", lambda message: self._heard(message.type, message.text))
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("request", lambda request: self._asked(request.url))

    def _heard(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def _asked(self, url: str) -> None:
        parts = urlparse(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self._host:
            self.outside.append(url)


@contextmanager
def visitor(
    browser: Browser, url: str, viewport: dict[str, int] | None = None, *, dark: bool = False
) -> Iterator[tuple[BrowserContext, Witness]]:
    """A browser context with cookies of its own, watched; closed at the end."""
    size = viewport or DESKTOP
    context = browser.new_context(
        viewport={"width": size["width"], "height": size["height"]}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(SETTLED_MS)
    witness = Witness(context, urlparse(url).netloc)
    try:
        yield context, witness
    finally:
        context.close()


def open_studio(context: BrowserContext, url: str) -> Page:
    """Open the studio and wait until the full validation split is on the screen."""
    page = context.new_page()
    page.goto(url)
    expect(page.locator(".basin[data-ready=true]")).to_be_visible(timeout=SETTLED_MS)
    settled(page)
    return page


def settled(page: Page) -> None:
    """Wait until nothing is asked any more and the newest state is drawn from the full split."""
    page.wait_for_function(
        """() => { const root = document.querySelector(".basin");
                   return root && root.dataset.busy === "false" && root.dataset.settle === root.dataset.asked; }""",
        timeout=SETTLED_MS,
    )


def eventually(page: Page, holds: Callable[[], bool], what: str) -> None:
    """Wait until something outside the page holds, while the page goes on; `what` says it where it never does."""
    deadline = time.monotonic() + SETTLED_MS / 1000
    while not holds():
        assert time.monotonic() < deadline, f"never seen: {what}"
        page.wait_for_timeout(20)


def address_of(page: Page) -> str:
    """The address that the page has given itself."""
    address: str = page.evaluate("location.href")
    return address


def choose_method(page: Page, name: str) -> None:
    """Choose a merge method in the picker, and wait until it is the page's."""
    field = page.get_by_label("method", exact=True)
    if field.get_attribute("aria-expanded") != "true":
        field.click()
    page.locator(f'.picker [role=option][data-value="{name}"]').click()
    expect(field).to_have_attribute("data-value", name)


def average(page: Page) -> str:
    """The average accuracy as the page writes it."""
    return page.locator('.accuracy [data-value="average"]').inner_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
