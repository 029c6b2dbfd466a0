from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A catalog of files alone."""
    return Catalog(Zoo(tmp_path, (), {}, {}, {}), allow_files=True)
