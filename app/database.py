"""Opens the SQLite files that outlive the page: one schema a file, brought up to date step by step.

A file's `user_version` counts the steps that were taken; an old file takes the missing ones, each whole or not at all.
Where no folder can be written the records live in memory. Every file is looked through when it is opened; a damaged
one is moved aside, never deleted; a file of a newer Basin is left alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from merging_core.errors import BasinError, Problem

__all__ = ["Database", "StorageError", "changing", "open_database", "utc"]

PATIENCE = 30.0
"""Seconds to wait for a file that somebody else writes to."""


class StorageError(BasinError):
    """The disk does not take what is to be kept, or is damaged."""


@dataclass(frozen=True)
class Database:
    """An open connection, and where its records are."""

    connection: sqlite3.Connection
    kind: str
    """`file` or `memory`."""
    notice: str
    """A sentence if the records are not where they should be, else empty."""


def open_database(
    folder: Path | None, name: str, what: str, steps: Sequence[str], *, shared_disk: bool, now: Callable[[], datetime]
) -> Database:
    """Open `name`.sqlite in `folder`, make or migrate its tables, and say where the records are if not there.

    `what` begins the sentences, such as “History and test scores”; `steps` are SQL scripts, the first makes the tables.
    `shared_disk`: the disk has no file locks and no shared memory, as mounts of storage buckets.

    >>> opened = open_database(None, "ledger", "Scores", ["CREATE TABLE t (x)"], shared_disk=False, now=datetime.now)
    >>> opened.kind, opened.notice
    ('memory', 'Scores are kept until the server stops: it has no data folder that lasts.')
    """
    if folder is None:
        return _in_memory(steps, f"{what} are kept until the server stops: it has no data folder that lasts.")
    path, notice = folder / f"{name}.sqlite", ""
    try:
        connection = _open_file(path, steps, shared_disk)
    except _NewerError:
        return _in_memory(steps, f"{what} are kept until the server stops: their file was written by a newer Basin.")
    except (OSError, sqlite3.OperationalError):
        # A full disk, or a file that another server holds: nothing is wrong with the file itself.
        return _in_memory(steps, f"{what} are kept until the server stops: their file cannot be opened.")
    except sqlite3.DatabaseError:
        aside = path.with_name(f"{name}.damaged-{now().astimezone(UTC):%Y%m%dT%H%M%S}.sqlite")
        try:
            for ending in ("", "-wal", "-shm"):
                part = path.with_name(path.name + ending)
                if part.exists():
                    part.rename(aside.with_name(aside.name + ending))
            connection = _open_file(path, steps, shared_disk)
        except (OSError, sqlite3.Error):
            return _in_memory(steps, f"{what} are kept until the server stops: their file cannot be opened.")
        notice = f"{what}: their file was damaged; it was kept as {aside.name} and a new one was begun."
    return Database(connection, "file", notice)


@contextmanager
def changing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One transaction: what is done inside is kept whole or not at all.

    Raises: `StorageError` if it cannot be kept.
    """
    try:
        with connection:
            yield connection
    except sqlite3.DatabaseError as error:
        if not isinstance(error, sqlite3.OperationalError) and type(error) is not sqlite3.DatabaseError:
            raise
        got = f"“{error}”"
        problem = Problem("the server can keep this", got, "", "it is not kept; free some room on the server's disk")
        raise StorageError(problem) from error


def utc(moment: datetime) -> str:
    """Return a moment as it is kept: UTC, ISO 8601, to the second.

    >>> utc(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02T03:04:05Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class _NewerError(Exception):
    """The file was written by a newer Basin."""


def _in_memory(steps: Sequence[str], notice: str) -> Database:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    _migrate(connection, steps)
    return Database(connection, "memory", notice)


def _open_file(path: Path, steps: Sequence[str], shared_disk: bool) -> sqlite3.Connection:
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, check_same_thread=False, timeout=PATIENCE)
    try:
        if _version(connection) > len(steps):
            raise _NewerError
        if shared_disk:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = DELETE")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        _migrate(connection, steps)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    for number in range(_version(connection), len(steps)):
        with connection:
            connection.executescript(f"BEGIN; {steps[number]} ; PRAGMA user_version = {number + 1}; COMMIT;")


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
