"""Merges that take long: made beside the sliders, the newest of a page first, and said how long they take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.app.pretend import PretendBench, PretendServer
from tests.app.wire import WAIT, Browser


@pytest.fixture
def bench(server: PretendServer) -> Iterator[PretendBench]:
    yield server.bench
    server.bench.slow.clear()
    server.bench.prepared.clear()


def test_a_slow_merge_holds_up_no_slider_of_anybody_else_and_says_how_long_it_takes(
    bench: PretendBench, ann: Browser, bob: Browser
) -> None:
    quick = ann.state()
    state = ann.call("edit", {"state": quick, "change": {"kind": "method", "name": "ties"}})["state"]
    bench.slow["ties"] = 9.0
    assert ann.call("merge_time", {"state": state})["seconds"] == 9.0
    assert ann.call("merge_time", {"state": quick})["seconds"] == 0.0
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(ann.call, "live", {"seq": 1, "page": "a", "want": "preview", "state": state})
        until(lambda: bench.prepared == ["ties"])
        assert bob.live("preview", quick)["ok"] is True
        assert not slow.done()
        bench.slow.clear()
        assert slow.result(WAIT)["ok"] is True


def test_a_slow_merge_gives_way_to_the_next_one_of_its_page(bench: PretendBench, ann: Browser) -> None:
    message = {"seq": 1, "page": "p", "want": "preview", "state": ann.state()}
    bench.slow["task_arithmetic"] = 9.0
    with ThreadPoolExecutor(2) as pool:
        old = pool.submit(ann.call, "live", message)
        until(lambda: len(bench.prepared) == 1)
        new = pool.submit(ann.call, "live", {**message, "seq": 2})
        assert old.result(WAIT) == {"ok": False, "superseded": True}
        bench.slow.clear()
        assert new.result(WAIT)["ok"] is True


def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come to that")
