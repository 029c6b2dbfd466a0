"""The scheduler: fair, bounded, newest wins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from app.live import BusyError, Cancelled, Scheduler
from merging_core.errors import CancelledError, Problem

WAIT = 120.0


class Gate:
    """Work that holds the worker until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.was_cancelled = False

    def __call__(self, cancelled: Cancelled) -> str:
        self.entered.set()
        assert self.opened.wait(WAIT)
        self.was_cancelled = cancelled()
        return "gate"


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(waiting_limit=6, per_visitor=4)
    yield made
    made.close()


def answer(value: Any) -> Callable[[Cancelled], Any]:
    return lambda cancelled: value


def hold(scheduler: Scheduler, visitor: str = "holder") -> tuple[Gate, Future[str]]:
    gate = Gate()
    future = scheduler.submit(visitor, "page", "preview", 0, gate)
    assert gate.entered.wait(WAIT)
    return gate, future


def test_work_is_answered_with_its_result(scheduler: Scheduler) -> None:
    assert scheduler.submit("ann", "p", "preview", 1, answer(7)).result(WAIT) == 7


def test_an_exception_reaches_the_caller_and_the_worker_lives_on(scheduler: Scheduler) -> None:
    def fail(cancelled: Cancelled) -> None:
        raise ZeroDivisionError("boom")

    with pytest.raises(ZeroDivisionError, match="boom"):
        scheduler.submit("ann", "p", "preview", 1, fail).result(WAIT)
    assert scheduler.submit("ann", "p", "preview", 2, answer("alive")).result(WAIT) == "alive"


def test_a_newer_request_is_done_and_the_waiting_older_one_is_answered_at_once(scheduler: Scheduler) -> None:
    gate, _ = hold(scheduler)
    old = scheduler.submit("ann", "p", "preview", 1, answer("old"))
    new = scheduler.submit("ann", "p", "preview", 2, answer("new"))
    with pytest.raises(CancelledError):
        old.result(0)
    gate.opened.set()
    assert new.result(WAIT) == "new"


def test_a_running_request_is_told_to_stop_and_its_answer_is_dropped(scheduler: Scheduler) -> None:
    gate, old = hold(scheduler, "ann")
    new = scheduler.submit("ann", "page", "preview", 1, answer("new"))
    with pytest.raises(CancelledError):
        old.result(0)
    gate.opened.set()
    assert new.result(WAIT) == "new"
    assert gate.was_cancelled


@pytest.mark.parametrize(
    ("kind", "replaced"),
    [
        ("preview", {"preview", "path", "layers", "settle", "fine path"}),
        ("path", {"path", "layers", "settle", "fine path"}),
        ("layers", {"layers", "settle", "fine path"}),
        ("settle", {"settle", "fine path"}),
        ("fine path", {"fine path"}),
    ],
)
def test_a_request_replaces_its_own_kind_and_the_less_urgent_ones(kind: str, replaced: set[str]) -> None:
    scheduler = Scheduler()
    gate, _ = hold(scheduler)
    kinds = ["preview", "path", "layers", "settle", "fine path"]
    older = {name: scheduler.submit("ann", "p", name, 1, answer(name)) for name in kinds}
    newer = scheduler.submit("ann", "p", kind, 2, answer("newer"))
    gate.opened.set()
    assert newer.result(WAIT) == "newer"
    dropped = {name for name, future in older.items() if isinstance(future.exception(WAIT), CancelledError)}
    scheduler.close()
    assert dropped == replaced


def test_the_kinds_of_one_state_stand_beside_each_other(scheduler: Scheduler) -> None:
    gate, _ = hold(scheduler)
    futures = [scheduler.submit("ann", "p", kind, 5, answer(kind)) for kind in ("path", "layers", "settle", "preview")]
    gate.opened.set()
    assert [future.result(WAIT) for future in futures] == ["path", "layers", "settle", "preview"]


def test_a_request_that_arrives_after_a_newer_one_is_dropped(scheduler: Scheduler) -> None:
    gate, _ = hold(scheduler)
    new = scheduler.submit("ann", "p", "preview", 9, answer("new"))
    late = scheduler.submit("ann", "p", "preview", 8, answer("late"))
    with pytest.raises(CancelledError):
        late.result(0)
    gate.opened.set()
    assert new.result(WAIT) == "new"


def test_pages_and_visitors_do_not_replace_each_other(scheduler: Scheduler) -> None:
    gate, _ = hold(scheduler)
    futures = [
        scheduler.submit("ann", "p", "preview", 1, answer(1)),
        scheduler.submit("ann", "q", "preview", 2, answer(2)),
        scheduler.submit("bob", "p", "preview", 3, answer(3)),
    ]
    gate.opened.set()
    assert [future.result(WAIT) for future in futures] == [1, 2, 3]


def test_a_test_score_is_never_replaced(scheduler: Scheduler) -> None:
    gate, _ = hold(scheduler)
    score = scheduler.submit("ann", "p", "test score", 1, answer("score"))
    preview = scheduler.submit("ann", "p", "preview", 2, answer("preview"))
    gate.opened.set()
    assert (score.result(WAIT), preview.result(WAIT)) == ("score", "preview")


def test_visitors_take_turns_whatever_each_has_waiting() -> None:
    scheduler = Scheduler()
    order: list[str] = []
    gate, _ = hold(scheduler)

    def note(name: str) -> Callable[[Cancelled], None]:
        return lambda cancelled: order.append(name)

    futures = [scheduler.submit("ann", f"page {n}", "preview", n, note(f"ann {n}")) for n in range(4)]
    futures += [scheduler.submit(name, "p", "preview", 1, note(name)) for name in ("bob", "cleo")]
    gate.opened.set()
    for future in futures:
        future.result(WAIT)
    scheduler.close()
    assert order == ["ann 0", "bob", "cleo", "ann 1", "ann 2", "ann 3"]


def test_within_a_visitor_the_most_urgent_kind_goes_first() -> None:
    scheduler = Scheduler()
    order: list[str] = []
    gate, _ = hold(scheduler)
    kinds = ("settle", "layers", "path", "preview")
    futures = [
        scheduler.submit("ann", kind, kind, 1, lambda cancelled, kind=kind: order.append(kind)) for kind in kinds
    ]
    gate.opened.set()
    for future in futures:
        future.result(WAIT)
    scheduler.close()
    assert order == ["preview", "path", "layers", "settle"]


def test_what_takes_one_visitor_long_leaves_a_thread_to_the_others() -> None:
    scheduler = Scheduler(workers=2, at_once=1)
    gate, slow = hold(scheduler, "ann")
    more = scheduler.submit("ann", "another", "preview", 1, answer("ann again"))
    for _ in range(3):
        assert scheduler.submit("bob", "p", "preview", 1, answer("bob")).result(WAIT) == "bob"
    assert not slow.done() and not more.done()
    gate.opened.set()
    assert [slow.result(WAIT), more.result(WAIT)] == ["gate", "ann again"]
    scheduler.close()


def test_one_visitor_has_a_limit(scheduler: Scheduler) -> None:
    gate, _ = hold(scheduler)
    for page in range(4):
        scheduler.submit("ann", str(page), "preview", 1, answer(page))
    with pytest.raises(BusyError, match="at most 4 requests of one visitor"):
        scheduler.submit("ann", "one more", "preview", 1, answer(0))
    gate.opened.set()


def test_when_all_places_are_taken_the_heaviest_visitor_gives_one_up(scheduler: Scheduler) -> None:
    gate, _ = hold(scheduler)
    heavy = [scheduler.submit("ann", str(page), "preview", 1, answer(page)) for page in range(4)]
    others = [scheduler.submit("bob", str(page), "preview", 1, answer(page)) for page in range(2)]
    newcomer = scheduler.submit("cleo", "p", "preview", 1, answer("cleo"))
    assert scheduler.waiting() == 6
    with pytest.raises(BusyError):
        heavy[-1].result(0)
    gate.opened.set()
    assert newcomer.result(WAIT) == "cleo"
    assert [future.result(WAIT) for future in [*heavy[:-1], *others]] == [0, 1, 2, 0, 1]


def test_when_all_are_equal_the_newcomer_is_refused() -> None:
    scheduler = Scheduler(waiting_limit=2, per_visitor=2)
    gate, _ = hold(scheduler)
    scheduler.submit("ann", "p", "preview", 1, answer(1))
    scheduler.submit("bob", "p", "preview", 1, answer(1))
    with pytest.raises(BusyError, match="at most 2 requests wait"):
        scheduler.submit("cleo", "p", "preview", 1, answer(1))
    gate.opened.set()
    scheduler.close()


def test_ten_thousand_requests_of_a_page_leave_one_waiting(scheduler: Scheduler) -> None:
    gate, _ = hold(scheduler)
    futures = [scheduler.submit("ann", "p", "preview", n, answer(n)) for n in range(1, 10_001)]
    assert scheduler.waiting() == 1
    gate.opened.set()
    assert futures[-1].result(WAIT) == 10_000
    assert all(isinstance(future.exception(0), CancelledError) for future in futures[:-1])


def test_a_caller_that_gave_up_does_not_hurt_the_worker(scheduler: Scheduler) -> None:
    gate, _ = hold(scheduler)
    given_up = scheduler.submit("ann", "p", "preview", 1, answer("nobody reads this"))
    assert given_up.cancel()
    gate.opened.set()
    assert scheduler.submit("bob", "p", "preview", 1, answer("alive")).result(WAIT) == "alive"


def test_close_answers_what_waits_and_takes_no_more() -> None:
    scheduler = Scheduler()
    gate, _ = hold(scheduler)
    waiting = scheduler.submit("ann", "p", "preview", 1, answer(1))
    closer = threading.Thread(target=scheduler.close)
    closer.start()
    with pytest.raises(CancelledError):
        waiting.result(WAIT)
    gate.opened.set()
    closer.join(WAIT)
    assert gate.was_cancelled
    with pytest.raises(BusyError):
        scheduler.submit("ann", "p", "preview", 2, answer(2))


def test_many_threads_get_their_own_answers() -> None:
    scheduler = Scheduler(workers=3, waiting_limit=500, per_visitor=100)
    results: dict[tuple[int, int], int] = {}

    def visit(visitor: int) -> None:
        for n in range(50):
            value = visitor * 1000 + n
            future = scheduler.submit(f"v{visitor}", f"page {n}", "preview", n, answer(value))
            results[visitor, n] = future.result(WAIT)

    threads = [threading.Thread(target=visit, args=(visitor,)) for visitor in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    scheduler.close()
    assert results == {(visitor, n): visitor * 1000 + n for visitor in range(8) for n in range(50)}


@pytest.mark.parametrize("limits", [{"workers": 0}, {"waiting_limit": 0}, {"per_visitor": 0}])
def test_limits_are_at_least_one(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Scheduler(**limits)


def test_resumable_work_steps_aside_for_whoever_waits_and_goes_on_later(scheduler: Scheduler) -> None:
    order: list[str] = []
    entered = threading.Event()
    done = 0

    def path(cancelled: Cancelled) -> str:
        nonlocal done
        order.append(f"path from {done}")
        entered.set()
        deadline = time.monotonic() + WAIT
        while done < 1 and time.monotonic() < deadline:
            if cancelled():
                done += 1
                raise CancelledError(Problem("work goes on", "a cancellation"))
            time.sleep(0.005)
        return "path"

    fine = scheduler.submit("ann", "p", "fine path", 1, path)
    assert entered.wait(WAIT)
    other = scheduler.submit("bob", "p", "settle", 1, lambda cancelled: order.append("bob"))
    other.result(WAIT)
    assert fine.result(WAIT) == "path"
    assert order == ["path from 0", "bob", "path from 1"]


def test_resumable_work_that_is_replaced_does_not_come_back(scheduler: Scheduler) -> None:
    entered, runs = threading.Event(), []

    def path(cancelled: Cancelled) -> str:
        runs.append(1)
        entered.set()
        while not cancelled():
            time.sleep(0.005)
        raise CancelledError(Problem("work goes on", "a cancellation"))

    fine = scheduler.submit("ann", "p", "fine path", 1, path)
    assert entered.wait(WAIT)
    assert scheduler.submit("ann", "p", "preview", 2, answer("new")).result(WAIT) == "new"
    assert isinstance(fine.exception(WAIT), CancelledError)
    assert scheduler.submit("ann", "p", "settle", 2, answer("later")).result(WAIT) == "later"
    assert len(runs) == 1


def test_of_two_pages_that_begin_again_at_every_turn_both_come_to_an_end(scheduler: Scheduler) -> None:
    """Each needs three slices in one piece; no clock of the machine is asked."""
    now = [0.0]
    scheduler._clock = lambda: now[0]
    begun = {"one": threading.Event(), "two": threading.Event()}
    both = threading.Event()

    def work(name: str) -> Callable[[Cancelled], str]:
        def attempt(cancelled: Cancelled) -> str:
            begun[name].set()
            assert both.wait(WAIT)
            for _ in range(6):
                now[0] += 0.05
                if cancelled():
                    raise CancelledError(Problem("work goes on while it is wanted", "somebody else"))
            return name

        return attempt

    first = scheduler.submit("ann", "one", "study", 1, work("one"))
    assert begun["one"].wait(WAIT)
    second = scheduler.submit("ann", "two", "study", 1, work("two"))
    both.set()
    assert (first.result(WAIT), second.result(WAIT)) == ("one", "two")
