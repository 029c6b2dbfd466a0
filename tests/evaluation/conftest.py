"""A task folder as the zoo writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.evaluation.standins import write_task


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep operations of these tests on one core, so that other tests beside them do not slow them down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
