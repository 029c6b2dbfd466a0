"""One browser and one server for all browser tests; a fresh visitor for each."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.ui.browser import ensure_browser
from tests.ui.studio import DESKTOP, SETTLED_MS, StudioProcess, Witness, open_studio, visitor

# A wait ends as soon as what it waits for is there, so a long one costs a quick machine nothing.
expect.set_options(timeout=SETTLED_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.ui)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # A run that is told to end ends like one that is interrupted: its server and its browser go with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
    ]
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=ensure_browser(), args=flags)
        yield made
        made.close()


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    process = StudioProcess(tmp_path_factory.mktemp("basin")).start()
    yield process
    process.stop()


@pytest.fixture
def page(browser: Browser, studio: StudioProcess) -> Iterator[Page]:
    """A settled studio at 1440×900; the test fails if the page wrote an error or asked another host."""
    with visitor(browser, studio.url, DESKTOP) as (context, witness):
        yield open_studio(context, studio.url)
        assert_quiet(witness)


@pytest.fixture(scope="module")
def shared(browser: Browser, studio: StudioProcess) -> Iterator[Page]:
    """A settled studio at 1440×900 for all tests of a file: for those to whom it is the same which merge it shows."""
    with visitor(browser, studio.url, DESKTOP) as (context, witness):
        yield open_studio(context, studio.url)
        assert_quiet(witness)


def assert_quiet(witness: Witness) -> None:
    assert witness.errors == []
    assert witness.outside == []
