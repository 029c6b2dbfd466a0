"""Who asks: said once where a request comes in, and known wherever its work is done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from app.callers import NOBODY, Caller, called_by, caller
from app.live import Scheduler

ANN, BOB = Caller("ann", "hf_" + "a" * 20), Caller("bob", "hf_" + "b" * 20)


def test_work_in_a_scheduler_s_thread_is_done_for_whoever_asked_for_it() -> None:
    scheduler = Scheduler()

    def asked(who: Caller, number: int) -> Caller:
        with called_by(who):
            return scheduler.submit(who.visitor, f"page {number}", "preview", number, lambda _: caller()).result(
                timeout=10
            )

    try:
        with ThreadPoolExecutor(4) as pool:
            wanted = [(ANN, BOB)[number % 2] for number in range(20)]
            assert list(pool.map(asked, wanted, range(20))) == wanted
        assert scheduler.submit("ann", "page", "preview", 99, lambda _: caller()).result(timeout=10) is NOBODY
    finally:
        scheduler.close()


def test_a_caller_is_forgotten_when_the_request_ends_and_its_token_is_never_shown() -> None:
    with called_by(ANN):
        with called_by(BOB):
            assert caller() is BOB
        assert caller() is ANN
    assert caller() is NOBODY
    assert "hf_" not in repr(ANN)
