"""What belongs to a visitor and outlives the page: merges that were settled, and test scores that were taken.

One SQLite file in the data folder, one connection under a lock. Where no folder can be written it lives in memory, and
`kind` says so. A damaged file is moved aside, never deleted; a file of a newer Basin is left alone.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["KEPT", "Ledger", "Merge"]

KEPT = 40
"""Merges that are kept of one visitor."""
_KEPT_IN_ALL = 20_000
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE merges (
  id INTEGER PRIMARY KEY AUTOINCREMENT, visitor TEXT NOT NULL, hash TEXT NOT NULL, at TEXT NOT NULL,
  row TEXT NOT NULL, state TEXT NOT NULL, correct BLOB NOT NULL, UNIQUE (visitor, hash));
CREATE INDEX merges_of_visitor ON merges (visitor, id);
CREATE TABLE scores (
  id INTEGER PRIMARY KEY AUTOINCREMENT, visitor TEXT NOT NULL, hash TEXT NOT NULL, evaluation TEXT NOT NULL,
  at TEXT NOT NULL, numbers TEXT NOT NULL, UNIQUE (visitor, hash, evaluation));
CREATE TABLE score_tasks (score INTEGER NOT NULL REFERENCES scores (id), task TEXT NOT NULL, PRIMARY KEY (score, task));
"""


_SELECT = "SELECT hash, at, row, state, correct FROM merges"


@dataclass(frozen=True)
class Merge:
    """One settled merge of a visitor."""

    hash: str
    at: str
    """When it was last settled, UTC, ISO 8601."""
    row: dict[str, Any]
    """What the history shows: label, average, interval, per task."""
    state: dict[str, Any]
    correct: bytes
    """Which examples were right, as `app.studio.pairs` packs them; for paired comparisons."""


class Ledger:
    """The visitors' records.

    >>> ledger = Ledger(None)
    >>> ledger.score("ann", "abc", "e1", ["digits"], {"average": 0.7})
    1
    >>> ledger.scores_taken("ann", ["digits", "letters"]), ledger.scores_taken("bob", ["digits"])
    (1, 0)
    """

    def __init__(self, folder: Path | None, *, shared_disk: bool = False, now: Callable[[], datetime] | None = None):
        self._lock = threading.Lock()
        self._now = now or (lambda: datetime.now(UTC))
        self.notice = ""
        """A sentence if the records are not where they should be, else empty."""
        self.kind = "memory"
        """`file` or `memory`."""
        self._connection = self._open(folder, shared_disk)

    def keep(self, visitor: str, hash_: str, row: dict[str, Any], state: dict[str, Any], correct: bytes) -> None:
        """Put a settled merge at the end of the visitor's history; the same merge moves there."""
        with self._lock, self._connection as db:
            db.execute("DELETE FROM merges WHERE visitor = ? AND hash = ?", (visitor, hash_))
            values = (visitor, hash_, self._time(), _text(row), _text(state), correct)
            db.execute("INSERT INTO merges (visitor, hash, at, row, state, correct) VALUES (?, ?, ?, ?, ?, ?)", values)
            beyond = "SELECT id FROM merges WHERE visitor = ? ORDER BY id DESC LIMIT -1 OFFSET ?"
            db.execute(f"DELETE FROM merges WHERE id IN ({beyond})", (visitor, KEPT))
            oldest = "SELECT id FROM merges ORDER BY id DESC LIMIT -1 OFFSET ?"
            db.execute(f"DELETE FROM merges WHERE id IN ({oldest})", (_KEPT_IN_ALL,))

    def merges(self, visitor: str) -> tuple[Merge, ...]:
        """Return the visitor's settled merges, oldest first."""
        query = f"{_SELECT} WHERE visitor = ? ORDER BY id"
        with self._lock:
            rows = self._connection.execute(query, (visitor,)).fetchall()
        return tuple(_merge(*row) for row in rows)

    def merge(self, visitor: str, hash_: str) -> Merge | None:
        """Return one merge of this visitor, or nothing if it is unknown or somebody else's."""
        query = f"{_SELECT} WHERE visitor = ? AND hash = ?"
        with self._lock:
            row = self._connection.execute(query, (visitor, hash_)).fetchone()
        return _merge(*row) if row else None

    def score(self, visitor: str, hash_: str, evaluation: str, tasks: Sequence[str], numbers: dict[str, Any]) -> int:
        """Record one test score and return how many this visitor has taken on any of these tasks.

        The same merge on the same evaluation is one score, however often it is asked for.
        """
        with self._lock, self._connection as db:
            values = (visitor, hash_, evaluation, self._time(), _text(numbers))
            insert = "INSERT OR IGNORE INTO scores (visitor, hash, evaluation, at, numbers) VALUES (?, ?, ?, ?, ?)"
            cursor = db.execute(insert, values)
            if cursor.rowcount:
                added = [(cursor.lastrowid, task) for task in tasks]
                db.executemany("INSERT OR IGNORE INTO score_tasks (score, task) VALUES (?, ?)", added)
            return self._count(visitor, tasks)

    def recorded(self, visitor: str, hash_: str, evaluation: str) -> dict[str, Any] | None:
        """Return the numbers of a test score that this visitor has already taken."""
        query = "SELECT numbers FROM scores WHERE visitor = ? AND hash = ? AND evaluation = ?"
        with self._lock:
            row = self._connection.execute(query, (visitor, hash_, evaluation)).fetchone()
        numbers: dict[str, Any] | None = json.loads(row[0]) if row else None
        return numbers

    def scores_taken(self, visitor: str, tasks: Sequence[str]) -> int:
        """Return how many test scores this visitor has taken on any of these tasks."""
        with self._lock:
            return self._count(visitor, tasks)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _count(self, visitor: str, tasks: Sequence[str]) -> int:
        marks = ",".join("?" for _ in tasks)
        query = f"""SELECT COUNT(DISTINCT scores.id) FROM scores JOIN score_tasks ON score_tasks.score = scores.id
                    WHERE visitor = ? AND task IN ({marks})"""
        count: int = self._connection.execute(query, (visitor, *tasks)).fetchone()[0]
        return count

    def _time(self) -> str:
        return self._now().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def _open(self, folder: Path | None, shared_disk: bool) -> sqlite3.Connection:
        if folder is None:
            self.notice = "History and test scores are kept until the server stops: no data folder can be written."
            return _prepare(sqlite3.connect(":memory:", check_same_thread=False))
        path = folder / "ledger.sqlite"
        try:
            connection = _open_file(path, shared_disk)
        except _NewerError as error:
            self.notice = f"History and test scores are kept until the server stops: {error}."
            return _prepare(sqlite3.connect(":memory:", check_same_thread=False))
        except sqlite3.DatabaseError:
            aside = path.with_name(f"ledger.damaged-{self._now().astimezone(UTC):%Y%m%dT%H%M%S}.sqlite")
            try:
                path.rename(aside)
                connection = _open_file(path, shared_disk)
            except (OSError, sqlite3.Error):
                self.notice = "History and test scores are kept until the server stops: their file cannot be opened."
                return _prepare(sqlite3.connect(":memory:", check_same_thread=False))
            self.notice = f"The file of histories was damaged; it was kept as {aside.name} and a new one was begun."
        self.kind = "file"
        return connection


class _NewerError(Exception):
    """The file was written by a newer Basin."""


def _open_file(path: Path, shared_disk: bool) -> sqlite3.Connection:
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
    try:
        _check_version(connection)
        if shared_disk:
            # Bucket mounts have no file locks and no shared memory.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = DELETE")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return _prepare(connection)
    except Exception:
        connection.close()
        raise


def _check_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _SCHEMA_VERSION:
        raise _NewerError("their file was written by a newer Basin")
    return version


def _prepare(connection: sqlite3.Connection) -> sqlite3.Connection:
    if _check_version(connection) == 0:
        with connection:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
    return connection


def _merge(hash_: str, at: str, row: str, state: str, correct: bytes) -> Merge:
    return Merge(hash_, at, json.loads(row), json.loads(state), bytes(correct))


def _text(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
