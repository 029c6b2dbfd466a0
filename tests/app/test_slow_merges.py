"""Merges that take long: made beside the sliders, the newest of a page first, and said how long they take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.studio.workbench import Scored
from tests.app.pretend import PretendBench, PretendServer
from tests.app.test_jobs import until
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


def test_a_test_score_of_a_slow_merge_holds_up_nobody_s_errand(bench: PretendBench, ann: Browser, bob: Browser) -> None:
    quick = ann.state()
    slow = ann.call("edit", {"state": quick, "change": {"kind": "method", "name": "ties"}})["state"]
    bench.slow["ties"] = 9.0
    with ThreadPoolExecutor(1) as pool:
        score = pool.submit(ann.call, "score_on_test", {"state": slow})
        until(lambda: bench.prepared == ["ties"])
        assert bob.call("score_on_test", {"state": quick})["ok"] is True
        assert ann.call("score_on_test", {"state": quick})["ok"] is True
        assert not score.done()
        bench.slow.clear()
        assert score.result(WAIT)["ok"] is True


def test_a_long_evaluation_of_one_visitor_holds_up_no_errand_of_another(
    bench: PretendBench, ann: Browser, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ann.state()
    entered, opened, accuracy = threading.Event(), threading.Event(), bench.accuracy

    def long_at_first(*asked: Any) -> Scored:
        if not entered.is_set():
            entered.set()
            assert opened.wait(WAIT)
        return accuracy(*asked)

    monkeypatch.setattr(bench, "accuracy", long_at_first)
    with ThreadPoolExecutor(1) as pool:
        score = pool.submit(ann.call, "score_on_test", {"state": state})
        assert entered.wait(WAIT)
        assert bob.call("score_on_test", {"state": state})["ok"] is True
        assert not score.done()
        opened.set()
        assert score.result(WAIT)["ok"] is True
