"""The ledger: owned by the visitor, bounded, and safe when its file is not."""

from __future__ import annotations

import sqlite3
import stat
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from app.database import StorageError
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


def test_a_file_that_is_damaged_inside_is_kept_aside(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for number in range(40):
        keep(ledger, "ann", str(number))
    ledger.close()
    path = tmp_path / "ledger.sqlite"
    content = bytearray(path.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 64] = b"\xff" * 64
    path.write_bytes(content)
    opened = Ledger(tmp_path, now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert opened.kind == "file" and opened.merges("ann") == ()
    assert "ledger.damaged-20260102T030405.sqlite" in opened.notice
    assert (tmp_path / "ledger.damaged-20260102T030405.sqlite").read_bytes() == bytes(content)
    opened.close()


def test_a_file_that_another_server_holds_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Ledger(tmp_path).close()
    monkeypatch.setattr("app.database.PATIENCE", 0.01)
    other = sqlite3.connect(tmp_path / "ledger.sqlite")
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    ledger = Ledger(tmp_path)
    assert ledger.kind == "memory" and ledger.notice.endswith("their file cannot be opened.")
    other.close()
    assert sorted(path.suffix for path in tmp_path.iterdir() if "damaged" in path.name) == []


def test_what_the_disk_does_not_take_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    keep(ledger, "ann", "a")
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="the server can keep this"):
        for number in range(200):
            keep(ledger, "ann", f"{number}" * 40)
    assert ledger.merges("ann")
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
        thread.join()
    assert [ledger.scores_taken(f"v{number}", ["digits"]) for number in range(6)] == [10] * 6
    assert [len(ledger.merges(f"v{number}")) for number in range(6)] == [10] * 6
    ledger.close()


# --- names, the pin, and what was removed ----------------------------------------------------------------------------


def test_a_name_and_the_pin_stay_when_the_merge_settles_again(ledger: Ledger) -> None:
    keep(ledger, "ann", "a")
    ledger.rename("ann", "a", "the good one")
    ledger.pin("ann", "a")
    keep(ledger, "ann", "b")
    keep(ledger, "ann", "a")
    assert [(one.hash, one.name, one.pinned) for one in ledger.merges("ann")] == [
        ("b", "", False),
        ("a", "the good one", True),
    ]


def test_one_merge_is_pinned_at_a_time_and_only_the_visitors_own(ledger: Ledger) -> None:
    for visitor in ("ann", "bob"):
        for name in ("a", "b"):
            keep(ledger, visitor, name)
    ledger.pin("ann", "a")
    ledger.pin("ann", "b")
    ledger.pin("bob", "a")
    assert [one.pinned for one in ledger.merges("ann")] == [False, True]
    ledger.pin("bob", None)
    assert [one.pinned for one in ledger.merges("bob")] == [False, False]
    assert [one.pinned for one in ledger.merges("ann")] == [False, True]


def test_the_pinned_merge_is_kept_however_many_follow(ledger: Ledger) -> None:
    keep(ledger, "ann", "pinned")
    ledger.pin("ann", "pinned")
    for number in range(KEPT + 3):
        keep(ledger, "ann", str(number))
    assert ledger.merges("ann")[0].hash == "pinned"
    assert len(ledger.merges("ann")) == KEPT + 1


def test_what_was_removed_last_can_be_brought_back(ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        keep(ledger, "ann", name)
    ledger.remove("ann", "a")
    ledger.remove("ann", "b")
    assert [one.hash for one in ledger.merges("ann")] == ["c"] and ledger.merge("ann", "b") is None
    ledger.restore("ann")
    assert [one.hash for one in ledger.merges("ann")] == ["b", "c"]


def test_nobody_names_pins_or_removes_the_merges_of_another_visitor(ledger: Ledger) -> None:
    keep(ledger, "ann", "a")
    ledger.rename("bob", "a", "his")
    ledger.pin("bob", "a")
    ledger.remove("bob", "a")
    assert [(one.name, one.pinned) for one in ledger.merges("ann")] == [("", False)]


def test_a_file_of_the_first_version_is_migrated_with_everything_in_it(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "ledger.sqlite")
    old.executescript(
        """
        CREATE TABLE merges (
          id INTEGER PRIMARY KEY AUTOINCREMENT, visitor TEXT NOT NULL, hash TEXT NOT NULL, at TEXT NOT NULL,
          row TEXT NOT NULL, state TEXT NOT NULL, correct BLOB NOT NULL, UNIQUE (visitor, hash));
        CREATE INDEX merges_of_visitor ON merges (visitor, id);
        CREATE TABLE scores (
          id INTEGER PRIMARY KEY AUTOINCREMENT, visitor TEXT NOT NULL, hash TEXT NOT NULL, evaluation TEXT NOT NULL,
          at TEXT NOT NULL, numbers TEXT NOT NULL, UNIQUE (visitor, hash, evaluation));
        CREATE TABLE score_tasks (
          score INTEGER NOT NULL REFERENCES scores (id), task TEXT NOT NULL, PRIMARY KEY (score, task));
        INSERT INTO merges (visitor, hash, at, row, state, correct)
          VALUES ('ann', 'a', '2026-01-01T00:00:00Z', '{"average":0.5}', '{"family":"tiny"}', x'00ff');
        INSERT INTO scores VALUES (1, 'ann', 'a', 'e', '2026-01-01T00:00:00Z', '{"n":3}');
        INSERT INTO score_tasks VALUES (1, 'digits');
        PRAGMA user_version = 1;
        """
    )
    old.close()
    ledger = Ledger(tmp_path)
    assert (ledger.kind, ledger.notice) == ("file", "")
    (merge,) = ledger.merges("ann")
    assert (merge.hash, merge.row, merge.correct, merge.name, merge.pinned) == (
        "a",
        {"average": 0.5},
        b"\x00\xff",
        "",
        False,
    )
    assert ledger.scores_taken("ann", ["digits"]) == 1 and ledger.recorded("ann", "a", "e") == {"n": 3}
    ledger.rename("ann", "a", "kept")
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as again:
        assert again.execute("PRAGMA user_version").fetchone() == (2,)
        assert again.execute("SELECT name FROM merges").fetchone() == ("kept",)
    again.close()
