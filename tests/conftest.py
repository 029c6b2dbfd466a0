"""What every test stands on: no outside request, no trace in the person's own folders, the same numbers each time."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

_SCRATCH = Path(tempfile.mkdtemp(prefix="basin-tests-"))
_LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0")

# Set before gradio or transformers is imported, and inherited by every process that a test starts.
os.environ |= {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "GRADIO_TEMP_DIR": str(_SCRATCH / "gradio"),
    "BASIN_DATA": str(_SCRATCH / "data"),
}
for _folder in ("gradio", "data"):
    (_SCRATCH / _folder).mkdir()

hypothesis_settings.register_profile("basin", deadline=None, derandomize=True)
hypothesis_settings.load_profile("basin")


def pytest_unconfigure() -> None:
    shutil.rmtree(_SCRATCH, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def no_outside_request() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0] if isinstance(address, tuple) else address
            if host not in _LOCAL:
                raise PermissionError(f"tests make no outside request, but one to {host} was tried")
        connect(self, address)  # type: ignore[arg-type]

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", connect_locally)
    yield
    patch.undo()
