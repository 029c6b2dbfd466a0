"""Who asks: said once where a request comes in, and known wherever its work is done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from app.callers import NOBODY, Caller, Callers, called_by, caller
from app.live import Scheduler
from app.visitors import SCOPE_KEY

ANN, BOB = Caller("ann", "hf_" + "a" * 20), Caller("bob", "hf_" + "b" * 20)
HERE = "127.0.0.1:7860"


def sent(**headers: str) -> Any:
    """A request with these headers."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(scope={SCOPE_KEY: "ann"}, headers=told)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HERE, "x_forwarded_for": "192.0.2.1"},
        {"host": "rebound.example:7860", "origin": "http://rebound.example:7860"},
        {"host": HERE, "origin": "https://evil.example"},
        {"host": HERE, "origin": "null"},
        {"host": HERE, "sec_fetch_site": "cross-site"},
        {"host": HERE, "sec_fetch_site": "same-site", "origin": "http://127.0.0.1:9000"},
        {"host": "[", "origin": "http://["},
    ],
)
def test_what_other_sites_and_other_names_send_has_not_the_rights_of_whoever_runs_basin(
    headers: dict[str, str],
) -> None:
    assert Callers(ANN.token, alone=True).of(sent(**headers)) == Caller("ann")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HERE},
        {"host": "localhost:7860", "origin": "http://localhost:7860", "sec_fetch_site": "same-origin"},
        {"host": "[::1]:7860", "origin": "http://[::1]:7860"},
        {"host": HERE, "sec_fetch_site": "none"},
    ],
)
def test_the_page_and_programs_of_this_machine_have_them(headers: dict[str, str]) -> None:
    assert Callers(ANN.token, alone=True).of(sent(**headers)) == Caller("ann", ANN.token, own=True)


def test_a_program_is_asked_for_with_the_token_that_it_sends_and_with_nothing_else() -> None:
    program = {"host": HERE, "x_hf_authorization": f"Bearer {BOB.token}"}
    for callers in (Callers(), Callers(sign_in=True), Callers(ANN.token, alone=True)):
        assert callers.of(sent(**program)) == Caller("ann", BOB.token)
    assert Callers(ANN.token, alone=True).of(sent(host=HERE, x_hf_authorization=f"Bearer {ANN.token}")).own
    assert Callers().of(sent(**program, origin="https://evil.example")) == Caller("ann")
    for wrong in ("Basic YW5uOg==", "Bearer ", "Bearer a b", "Bearer \u00fc", "Bearer " + "a" * 5000, "hf_abc"):
        assert Callers().of(sent(host=HERE, x_hf_authorization=wrong)) == Caller("ann")
    assert Callers().of(sent(host=HERE, authorization=f"Bearer {BOB.token}")) == Caller("ann")


def test_behind_a_proxy_the_page_s_own_requests_are_known_by_the_public_name() -> None:
    asked = sent(host="127.0.0.1:7860", x_forwarded_host="basin.example, inner", origin="https://basin.example")
    assert Callers(ANN.token).of(asked).token == ANN.token


def test_work_in_a_scheduler_s_thread_is_done_for_whoever_asked_for_it() -> None:
    scheduler = Scheduler()

    def asked(who: Caller, number: int) -> Caller:
        with called_by(who):
            return scheduler.submit(who.visitor, f"page {number}", "preview", number, lambda _: caller()).result(
                timeout=120
            )

    try:
        with ThreadPoolExecutor(4) as pool:
            wanted = [(ANN, BOB)[number % 2] for number in range(20)]
            assert list(pool.map(asked, wanted, range(20))) == wanted
        assert scheduler.submit("ann", "page", "preview", 99, lambda _: caller()).result(timeout=120) is NOBODY
    finally:
        scheduler.close()


def test_a_caller_is_forgotten_when_the_request_ends_and_its_token_is_never_shown() -> None:
    with called_by(ANN):
        with called_by(BOB):
            assert caller() is BOB
        assert caller() is ANN
    assert caller() is NOBODY
    assert "hf_" not in repr(ANN)
