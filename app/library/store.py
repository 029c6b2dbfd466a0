"""The library's file: results, stored once however many hold them, and who holds which.

A visitor holds a result under a name and tags of the own, and sees no others. Sharing gives a result an address of 128
random bits; whoever has the address reads the result, and nothing else of its owner. One SQLite file beside the ledger.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from app.database import changing, open_database, utc
from app.library.result import Result, result_of
from app.library.search import Row, Rows, Search, facets_query, row_of, search_query
from merging_core.errors import BasinError, Problem

__all__ = ["MOST", "Held", "LibraryError", "LibraryStore", "Shared"]

MOST = 2_000
"""Results that one visitor may hold."""
_MOST_IN_ALL = 100_000
_TABLES = """
CREATE TABLE results (id TEXT PRIMARY KEY, content BLOB NOT NULL, correct BLOB, imported INTEGER NOT NULL);
CREATE TABLE held (
  visitor TEXT NOT NULL, result TEXT NOT NULL REFERENCES results (id), at TEXT NOT NULL, number INTEGER NOT NULL,
  name TEXT NOT NULL, label TEXT NOT NULL, words TEXT NOT NULL, family TEXT NOT NULL, method TEXT NOT NULL,
  average REAL NOT NULL, n INTEGER NOT NULL, row TEXT NOT NULL, test TEXT, removed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (visitor, result)) WITHOUT ROWID;
CREATE INDEX held_by_time ON held (visitor, removed, number);
CREATE INDEX held_by_average ON held (visitor, removed, average);
CREATE INDEX held_by_result ON held (result);
CREATE TABLE tags (
  visitor TEXT NOT NULL, result TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (visitor, result, tag)) WITHOUT ROWID;
CREATE INDEX tags_by_tag ON tags (visitor, tag);
CREATE TABLE shares (
  id TEXT PRIMARY KEY, visitor TEXT NOT NULL, result TEXT NOT NULL REFERENCES results (id), at TEXT NOT NULL, test TEXT,
  UNIQUE (visitor, result)) WITHOUT ROWID;
CREATE INDEX shares_by_result ON shares (result);
"""
_ENDED = """
CREATE TABLE ended (id TEXT PRIMARY KEY, why TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO ended SELECT shares.id, 'deleted' FROM shares
  LEFT JOIN held ON held.visitor = shares.visitor AND held.result = shares.result WHERE held.result IS NULL;
DELETE FROM shares WHERE id IN (SELECT id FROM ended);
DELETE FROM results WHERE id NOT IN (SELECT result FROM held);
"""


class LibraryError(BasinError):
    """The library cannot hold, or does not hold, what was asked for."""


@dataclass(frozen=True)
class Held:
    """A result as its owner holds it."""

    id: str
    result: Result
    name: str
    tags: tuple[str, ...]
    at: str
    test: dict[str, Any] | None
    share: str | None
    """The address under which it is shared, if it is."""


@dataclass(frozen=True)
class Shared:
    """A result as anybody reads it who has its address."""

    result: Result
    at: str
    test: dict[str, Any] | None


class LibraryStore:
    """The results of all visitors.

    >>> store = LibraryStore(None)
    >>> store.find("ann", Search()).matching
    0
    """

    def __init__(self, folder: Path | None, *, shared_disk: bool = False, now: Callable[[], datetime] | None = None):
        self._lock = threading.Lock()
        self._now = now or (lambda: datetime.now(UTC))
        opened = open_database(
            folder, "library", "Saved results", (_TABLES, _ENDED), shared_disk=shared_disk, now=self._now
        )
        self.kind, self.notice = opened.kind, opened.notice
        self._connection = opened.connection
        with self._lock, changing(self._connection) as db:
            self._forget(db, "removed", ())

    def save(
        self,
        visitor: str,
        result: Result,
        *,
        name: str = "",
        tags: Sequence[str] = (),
        test: dict[str, Any] | None = None,
    ) -> tuple[str, bool]:
        """Let the visitor hold a result; return its id, and whether it is new to this visitor.

        What is held already keeps its name and tags; a test score is added.

        Raises: `LibraryError` if the visitor, or this Basin, holds as many as it may.
        """
        id_ = result.key
        with self._lock, changing(self._connection) as db:
            seen = db.execute("SELECT removed FROM held WHERE visitor = ? AND result = ?", (visitor, id_)).fetchone()
            if seen is None or seen[0]:
                self._check_room(db, visitor)
                self._end(db, visitor, id_, "deleted")
            content = zlib.compress(json.dumps({**result.as_json(), "correct": None}, allow_nan=False).encode())
            values = (id_, content, result.correct, result.imported)
            db.execute("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", values)
            if seen is None:
                self._hold(db, visitor, id_, result, name)
                db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", [(visitor, id_, tag) for tag in tags])
            else:
                query = "UPDATE held SET removed = 0 WHERE visitor = ? AND result = ?"
                db.execute(query, (visitor, id_))
            if test is not None:
                query = "UPDATE held SET test = ? WHERE visitor = ? AND result = ?"
                db.execute(query, (json.dumps(test, allow_nan=False), visitor, id_))
        return id_, seen is None or bool(seen[0])

    def get(self, visitor: str, id_: str) -> Held:
        """Return one result of this visitor.

        Raises: `LibraryError` if it is unknown or somebody else's.
        """
        query = """SELECT content, correct, imported, name, held.at, held.test, shares.id FROM held
                   JOIN results ON results.id = held.result
                   LEFT JOIN shares ON shares.visitor = held.visitor AND shares.result = held.result
                   WHERE held.visitor = ? AND held.result = ? AND NOT removed"""
        with self._lock:
            row = self._connection.execute(query, (visitor, id_)).fetchone()
            tags = self._tags(visitor, id_)
        if row is None:
            advice = "it may have been deleted"
            raise LibraryError(Problem("a result is one of your library", "another one", "id", advice))
        content, correct, imported, name, at, test, share = row
        return Held(id_, _result(content, correct, imported), name, tags, at, json.loads(test) if test else None, share)

    def find(self, visitor: str, search: Search) -> Rows:
        """Return one page of what matches, and how many match."""
        query, values = search_query(visitor, search)
        counting, counted = search_query(visitor, search, count=True)
        with self._lock:
            rows = [row_of(*row) for row in self._connection.execute(query, values)]
            matching = self._connection.execute(counting, counted).fetchone()[0]
        return Rows(tuple(rows), matching)

    def plain(self, visitor: str, ids: Sequence[str] | None = None) -> list[tuple[Row, dict[str, Any]]]:
        """Return rows with the plain values of their results and the test score, for tables; all, or those named."""
        query, values = search_query(visitor, Search(limit=MOST))
        with self._lock:
            rows = [row_of(*row) for row in self._connection.execute(query, values)]
            wanted = rows if ids is None else [row for row in rows if row.id in set(ids)]
            reading = """SELECT content, test FROM held JOIN results ON results.id = held.result
                         WHERE visitor = ? AND result = ?"""
            found = [self._connection.execute(reading, (visitor, row.id)).fetchone() for row in wanted]
        plain = [
            {**orjson.loads(zlib.decompress(one)), "test": json.loads(test) if test else None} for one, test in found
        ]
        return list(zip(wanted, plain, strict=True))

    def facets(self, visitor: str) -> dict[str, list[dict[str, Any]]]:
        """Return the methods and tags of a visitor's results, each with how many have it."""
        with self._lock:
            found = {
                name: self._connection.execute(facets_query(name), (visitor,)).fetchall() for name in ("method", "tag")
            }
        return {name: [{"name": value, "count": count} for value, count in rows] for name, rows in found.items()}

    def plan(self, visitor: str, search: Search) -> tuple[str, ...]:
        """Return how SQLite carries out a search, one sentence a step."""
        query, values = search_query(visitor, search)
        with self._lock:
            rows = self._connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
        return tuple(row[3] for row in rows)

    def rename(self, visitor: str, id_: str, name: str) -> None:
        """Call a result by a name of the visitor's own."""
        with self._lock, changing(self._connection) as db:
            query = "UPDATE held SET name = ?, words = lower(? || ' ' || label) WHERE visitor = ? AND result = ?"
            db.execute(query, (name, name, visitor, id_))

    def tag(self, visitor: str, ids: Sequence[str], add: Sequence[str], drop: Sequence[str], most: int) -> None:
        """Put tags on results of this visitor and take others off.

        Raises: `LibraryError` if one would have more than `most`.
        """
        with self._lock, changing(self._connection) as db:
            for id_ in ids:
                if self._holds(db, visitor, id_):
                    db.executemany(
                        "DELETE FROM tags WHERE visitor = ? AND result = ? AND tag = ?",
                        [(visitor, id_, tag) for tag in drop],
                    )
                    db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", [(visitor, id_, tag) for tag in add])
                    count = len(self._tags(visitor, id_))
                    if count > most:
                        raise LibraryError(Problem(f"a result has at most {most} tags", str(count), "tags"))

    def remove(self, visitor: str, ids: Sequence[str]) -> int:
        """Take results out of a visitor's library and return how many; what was removed before is gone for good.

        What is removed is not shared any more, unless it is brought back.
        """
        with self._lock, changing(self._connection) as db:
            self._forget(db, "removed AND visitor = ?", (visitor,))
            query = "UPDATE held SET removed = 1 WHERE visitor = ? AND result = ? AND NOT removed"
            return sum(db.execute(query, (visitor, id_)).rowcount for id_ in dict.fromkeys(ids))

    def restore(self, visitor: str) -> int:
        """Bring back what was removed last, and return how many."""
        with self._lock, changing(self._connection) as db:
            return db.execute("UPDATE held SET removed = 0 WHERE visitor = ? AND removed", (visitor,)).rowcount

    def share(self, visitor: str, id_: str) -> str:
        """Make a result readable by an address that nobody can guess; the same address again if it has one.

        Raises: `LibraryError` if it is not the visitor's.
        """
        with self._lock, changing(self._connection) as db:
            if not self._holds(db, visitor, id_):
                raise LibraryError(Problem("a result is one of your library", "another one", "id"))
            test = db.execute("SELECT test FROM held WHERE visitor = ? AND result = ?", (visitor, id_)).fetchone()[0]
            values = (secrets.token_hex(16), visitor, id_, utc(self._now()), test)
            db.execute(
                """INSERT INTO shares VALUES (?, ?, ?, ?, ?)
                   ON CONFLICT (visitor, result) DO UPDATE SET test = excluded.test""",
                values,
            )
            found = db.execute("SELECT id FROM shares WHERE visitor = ? AND result = ?", (visitor, id_))
            return str(found.fetchone()[0])

    def unshare(self, visitor: str, id_: str) -> None:
        """Let the address of a result lead nowhere; its link then opens the recipe alone."""
        with self._lock, changing(self._connection) as db:
            self._end(db, visitor, id_, "withdrawn")

    def shared(self, share: str) -> Shared | None:
        """Return what is shared under an address, or nothing."""
        query = """SELECT content, correct, results.imported, shares.at, shares.test FROM shares
                   JOIN results ON results.id = shares.result
                   JOIN held ON held.visitor = shares.visitor AND held.result = shares.result
                   WHERE shares.id = ? AND NOT removed"""
        with self._lock:
            row = self._connection.execute(query, (share,)).fetchone()
        return Shared(_result(*row[:3]), row[3], json.loads(row[4]) if row[4] else None) if row else None

    def ended(self, share: str) -> str:
        """Return why an address leads nowhere any more: `deleted`, `withdrawn`, or empty if it never did."""
        query = """SELECT why FROM ended WHERE id = :id UNION SELECT 'deleted' FROM shares
                   JOIN held ON held.visitor = shares.visitor AND held.result = shares.result
                   WHERE shares.id = :id AND removed"""
        with self._lock:
            row = self._connection.execute(query, {"id": share}).fetchone()
        return str(row[0]) if row else ""

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _check_room(self, db: sqlite3.Connection, visitor: str) -> None:
        own = db.execute("SELECT COUNT(*) FROM held WHERE visitor = ? AND NOT removed", (visitor,)).fetchone()[0]
        if own >= MOST:
            advice = "export and delete some first"
            raise LibraryError(Problem(f"a library holds at most {MOST} results", "one more", "", advice))
        if db.execute("SELECT COUNT(*) FROM results").fetchone()[0] >= _MOST_IN_ALL:
            must = f"this Basin holds at most {_MOST_IN_ALL} results"
            raise LibraryError(Problem(must, "one more", "", "keep yours as a file"))

    def _hold(self, db: sqlite3.Connection, visitor: str, id_: str, result: Result, name: str) -> None:
        average = result.accuracy["average"]
        row = {
            "interval": average["interval"],
            "tasks": [
                {key: task[key] for key in ("task", "title", "colour", "accuracy")} for task in result.accuracy["tasks"]
            ],
            "imported": result.imported,
        }
        number = db.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM held WHERE visitor = ?", (visitor,)).fetchone()[0]
        values = {
            "visitor": visitor,
            "result": id_,
            "at": utc(self._now()),
            "number": number,
            "name": name,
            "label": result.label,
            "words": f"{name} {result.label}".lower(),
            "family": result.family,
            "method": result.recipe["method"]["name"],
            "average": average["accuracy"],
            "n": result.accuracy["n"],
            "row": json.dumps(row, allow_nan=False),
        }
        marks = ", ".join(f":{key}" for key in values)
        db.execute(f"INSERT INTO held ({', '.join(values)}) VALUES ({marks})", values)

    def _forget(self, db: sqlite3.Connection, which: str, values: Sequence[str]) -> None:
        """Drop held rows for good, their tags and addresses, and every result that nobody holds any more."""
        rows = db.execute(f"SELECT visitor, result FROM held WHERE {which}", values).fetchall()
        for visitor, id_ in rows:
            self._end(db, visitor, id_, "deleted")
            for table in ("held", "tags"):
                db.execute(f"DELETE FROM {table} WHERE visitor = ? AND result = ?", (visitor, id_))
            unused = "NOT EXISTS (SELECT 1 FROM held WHERE result = ?)"
            db.execute(f"DELETE FROM results WHERE id = ? AND {unused}", (id_, id_))

    def _end(self, db: sqlite3.Connection, visitor: str, id_: str, why: str) -> None:
        """Take the address from a result, and remember why."""
        found = "FROM shares WHERE visitor = ? AND result = ?"
        db.execute(f"INSERT INTO ended SELECT id, ? {found}", (why, visitor, id_))
        db.execute(f"DELETE {found}", (visitor, id_))

    def _holds(self, db: sqlite3.Connection, visitor: str, id_: str) -> bool:
        query = "SELECT 1 FROM held WHERE visitor = ? AND result = ? AND NOT removed"
        return db.execute(query, (visitor, id_)).fetchone() is not None

    def _tags(self, visitor: str, id_: str) -> tuple[str, ...]:
        query = "SELECT tag FROM tags WHERE visitor = ? AND result = ? ORDER BY tag"
        return tuple(tag for (tag,) in self._connection.execute(query, (visitor, id_)))


def _result(content: bytes, correct: bytes | None, imported: int) -> Result:
    found = result_of(json.loads(zlib.decompress(content)), [])
    return replace(found, correct=correct, imported=bool(imported))
