"""What belongs to a visitor and outlives the page: merges that were settled, and test scores that were taken.

One SQLite file in the data folder, one connection under a lock (`app.database` opens it). A merge keeps its name, and
the pin stays on it across restarts; one that was removed can be brought back until the next one is removed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.database import changing, open_database, utc

__all__ = ["KEPT", "Ledger", "Merge"]

KEPT = 40
"""Merges that are kept of one visitor, beside the pinned one."""
_KEPT_IN_ALL = 20_000
_FIRST = """
CREATE TABLE merges (
  id INTEGER PRIMARY KEY AUTOINCREMENT, visitor TEXT NOT NULL, hash TEXT NOT NULL, at TEXT NOT NULL,
  row TEXT NOT NULL, state TEXT NOT NULL, correct BLOB NOT NULL, UNIQUE (visitor, hash));
CREATE INDEX merges_of_visitor ON merges (visitor, id);
CREATE TABLE scores (
  id INTEGER PRIMARY KEY AUTOINCREMENT, visitor TEXT NOT NULL, hash TEXT NOT NULL, evaluation TEXT NOT NULL,
  at TEXT NOT NULL, numbers TEXT NOT NULL, UNIQUE (visitor, hash, evaluation));
CREATE TABLE score_tasks (score INTEGER NOT NULL REFERENCES scores (id), task TEXT NOT NULL, PRIMARY KEY (score, task));
"""
_SECOND = """
ALTER TABLE merges ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE merges ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE merges ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
"""


_SELECT = "SELECT hash, at, row, state, correct, name, pinned FROM merges"


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
    name: str = ""
    """What the visitor calls it; empty if nothing."""
    pinned: bool = False
    """Whether it is the one that others are compared with."""


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
        opened = open_database(
            folder, "ledger", "History and test scores", (_FIRST, _SECOND), shared_disk=shared_disk, now=self._now
        )
        self.kind, self.notice = opened.kind, opened.notice
        self._connection = opened.connection

    def keep(self, visitor: str, hash_: str, row: dict[str, Any], state: dict[str, Any], correct: bytes) -> None:
        """Put a settled merge at the end of the visitor's history; the same merge moves there, with name and pin."""
        with self._lock, changing(self._connection) as db:
            found = db.execute("SELECT name, pinned FROM merges WHERE visitor = ? AND hash = ?", (visitor, hash_))
            name, pinned = found.fetchone() or ("", 0)
            db.execute("DELETE FROM merges WHERE visitor = ? AND hash = ?", (visitor, hash_))
            values = (visitor, hash_, utc(self._now()), _text(row), _text(state), correct, name, pinned)
            columns = "visitor, hash, at, row, state, correct, name, pinned"
            db.execute(f"INSERT INTO merges ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            beyond = "SELECT id FROM merges WHERE visitor = ? AND NOT pinned ORDER BY id DESC LIMIT -1 OFFSET ?"
            db.execute(f"DELETE FROM merges WHERE id IN ({beyond})", (visitor, KEPT))
            oldest = "SELECT id FROM merges ORDER BY id DESC LIMIT -1 OFFSET ?"
            db.execute(f"DELETE FROM merges WHERE id IN ({oldest})", (_KEPT_IN_ALL,))

    def rename(self, visitor: str, hash_: str, name: str) -> None:
        """Call a merge by a name; an empty one takes the name away."""
        query = "UPDATE merges SET name = ? WHERE visitor = ? AND hash = ?"
        with self._lock, changing(self._connection) as db:
            db.execute(query, (name, visitor, hash_))

    def pin(self, visitor: str, hash_: str | None) -> None:
        """Pin this merge and no other of the visitor; `None` pins none."""
        with self._lock, changing(self._connection) as db:
            db.execute("UPDATE merges SET pinned = (hash IS ?) WHERE visitor = ?", (hash_, visitor))

    def remove(self, visitor: str, hash_: str) -> None:
        """Take a merge out of the history; what was removed before it is gone for good."""
        with self._lock, changing(self._connection) as db:
            db.execute("DELETE FROM merges WHERE visitor = ? AND removed", (visitor,))
            query = "UPDATE merges SET removed = 1, pinned = 0 WHERE visitor = ? AND hash = ?"
            db.execute(query, (visitor, hash_))

    def restore(self, visitor: str) -> None:
        """Bring back the merge that was removed last."""
        with self._lock, changing(self._connection) as db:
            db.execute("UPDATE merges SET removed = 0 WHERE visitor = ?", (visitor,))

    def merges(self, visitor: str) -> tuple[Merge, ...]:
        """Return the visitor's settled merges, oldest first."""
        query = f"{_SELECT} WHERE visitor = ? AND NOT removed ORDER BY id"
        with self._lock:
            rows = self._connection.execute(query, (visitor,)).fetchall()
        return tuple(_merge(*row) for row in rows)

    def merge(self, visitor: str, hash_: str) -> Merge | None:
        """Return one merge of this visitor, or nothing if it is unknown or somebody else's."""
        query = f"{_SELECT} WHERE visitor = ? AND hash = ? AND NOT removed"
        with self._lock:
            row = self._connection.execute(query, (visitor, hash_)).fetchone()
        return _merge(*row) if row else None

    def score(self, visitor: str, hash_: str, evaluation: str, tasks: Sequence[str], numbers: dict[str, Any]) -> int:
        """Record one test score and return how many this visitor has taken on any of these tasks.

        The same merge on the same evaluation is one score, however often it is asked for.
        """
        with self._lock, changing(self._connection) as db:
            values = (visitor, hash_, evaluation, utc(self._now()), _text(numbers))
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


def _merge(hash_: str, at: str, row: str, state: str, correct: bytes, name: str, pinned: int) -> Merge:
    return Merge(hash_, at, json.loads(row), json.loads(state), bytes(correct), name, bool(pinned))


def _text(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
