"""The server as a browser meets it: pages, cookies and plain POSTs to the studio's functions."""

from __future__ import annotations

import concurrent.futures
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.database import StorageError
from app.visitors import Cookie
from merging_core.errors import CancelledError, Problem
from tests.app.pretend import PretendBench, PretendServer
from tests.app.test_jobs import until
from tests.app.wire import WAIT, Browser, sentences


@pytest.fixture
def bench(server: PretendServer) -> Iterator[PretendBench]:
    yield server.bench
    server.bench.fail, server.bench.hold = None, None


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_has_our_files_and_no_outside_address(ann: Browser) -> None:
    config = ann.client.get("/config").json()
    assert config["title"] == "Basin" and not config["analytics_enabled"] and config["footer_links"] == []
    loader = next(one["props"]["js_on_load"] for one in config["components"] if one["type"] == "html")
    prefix = re.search(r"basin/[0-9a-f]{12}/", loader)
    assert prefix is not None
    for name in ("studio.js", "studio.css", "palette.json", "plotly.min.js"):
        answer = ann.client.get(f"/{prefix.group()}{name}")
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    assert "http" not in loader


def test_every_answer_carries_the_headers(ann: Browser) -> None:
    for answer in (ann.client.get("/"), ann.post("hello", None)):
        assert answer.headers["x-content-type-options"] == "nosniff"


# --- the protocol ----------------------------------------------------------------------------------------------------


def test_hello_says_what_there_is_and_where_to_begin(ann: Browser) -> None:
    answer = ann.call("hello", {"link": None})
    assert answer["ok"] is True and "notice" not in answer
    assert [one["name"] for one in answer["description"]["families"]] == ["tiny", "basins"]
    assert answer["description"]["storage"] == "file"
    assert {"methods", "masks", "scalings", "recipe"} <= set(answer["description"]["registry"])
    assert answer["history"] == [] and answer["test_scores"] == 0
    assert len(answer["state"]["recipe"]["models"]) == 6


@pytest.mark.parametrize(
    ("want", "figures"),
    [("preview", {"accuracy"}), ("settle", {"accuracy"}), ("path", {"path"}), ("layers", {"layers", "cosines"})],
)
def test_each_want_is_answered_with_numbers_and_its_figure(ann: Browser, want: str, figures: set[str]) -> None:
    answer = ann.live(want, ann.state())
    assert answer["ok"] is True and (answer["want"], answer["seq"]) == (want, ann.sequence)
    assert set(answer["figures"]) == figures
    assert all({"data", "layout"} <= set(figure) for figure in answer["figures"].values())
    assert re.fullmatch(r"[0-9a-f]{64}", answer["hash"])
    assert answer["numbers"] and answer["milliseconds"] >= 0


def test_a_fine_path_has_every_point(ann: Browser) -> None:
    answer = ann.live("path", ann.state(), fine=True)
    assert len(answer["numbers"]["splits"]["validation"]["points"]) == 25


def test_an_edit_returns_the_next_state(ann: Browser) -> None:
    state = ann.state()
    answer = ann.call("edit", {"state": state, "change": {"kind": "method", "name": "ties"}})
    assert answer["state"]["recipe"]["method"]["name"] == "ties"
    assert state["recipe"]["method"]["name"] == "task_arithmetic"


def test_a_settled_merge_stands_in_the_history_and_can_be_pinned_and_compared(ann: Browser) -> None:
    state = ann.state()
    first = ann.live("settle", state)
    state["recipe"]["lambda"] = 0.6
    second = ann.live("settle", state, pinned=first["hash"])
    assert [row["hash"] for row in second["history"]] == [first["hash"], second["hash"]]
    assert second["numbers"]["average"]["pinned"] == first["numbers"]["average"]["accuracy"]
    assert second["history"][1]["state"]["recipe"]["lambda"] == 0.6
    assert second["history"][0]["label"] == "Task arithmetic, λ 0.3, all experts"
    compared = ann.call("compare", {"a": first["hash"], "b": second["hash"]})
    expected = second["numbers"]["average"]["accuracy"] - first["numbers"]["average"]["accuracy"]
    assert compared["differences"]["average"]["difference"] == pytest.approx(expected)
    assert compared["words"]


def test_a_preview_is_not_kept(ann: Browser) -> None:
    ann.live("preview", ann.state())
    assert ann.call("hello")["history"] == []


def test_a_test_score_is_counted_and_its_repetition_is_not(ann: Browser, bench: PretendBench) -> None:
    state = ann.state()
    first = ann.call("score_on_test", {"state": state})
    measured = bench.computed.count(("test", "full"))
    again = ann.call("score_on_test", {"state": state})
    assert (first["test_scores"], again["test_scores"]) == (1, 1)
    assert bench.computed.count(("test", "full")) == measured
    assert first["numbers"] == again["numbers"] and first["numbers"]["split"] == "test"
    state["recipe"]["lambda"] = 0.9
    assert ann.call("score_on_test", {"state": state})["test_scores"] == 2
    assert ann.call("hello")["test_scores"] == 2


def test_no_slider_waits_for_a_test_score(ann: Browser, bob: Browser, bench: PretendBench) -> None:
    bench.hold = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        state = ann.state()
        state["recipe"]["lambda"] = 0.77
        score = pool.submit(ann.call, "score_on_test", {"state": state})
        until(lambda: bench.held == ("test", "full"))
        assert bob.live("layers", bob.state())["ok"] is True
        assert not score.done()
        bench.hold.set()
        assert score.result(WAIT)["ok"] is True


def test_a_change_of_method_may_name_the_models_that_were_merged_before(ann: Browser) -> None:
    state = ann.state()
    few = ann.call("edit", {"state": state, "change": {"kind": "method", "name": "slerp"}})["state"]
    assert len(few["recipe"]["models"]) == 2
    change = {"kind": "method", "name": "ties", "models": state["recipe"]["models"]}
    assert ann.call("edit", {"state": few, "change": change})["state"]["recipe"]["models"] == state["recipe"]["models"]


# --- links -----------------------------------------------------------------------------------------------------------


def test_a_settled_merge_brings_the_link_that_reproduces_it(ann: Browser) -> None:
    state = ann.state()
    state["recipe"]["models"][2]["weight"] = -0.25
    settled, preview = ann.live("settle", state), ann.live("preview", state)
    assert settled["query"] == ann.call("share", {"state": state})["query"]
    assert "query" not in preview


def test_a_link_opens_the_same_state_for_somebody_else(ann: Browser, bob: Browser) -> None:
    state = ann.state()
    state["recipe"]["models"][2]["weight"] = -0.25
    query = ann.call("share", {"state": state})["query"]
    assert query.startswith("s=1.")
    answer = bob.call("hello", {"link": query.removeprefix("s=")})
    assert answer["state"] == state and "notice" not in answer


@pytest.mark.parametrize("link", ["1.damaged", "9.AAAA", "x" * 20_000, "1.", "<script>"])
def test_a_damaged_link_opens_the_default_with_a_plain_message(ann: Browser, link: str) -> None:
    answer = ann.call("hello", {"link": link})
    assert answer["ok"] is True and answer["state"] == ann.state()
    assert answer["notice"].startswith("link: ") and len(answer["notice"]) < 300


def test_a_link_to_what_this_zoo_lacks_opens_the_default_with_a_message(ann: Browser) -> None:
    from app.sharing.link import encode

    state = ann.state()
    state["recipe"]["models"][0]["ref"] = "zoo:tiny/gone"
    answer = ann.call("hello", {"link": encode(state)})
    assert answer["state"] == ann.state() and "zoo:tiny/gone" in answer["notice"]


def test_link_history_and_scores_survive_a_restart(tmp_path: Path) -> None:
    first = PretendServer(tmp_path)
    with Browser(first.url) as ann:
        state = ann.state()
        state["recipe"]["lambda"] = 0.45
        query = ann.call("share", {"state": state})["query"]
        settled = ann.live("settle", state)
        ann.call("score_on_test", {"state": state})
        cookies = dict(ann.client.cookies)
    first.stop()
    second = PretendServer(tmp_path)
    with Browser(second.url) as again:
        again.client.cookies.clear()
        again.client.cookies.update(cookies)
        answer = again.call("hello", {"link": query.removeprefix("s=")})
    second.stop()
    assert answer["state"] == state
    assert [row["hash"] for row in answer["history"]] == [settled["hash"]]
    assert answer["test_scores"] == 1


# --- visitors --------------------------------------------------------------------------------------------------------


def test_visitors_do_not_see_each_other_though_they_share_a_session_hash(ann: Browser, bob: Browser) -> None:
    hers = ann.live("settle", ann.state())
    assert bob.call("hello")["history"] == []
    problem = sentences(bob.call("compare", {"a": hers["hash"], "b": hers["hash"]}))
    unknown = sentences(bob.call("compare", {"a": "0" * 64, "b": "0" * 64}))
    assert problem == unknown
    assert bob.live("preview", bob.state(), pinned=hers["hash"])["numbers"]["average"]["pinned"] is None


def test_a_forged_cookie_is_somebody_new(server: PretendServer, ann: Browser) -> None:
    ann.live("settle", ann.state())
    name, value = next((name, value) for name, value in ann.client.cookies.items() if name.startswith("basin_"))
    visitor = value.split(".")[1]
    with Browser(server.url) as forger:
        forger.client.cookies.clear()
        forger.client.cookies.set(name, Cookie(b"not the server's secret").value(visitor))
        assert forger.call("hello")["history"] == []


def test_two_visitors_move_sliders_at_once_and_each_gets_the_own_answer(server: PretendServer) -> None:
    def visit(number: int) -> list[float]:
        seen = []
        with Browser(server.url, page=f"page {number}") as browser:
            state = browser.state()
            for step in range(10):
                state["recipe"]["lambda"] = round(0.05 * number + 0.01 * step, 2)
                seen.append(browser.live("preview", state)["numbers"]["average"]["accuracy"])
        return seen

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(visit, range(4)))
    assert together == [visit(number) for number in range(4)]


def test_the_newest_request_of_a_page_is_answered_and_the_running_one_is_stopped(
    server: PretendServer, ann: Browser, bench: PretendBench
) -> None:
    state = ann.state()
    bench.hold = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        message = {"seq": 1, "page": "p", "want": "settle", "state": state}
        old = pool.submit(ann.call, "live", message)
        until(lambda: bool(server.app.studio._scheduler._running))
        new = pool.submit(ann.call, "live", {**message, "seq": 2, "want": "preview"})
        assert old.result(WAIT) == {"ok": False, "superseded": True}
        bench.hold.set()
        assert new.result(WAIT)["ok"] is True


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hello", "edit", "live", "score_on_test", "share", "compare"])
@pytest.mark.parametrize("data", [3, "text", [], [1, 2], True, {"unknown": 1}, {"state": "x"}, {"link": 5}, {"a": {}}])
def test_malformed_messages_get_sentences(ann: Browser, name: str, data: Any) -> None:
    assert all(text.endswith((".", "?")) for text in sentences(ann.call(name, data)))


@pytest.mark.parametrize(
    "change",
    [
        {"seq": -1},
        {"seq": 1.5},
        {"seq": True},
        {"seq": 2**60},
        {"seq": None},
        {"want": "everything"},
        {"want": ["preview"]},
        {"page": "x" * 100},
        {"page": 5},
        {"fine": "yes"},
        {"pinned": 7},
        {"more": 1},
        {"state": None},
        {"state": []},
    ],
)
def test_a_malformed_live_request_gets_sentences(ann: Browser, change: dict[str, Any]) -> None:
    message = {"seq": 1, "page": "p", "want": "preview", "state": ann.state(), **change}
    assert sentences(ann.call("live", message))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (["recipe", "lambda"], float("nan"), "lambda"),
        (["recipe", "lambda"], float("inf"), "lambda"),
        (["recipe", "models"], [], "models"),
        (["recipe", "models", 0, "weight"], "heavy", "weight"),
        (["recipe", "models", 0, "ref"], "file:/etc/passwd", "the studio merges checkpoints of the family"),
        (["recipe", "mask"], {"kind": "magnitude", "density": 0}, "density"),
        (["recipe", "method", "name"], "tais", "did you mean “ties”?"),
        (["recipe", "slices"], [], "not supported yet"),
        (["family"], "tinny", "did you mean “tiny”?"),
    ],
)
def test_a_state_that_cannot_be_gets_its_sentence(ann: Browser, path: list[Any], value: Any, sentence: str) -> None:
    state: Any = ann.state()
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert any(sentence in text for text in sentences(ann.live("preview", state)))


@pytest.mark.parametrize(
    "change",
    [{"kind": "explode"}, {"kind": "method"}, {"kind": "method", "name": "ties", "x": 1}, {"kind": ["reset"]}, {}],
)
def test_an_unknown_change_gets_a_sentence(ann: Browser, change: dict[str, Any]) -> None:
    assert sentences(ann.call("edit", {"state": ann.state(), "change": change}))


def test_an_oversized_message_gets_a_sentence(ann: Browser) -> None:
    answer = ann.post("live", {"state": "x" * 70_000})
    assert answer.status_code == 413
    assert sentences(answer.json()) == [
        "a message has at most 65536 bytes, but a larger one came; send one state at a time."
    ]


def test_nobody_fills_the_disk_with_uploads(ann: Browser) -> None:
    for path in ("/gradio_api/upload", "/gradio_api/upload?upload_id=x", "/gradio_api/upload_progress?upload_id=x"):
        assert ann.client.post(path, files={"files": ("x.txt", b"x")}).status_code == 404


def test_what_is_no_json_is_refused_without_a_traceback(ann: Browser) -> None:
    for content in (b"", b"{", b"[" * 30_000, b"\xff\xfe"):
        answer = ann.client.post("/gradio_api/component_server/", content=content)
        assert 400 <= answer.status_code < 500 and "Traceback" not in answer.text


def test_a_full_disk_hides_no_numbers(server: PretendServer, ann: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(*_: object) -> None:
        raise StorageError(Problem("the server can keep this", "“database or disk is full”"))

    monkeypatch.setattr(server.app.studio._ledger, "keep", keep)
    answer = ann.live("settle", ann.state())
    assert answer["ok"] is True and answer["numbers"]["subset"] == "full" and answer["history"] == []
    assert answer["notices"][0].startswith("This merge does not stand in the history: the server can keep this")


def test_half_a_character_gets_a_sentence(ann: Browser) -> None:
    for name, message in (
        ("hello", {"\ud800": 1}),
        ("edit", {"state": ann.state(), "change": {"kind": "method", "name": "\ud800"}}),
        ("live", {"seq": 1, "page": "p", "want": "preview", "state": {**ann.state(), "\udfff": {}}}),
    ):
        assert sentences(ann.call(name, message)) == ["message: a message is Unicode text, but half a character came."]


def test_functions_that_are_not_the_studios_cannot_be_called(ann: Browser) -> None:
    for name in ("preprocess", "__init__", "close", "launch"):
        assert ann.post(name, None).status_code == 404


def test_an_unexpected_failure_gives_a_reference_and_nothing_else(
    ann: Browser, bench: PretendBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.fail = RuntimeError("the pipe burst at /home/somebody hf_" + 20 * "C")
    state = ann.state()
    answer = ann.live("preview", state)
    assert answer["reference"] in sentences(answer)[0] and answer["reference"] in caplog.text
    assert "somebody" not in json.dumps(answer) and "hf_CCC" not in caplog.text
    bench.fail = None
    assert ann.live("preview", state)["ok"] is True


def test_work_that_was_cancelled_says_so(ann: Browser, bench: PretendBench) -> None:
    bench.fail = CancelledError(Problem("work goes on", "a cancellation"))
    assert ann.live("settle", ann.state()) == {"ok": False, "superseded": True}
