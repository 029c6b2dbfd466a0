"""ZeroGPU imitated: what is lent runs elsewhere, gets and gives pickled values only, and may be refused."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.settings import Settings
from app.state import default_state, parse_state
from app.studio.bench import ZooBench


class Lender(ModuleType):
    """What the package `spaces` is to us: a decorator that carries values to another process and back."""

    def __init__(self) -> None:
        super().__init__("spaces")
        self.durations: list[int] = []
        self.calls = 0
        self.refuses = False

    def GPU(self, task: Callable[..., Any], duration: int) -> Callable[..., Any]:
        self.durations.append(duration)

        def elsewhere(*arguments: Any) -> Any:
            self.calls += 1
            if self.refuses:
                raise RuntimeError("quota exceeded")
            found, given = pickle.loads(pickle.dumps((task, arguments)))
            return pickle.loads(pickle.dumps(found(*given)))

        return elsewhere


@pytest.fixture
def lender(monkeypatch: pytest.MonkeyPatch) -> Lender:
    made = Lender()
    monkeypatch.setitem(sys.modules, "spaces", made)
    made.__spec__ = sys.modules["pickle"].__spec__
    return made


def accuracy(bench: ZooBench, subset: str) -> dict[str, Any]:
    state = default_state(next(family for family in bench.families if family.name == "basins"))
    return bench.accuracy(parse_state(state.as_json(), bench.families), "validation", subset, lambda: False).numbers


def test_only_a_settled_merge_is_measured_there_and_the_numbers_are_the_same(tmp_path: Path, lender: Lender) -> None:
    here = ZooBench(Settings.from_env({"BASIN_DATA": str(tmp_path)}))
    there = ZooBench(Settings.from_env({"BASIN_DATA": str(tmp_path), "BASIN_ZERO_GPU": "1"}))
    assert there.models().engine.device.type == "cpu"
    assert accuracy(there, "preview") == accuracy(here, "preview")
    assert lender.calls == 0
    assert accuracy(there, "full") == accuracy(here, "full")
    assert (lender.calls, len(lender.durations)) == (1, 1)
    accuracy(there, "full")
    assert lender.calls == 1


def test_where_none_is_lent_the_cpu_measures(tmp_path: Path, lender: Lender, caplog: pytest.LogCaptureFixture) -> None:
    lender.refuses = True
    there = ZooBench(Settings.from_env({"BASIN_DATA": str(tmp_path), "BASIN_ZERO_GPU": "1"}))
    assert accuracy(there, "full")["partial"] is False
    assert "no GPU was lent (RuntimeError); the CPU measures" in caplog.text


def test_it_is_asked_for_where_the_surroundings_lend_it_and_nowhere_else(tmp_path: Path, lender: Lender) -> None:
    data = {"BASIN_DATA": str(tmp_path)}
    assert Settings.from_env({**data, "SPACES_ZERO_GPU": "true"}).zero_gpu
    assert not Settings.from_env({**data, "SPACES_ZERO_GPU": "true", "BASIN_ZERO_GPU": "0"}).zero_gpu
    assert not Settings.from_env(data).zero_gpu
    ZooBench(Settings.from_env(data))
    assert lender.durations == []
