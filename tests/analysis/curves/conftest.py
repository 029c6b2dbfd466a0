from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from merging_core.analysis.studies.contract import StudyBench
from merging_core.engines.points import Points, points_of
from tests.analysis.studies.small import small_bench


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bench() -> StudyBench:
    return small_bench()


@pytest.fixture(scope="module")
def strangers(bench: StudyBench) -> Points:
    return points_of(bench.engine, ["zoo:basins/stranger-1", "zoo:basins/stranger-2"])
