"""A merge stops within seconds, also while a worker is inside one call that takes minutes; nothing of it stays."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.engines import make_plan, stream_merge
from merging_core.engines.plan import Plan
from merging_core.engines.stoppable import stoppable
from merging_core.errors import CancelledError
from merging_core.methods.contract import CombineContext, MethodInfo
from merging_core.methods.info import Parameters
from merging_core.methods.registry import method as method_of
from tests.engines.world import WIDE, Family, family

ROOT = Path(__file__).resolve().parents[2]
PROMISED = 5.0
"""Seconds."""


@pytest.fixture
def made(tmp_path: Path) -> Family:
    return family(tmp_path / "models", shapes=WIDE)


class LongCall:
    """A step on a leaf that does not end before it is released; `goes_on` counts what it did afterwards."""

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()

    def __call__(self, leaves: torch.Tensor, weights: torch.Tensor, context: CombineContext) -> torch.Tensor:
        self.entered.set()
        assert self.released.wait(120)
        return leaves[0]


@pytest.fixture
def long_call() -> Iterator[LongCall]:
    call = LongCall()
    yield call
    call.released.set()


def with_step(plan: Plan, step: LongCall) -> Plan:
    method = plan.stages.method
    assert method.whole_leaf is not None
    slow: MethodInfo = replace(method, whole_leaf=replace(method.whole_leaf, combine=step))
    return replace(plan, stages=replace(plan.stages, method=slow))


def test_a_merge_stops_within_a_leaf_that_takes_minutes(
    made: Family, tmp_path: Path, catalog: Catalog, long_call: LongCall
) -> None:
    plan = with_step(make_plan(made.recipe("iso_c"), catalog), long_call)
    folder = tmp_path / "outputs"
    folder.mkdir()
    asked: list[float] = []

    def cancelled() -> bool:
        if long_call.entered.is_set() and not asked:
            asked.append(time.monotonic())
        return bool(asked)

    with pytest.raises(CancelledError, match="nothing was written"):
        stream_merge(plan, catalog, folder / "out", cancelled=cancelled)
    assert time.monotonic() - asked[0] < PROMISED
    assert list(folder.iterdir()) == []
    before = {thread.name for thread in threading.enumerate()}
    assert any(name.startswith("basin-streaming") for name in before)
    long_call.released.set()
    for thread in threading.enumerate():
        if thread.name.startswith(("basin-streaming", "basin-merge")):
            thread.join(60)
            assert not thread.is_alive()
    assert list(folder.iterdir()) == []


def test_what_fails_is_raised_where_it_is_waited_for() -> None:
    def fails() -> None:
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        stoppable(fails, lambda: None, lambda: None)


@pytest.mark.parametrize(
    ("method", "params", "steps"), [("wudi", {"solver": "adam"}, 300), ("iso_cts", {}, 3), ("tsv_m", {}, 3)]
)
def test_methods_of_many_steps_look_between_them(method: str, params: dict[str, str], steps: int) -> None:
    looked = 0

    def check() -> None:
        nonlocal looked
        looked += 1

    info = method_of(method)
    assert info.whole_leaf is not None
    chosen = Parameters({parameter.name: parameter.default for parameter in info.parameters} | params)
    leaves = torch.randn(3, 24, 20, generator=torch.Generator().manual_seed(1))
    info.whole_leaf.combine(leaves, torch.ones(3), CombineContext(chosen, check=check))
    assert looked == steps


INTERRUPTED = """
import runpy, signal, sys, time
from merging_core.engines import preparing
signal.signal(signal.SIGINT, signal.default_int_handler)
def slow(*_, **__):
    print("inside", flush=True)
    time.sleep(600)
preparing.combine_whole = slow
sys.argv = ["merging_core", "merge", sys.argv[1], sys.argv[2]]
runpy.run_module("merging_core", run_name="__main__")
"""


def test_an_interrupt_ends_the_command_within_a_leaf_that_takes_minutes(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "version: 1\nbase: zoo:tiny/base\nmodels: [{ref: zoo:tiny/digits}, {ref: zoo:tiny/letters}]\n"
        "method: {name: iso_c}\n"
    )
    folder = tmp_path / "outputs"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(recipe), str(folder / "out")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline().startswith("inside")
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        took = time.monotonic() - asked
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, err) == (130, "") and took < PROMISED
    assert list(folder.iterdir()) == []
