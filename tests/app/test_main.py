"""Starting: what the environment says wrong is one message and status 2; the app can be built twice."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.main import create_app, main
from app.settings import Settings
from tests.app.pretend import PretendBench

ROOT = Path(__file__).resolve().parents[2]


def test_a_bad_environment_is_one_message_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BASIN_PORT", "eighty")
    assert main() == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.strip() == (
        "BASIN_PORT: BASIN_PORT is a whole number from 1 to 65535, but 'eighty' came; the default is 7860."
    )


def test_a_port_that_is_taken_is_one_message_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {"BASIN_PORT": str(taken.getsockname()[1]), "BASIN_DATA": str(tmp_path)}
        command = [sys.executable, str(ROOT / "app.py")]
        ended = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
        )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "port" in ended.stderr and "Traceback" not in ended.stderr


def test_the_app_can_be_built_twice_and_nothing_is_shared(tmp_path: Path) -> None:
    async def build() -> list[str]:
        made = []
        for name in ("a", "b"):
            settings = Settings.from_env({"BASIN_DATA": str(tmp_path / name)})
            app = create_app(settings, PretendBench())
            made.append(app.browser_files.version)
            assert app.title == "Basin"
            app.studio.close()
        return made

    first, second = asyncio.run(build())
    assert first == second
