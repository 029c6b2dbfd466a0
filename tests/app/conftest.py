"""A server on a pretended workbench, and two visitors of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.pretend import PretendServer
from tests.app.wire import Browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PretendServer]:
    made = PretendServer(tmp_path_factory.mktemp("data"))
    yield made
    made.stop()


@pytest.fixture
def ann(server: PretendServer) -> Iterator[Browser]:
    with Browser(server.url) as browser:
        yield browser


@pytest.fixture
def bob(server: PretendServer) -> Iterator[Browser]:
    with Browser(server.url) as browser:
        yield browser
