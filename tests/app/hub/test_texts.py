"""Language models of the Hub read a text: downloaded first, for whoever may read them, beside everybody's sliders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import transformers

from app.state import StudioState
from app.studio.bench import ZooBench
from app.studio.workbench import Cancelled
from tests.app.hub.conftest import HubServer
from tests.app.wire import WAIT, Browser, sentences
from tests.evaluation.models import WORDS, made, saved, write_tokenizer
from tests.hub.repositories import folder_files
from tests.hub.server import FakeHub

NAMES = ("ada/reader", "ada/reader-one", "ada/reader-two")
TEXT = "the cat sees a red owl . the dog runs ."


@pytest.fixture
def readers(fake: FakeHub, tmp_path: Path) -> Iterator[FakeHub]:
    """A small language model with its tokenizer, and two of the same kind without; the last is private."""
    config = transformers.GPT2Config(vocab_size=len(WORDS), n_embd=12, n_layer=2, n_head=3, n_positions=32)
    for seed, name in enumerate(NAMES):
        folder = tmp_path / "readers" / name
        saved(made(transformers.GPT2LMHeadModel, config, seed), folder)
        if seed == 0:
            write_tokenizer(folder, around=False, start=True)
        fake.add(name, folder_files(folder), private=seed == 2)
    yield fake


def ask(
    browser: Browser, state: dict[str, Any], text: str | None = None, seq: int = 1, page: str = "t"
) -> dict[str, Any]:
    message = {"page": page, "seq": seq, "state": state, **({} if text is None else {"text": text})}
    found: dict[str, Any] = browser.call("text_loss", message)
    return found


def checked(server: HubServer, browser: Browser) -> dict[str, Any]:
    answer = browser.call("models_check", server.choice(*NAMES[1:], base=NAMES[0], tasks=()))
    assert answer["ok"], answer
    return dict(answer["state"])


def test_models_of_the_hub_read_a_text_once_they_are_here_and_for_whoever_may_read_them(
    readers: FakeHub, server: HubServer
) -> None:
    ada, bob = server.visitor("ada"), server.visitor("bob")
    state = checked(server, ada)
    assert ask(ada, state)["numbers"] == {"reads": True, "sentence": None}
    told = sentences(ask(ada, state, TEXT, seq=2))
    assert len(told) == 3 and all("press Download, then merge" in one for one in told)
    job = server.downloaded(ada, *NAMES)
    assert job["state"] == "done", job["problems"]
    numbers = ask(ada, state, TEXT, seq=3)["numbers"]
    assert [(row["kind"], row["title"]) for row in numbers["models"]] == [
        ("merge", "merge"),
        ("base", "base"),
        ("expert", "reader one"),
        ("expert", "reader two"),
    ]
    assert numbers["n"] > 5 and len({row["loss"] for row in numbers["models"]}) == 4
    for text in (None, TEXT):
        (refused,) = sentences(ask(bob, state, text, seq=4))
        assert "ada/reader-two" in refused and "may be seen by you" in refused


def test_a_text_waits_for_its_slow_merge_where_no_slider_waits(
    readers: FakeHub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.hold(*NAMES)
    ada, eve = server.visitor("ada"), server.visitor("stranger")
    state, zoo = checked(server, ada), eve.state()
    entered, opened = threading.Event(), threading.Event()
    prepare, waiting = ZooBench.prepare, ZooBench.waiting

    def is_slow(one: StudioState) -> bool:
        return one.family == state["family"]

    def hold(bench: ZooBench, one: StudioState, cancelled: Cancelled) -> None:
        entered.set()
        assert opened.wait(WAIT)
        prepare(bench, one, cancelled)

    monkeypatch.setattr(ZooBench, "waiting", lambda bench, one: 9.0 if is_slow(one) else waiting(bench, one))
    monkeypatch.setattr(ZooBench, "prepare", hold)
    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(ask, ada, state, TEXT)
        assert entered.wait(WAIT)
        assert eve.live("preview", zoo)["ok"]
        assert ask(ada, state, page="another")["ok"], "what is asked without a text waits for no merge"
        assert not text.done()
        opened.set()
        answer = text.result(WAIT)
        assert answer["ok"], answer
