"""A task folder as the zoo writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.standins import write_task


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    write_task(tmp_path / "five")
    return tmp_path / "five"


@pytest.fixture
def rewritten(tmp_path: Path) -> Callable[..., Path]:
    def write(**changes: Any) -> Path:
        write_task(tmp_path / "five", **changes)
        return tmp_path / "five"

    return write
