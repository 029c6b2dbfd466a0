"""Small rooms of the studio: remembered results, packed answers, rows and words."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.state import choose_experts, choose_method, choose_scaling, default_state
from app.studio import pairs
from app.studio.memo import Memo
from app.studio.rows import label_of, with_pinned, words_of
from merging_core.errors import CancelledError
from tests.app.pretend import PretendBench, family, pair


@given(st.dictionaries(st.text(max_size=10), st.lists(st.booleans(), max_size=40), max_size=5))
def test_packed_answers_come_back(correct: dict[str, list[bool]]) -> None:
    given_arrays = {task: np.array(values, dtype=np.bool_) for task, values in correct.items()}
    found = pairs.unpack(pairs.pack(given_arrays))
    assert {task: values.tolist() for task, values in found.items()} == correct


def test_packed_answers_take_an_eighth_of_a_byte_each() -> None:
    assert len(pairs.pack({"t": np.ones(800, dtype=np.bool_)})) == len(b'{"t": 800}\n') + 100


def test_the_value_that_was_not_asked_for_longest_is_forgotten() -> None:
    memo: Memo[int] = Memo(2)
    for key in ("a", "b"):
        memo.keep(key, 1)
    memo.known("a")
    memo.keep("c", 1)
    assert [memo.known(key) for key in ("a", "b", "c")] == [1, None, 1]


def test_threads_that_ask_at_once_compute_once() -> None:
    memo: Memo[int] = Memo(2)
    begin, computed = threading.Barrier(6), []

    def compute() -> int:
        computed.append(1)
        threading.Event().wait(0.05)
        return 7

    def ask() -> None:
        begin.wait(60)
        assert memo.get("key", compute) == 7

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1


def test_who_waits_for_anothers_result_can_be_cancelled() -> None:
    memo: Memo[int] = Memo(2)
    begun, end = threading.Event(), threading.Event()

    def compute() -> int:
        begun.set()
        assert end.wait(60)
        return 7

    thread = threading.Thread(target=memo.get, args=("key", compute))
    thread.start()
    assert begun.wait(60)
    with pytest.raises(CancelledError):
        memo.get("key", compute, lambda: True)
    end.set()
    thread.join()
    assert memo.known("key") == 7


def test_a_failure_is_not_remembered() -> None:
    memo: Memo[int] = Memo(2)

    def fail() -> int:
        raise KeyError("first")

    with pytest.raises(KeyError):
        memo.get("key", fail)
    assert memo.get("key", lambda: 3) == 3


def test_a_label_names_method_density_lambda_experts_and_profile() -> None:
    families = (family(), pair())
    state = choose_method(default_state(families[0]), "ties", families)
    assert label_of(state, families) == "TIES, density 0.2, λ 1, all experts"
    two = choose_scaling(choose_experts(state, ["zoo:tiny/digits", "zoo:tiny/greek"], families), "lines")
    assert label_of(two, families) == "TIES, density 0.2, λ 1, Digits + Greek, LiNeS"
    four = choose_experts(state, [expert.ref for expert in families[0].experts[:4]], families)
    assert label_of(four, families).endswith("4 experts")


def test_a_pinned_merge_of_other_tasks_gives_no_average() -> None:
    bench = PretendBench()
    numbers = bench.accuracy(default_state(bench.families[0]), "validation", "full", lambda: False).numbers
    tasks = [{"task": "tiny/digits", "accuracy": 0.5}]
    shown = with_pinned(numbers, {"average": 0.5, "tasks": tasks})
    assert [task["pinned"] for task in shown["tasks"]] == [0.5, None, None, None, None, None]
    assert shown["average"]["pinned"] is None
    assert numbers["tasks"][0]["pinned"] is None


@pytest.mark.parametrize(
    ("interval", "word"),
    [([0.01, 0.1], "better"), ([-0.2, -0.1], "worse"), ([-0.1, 0.1], "do not tell"), ([0, 0], "do not")],
)
def test_words_follow_the_interval(interval: list[float], word: str) -> None:
    assert word in words_of({"average": {"difference": 0.0, "interval": interval, "n": 10}})
