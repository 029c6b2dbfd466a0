"""The ledger: owned by the visitor, bounded, and safe when its file is not."""

from __future__ import annotations

import sqlite3
import stat
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.ledger import KEPT, Ledger


def keep(ledger: Ledger, visitor: str, hash_: str) -> None:
    ledger.keep(visitor, hash_, {"average": 0.5}, {"family": "tiny"}, b"bits")


@pytest.fixture(params=["memory", "file", "shared disk"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    folder = None if request.param == "memory" else tmp_path
    made = Ledger(folder, shared_disk=request.param == "shared disk")
    yield made
    made.close()


def test_merges_come_back_in_the_order_in_which_they_settled(ledger: Ledger) -> None:
    for name in ("a", "b", "c", "a"):
        keep(ledger, "ann", name)
    assert [merge.hash for merge in ledger.merges("ann")] == ["b", "c", "a"]
    assert ledger.merges("ann")[0].correct == b"bits"


def test_only_the_last_merges_of_a_visitor_are_kept(ledger: Ledger) -> None:
    for number in range(KEPT + 5):
        keep(ledger, "ann", str(number))
    keep(ledger, "bob", "his")
    assert [merge.hash for merge in ledger.merges("ann")] == [str(number) for number in range(5, KEPT + 5)]
    assert [merge.hash for merge in ledger.merges("bob")] == ["his"]


def test_nobody_reads_the_merges_of_another_visitor(ledger: Ledger) -> None:
    keep(ledger, "ann", "hers")
    assert ledger.merge("bob", "hers") is None
    assert ledger.merge("ann", "hers") is not None
    assert ledger.merges("' OR 1=1 --") == ()


def test_a_test_score_is_counted_once_for_the_same_merge_and_evaluation(ledger: Ledger) -> None:
    numbers = {"average": {"accuracy": 0.7}}
    assert ledger.score("ann", "a", "e", ["digits", "letters"], numbers) == 1
    assert ledger.score("ann", "a", "e", ["digits", "letters"], numbers) == 1
    assert ledger.score("ann", "b", "e", ["digits", "letters"], numbers) == 2
    assert ledger.score("ann", "b", "after the tasks changed", ["digits"], numbers) == 3
    assert ledger.score("bob", "a", "e", ["digits"], numbers) == 1
    assert ledger.recorded("ann", "a", "e") == numbers
    assert ledger.recorded("bob", "b", "e") is None


def test_test_scores_are_counted_by_task(ledger: Ledger) -> None:
    ledger.score("ann", "a", "e", ["digits", "letters"], {})
    ledger.score("ann", "b", "e", ["greek"], {})
    assert ledger.scores_taken("ann", ["letters"]) == 1
    assert ledger.scores_taken("ann", ["letters", "greek"]) == 2
    assert ledger.scores_taken("ann", ["shapes"]) == 0


def test_records_survive_a_restart(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    keep(first, "ann", "a")
    first.score("ann", "a", "e", ["digits"], {})
    first.close()
    second = Ledger(tmp_path)
    assert (second.kind, second.notice) == ("file", "")
    assert [merge.hash for merge in second.merges("ann")] == ["a"]
    assert second.scores_taken("ann", ["digits"]) == 1
    second.close()


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert stat.S_IMODE((tmp_path / "ledger.sqlite").stat().st_mode) == 0o600
    ledger.close()


def test_without_a_folder_it_lives_in_memory_and_says_so() -> None:
    ledger = Ledger(None)
    assert ledger.kind == "memory"
    assert "until the server stops" in ledger.notice
    ledger.close()


def test_a_damaged_file_is_kept_aside(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"this is not a database" * 100)
    ledger = Ledger(tmp_path, now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    keep(ledger, "ann", "a")
    assert ledger.kind == "file"
    assert "ledger.damaged-20260102T030405.sqlite" in ledger.notice
    assert (tmp_path / "ledger.damaged-20260102T030405.sqlite").read_bytes().startswith(b"this is not")
    ledger.close()


def test_a_file_of_a_newer_basin_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    ledger = Ledger(tmp_path)
    keep(ledger, "ann", "a")
    ledger.close()
    assert ledger.kind == "memory" and "newer Basin" in ledger.notice
    assert path.read_bytes() == before


def test_times_are_utc_and_order_does_not_depend_on_the_clock() -> None:
    zone = timezone(timedelta(hours=5))
    times = iter([datetime(2026, 5, 1, 12, tzinfo=zone), datetime(2026, 4, 30, 12, tzinfo=zone)])
    ledger = Ledger(None, now=lambda: next(times))
    keep(ledger, "ann", "first")
    keep(ledger, "ann", "second")
    assert [(merge.hash, merge.at) for merge in ledger.merges("ann")] == [
        ("first", "2026-05-01T07:00:00Z"),
        ("second", "2026-04-30T07:00:00Z"),
    ]
    ledger.close()


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)

    def visit(visitor: str) -> None:
        for number in range(10):
            keep(ledger, visitor, str(number))
            ledger.score(visitor, str(number), "e", ["digits"], {})

    threads = [threading.Thread(target=visit, args=(f"v{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [ledger.scores_taken(f"v{number}", ["digits"]) for number in range(6)] == [10] * 6
    assert [len(ledger.merges(f"v{number}")) for number in range(6)] == [10] * 6
    ledger.close()
