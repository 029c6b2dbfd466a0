"""On a Space the page asks no other host, and no code is read anew while the server runs."""

from __future__ import annotations

from pathlib import Path

import gradio.utils
import pytest
from gradio import http_server

from tests.app.pretend import PretendServer
from tests.app.wire import Browser


@pytest.fixture
def at_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Gradio take this machine for a Space."""
    monkeypatch.setenv("SYSTEM", "spaces")
    monkeypatch.setenv("SPACE_ID", "ann/basin")


@pytest.mark.usefixtures("at_a_space")
def test_a_space_s_page_asks_no_other_host_and_its_server_waits_for_no_new_code(tmp_path: Path) -> None:
    server = PretendServer(tmp_path, space=True)
    try:
        with Browser(server.url) as browser:
            assert browser.client.get("/config").json()["space_id"] is None
            assert "ann/basin" not in browser.client.get("/", headers={"accept": "text/html"}).text
        assert server.app.server.reloader is None  # type: ignore[union-attr]
    finally:
        server.stop()
    assert vars(http_server)["get_space"] is gradio.utils.get_space
