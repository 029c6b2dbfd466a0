"""Where uploads lie, who may list them, and how much there may be.

`<scratch>/uploads/<address>/` holds one upload: its files, `upload.json`, which says what it is and never changes, and
`owners.json`, which says who gave it and under which name. What arrives lies in a folder of another name until it is
whole and checked. Two visitors who give the same file share one folder; it goes when the last of them deletes it or
when it is too old for all, but never while a job needs it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.live import BusyError
from app.server_folder import ServerFolder
from app.uploads.intake import Checked, data_path
from app.uploads.problems import NoRoomError, TooLargeError, UploadError
from merging_core.checkpoints.uploads import UPLOAD_NAME, UploadedCheckpoints
from merging_core.engines.pricing import amount
from merging_core.errors import Problem

__all__ = ["Place", "Upload", "UploadLimits", "Uploads", "plain_name"]

_OWNERS = "owners.json"
_ARRIVING = ".arriving-"
_ADDRESS = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")
_REFERENCE = re.compile(r"(?:upload:)?([0-9a-f]{64}|[0-9a-f]{32})(?:/[A-Za-z0-9_.+-]{1,40})?")
_UNPLAIN = re.compile(r"[^A-Za-z0-9_.+-]+")
_LONGEST_NAME = 40
_ROOM = 1.1
_LARGEST_RECORD = 1 << 20
_VERSION = 1


@dataclass(frozen=True)
class UploadLimits:
    """How much may be uploaded."""

    file: int
    """Bytes of one upload."""
    visitor: int
    """Bytes of all uploads of one visitor."""
    total: int
    """Bytes of all uploads."""
    seconds: float | None = None
    """For which an upload is kept; None keeps it until it is deleted."""
    at_once: int = 2
    """Uploads of one visitor that arrive at the same time."""
    arriving: int = 8
    """Uploads of all visitors that arrive at the same time."""


@dataclass(frozen=True)
class Upload:
    """One upload as the visitor who gave it sees it."""

    ref: str
    form: str
    """`checkpoint`, `csv`, `parquet` or `pictures`."""
    name: str
    bytes: int
    created: str
    """UTC, ISO 8601."""
    expires: str
    """The same; empty where it is kept."""
    about: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return it as the page shows it."""
        kept = {"ref": self.ref, "form": self.form, "name": self.name, "bytes": self.bytes}
        return {**kept, "created": self.created, "expires": self.expires, **self.about}


@dataclass(frozen=True)
class Place:
    """A folder in which one upload arrives."""

    folder: Path
    keep: Callable[[Checked, str], Upload]
    """Give it its final place, under the name that its visitor calls it by."""


@dataclass(frozen=True)
class _Kept:
    form: str
    bytes: int
    about: dict[str, Any]
    owners: dict[str, tuple[str, str]]
    """By visitor: the name, and when it was given."""


class Uploads:
    """Takes uploads, lists them for who gave them, and deletes them.

    `used` says which references jobs need just now; `now` is the clock.
    """

    def __init__(
        self,
        scratch: Path | None,
        limits: UploadLimits,
        *,
        used: Callable[[], frozenset[str]] = frozenset,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.limits = limits
        self.used = used
        self._now = now or (lambda: datetime.now(UTC))
        self._folder = ServerFolder(scratch, "uploads")
        self._lock = threading.RLock()
        self._kept: dict[str, _Kept] = {}
        self._arriving: dict[str, tuple[str, int]] = {}
        self._departing: list[Callable[[str], None]] = []
        self._opened = False

    @property
    def root(self) -> Path:
        """The folder of all uploads."""
        return self._folder.path

    @property
    def checkpoints(self) -> UploadedCheckpoints:
        """The uploaded checkpoints, for a catalog."""
        return UploadedCheckpoints(self.root)

    def check(self, visitor: str, size: int) -> None:
        """Say whether an upload of `size` bytes may begin.

        Raises TooLargeError, NoRoomError with every limit that it passes, BusyError when too many arrive.
        """
        with self._lock:
            self._clean()
            limits = self.limits
            mine = sum(kept.bytes for kept in self._kept.values() if visitor in kept.owners)
            mine += sum(bytes_ for owner, bytes_ in self._arriving.values() if owner == visitor)
            coming = sum(bytes_ for _, bytes_ in self._arriving.values())
            total = coming + sum(kept.bytes for kept in self._kept.values())
            free = shutil.disk_usage(self.root).free - coming
            busy = sum(owner == visitor for owner, _ in self._arriving.values()) >= limits.at_once
            if busy or len(self._arriving) >= limits.arriving:
                must = "few uploads arrive at the same time"
                raise BusyError(Problem(must, "one more", "upload", "wait until another is done"))
        problems = []
        if size > limits.file:
            problems.append(Problem(f"an upload has at most {amount(limits.file)}", amount(size), "upload"))
        elif mine + size > limits.visitor:
            must, fix = f"your uploads have at most {amount(limits.visitor)}", "delete one that you need no more"
            problems.append(Problem(must, amount(mine + size), "upload", fix))
        if problems:
            raise TooLargeError(*problems)
        if total + size > limits.total:
            must = f"all uploads on this server have at most {amount(limits.total)}"
            raise NoRoomError(Problem(must, amount(total + size), "upload", "try again later"))
        if _ROOM * size > free:
            must = f"the server's disk has {amount(int(_ROOM * size))} free"
            raise NoRoomError(Problem(must, f"{amount(max(0, free))} free", "upload", "try again later"))

    @contextmanager
    def arriving(self, visitor: str, size: int) -> Iterator[Place]:
        """Give a place to an upload of `size` bytes; whatever was not kept is gone afterwards. Raises as `check`."""
        with self._lock:
            self.check(visitor, size)
            key = secrets.token_hex(16)
            self._arriving[key] = (visitor, size)
        folder = self.root / f"{_ARRIVING}{key}"
        try:
            folder.mkdir(mode=0o700)
            yield Place(folder, lambda found, name: self._keep(visitor, folder, found, name))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with self._lock:
                del self._arriving[key]

    def of(self, visitor: str) -> tuple[Upload, ...]:
        """Return the uploads of a visitor, the newest first."""
        with self._lock:
            self._clean()
            mine = [self._shown(address, visitor) for address, kept in self._kept.items() if visitor in kept.owners]
            return tuple(sorted(mine, key=lambda upload: upload.created, reverse=True))

    def delete(self, visitor: str, ref: str) -> None:
        """Delete an upload for a visitor, with its files where nobody else gave it too.

        Raises UploadError, in the same words whether it is unknown or somebody else's; BusyError while a job needs it.
        """
        address = _address(ref)
        with self._lock:
            self._open()
            kept = self._kept.get(address)
            if kept is None or visitor not in kept.owners:
                must, got = "an upload is one of yours and still there", "another one"
                raise UploadError(Problem(must, got, "upload", "open the list again"))
            if address in self._needed():
                must, got = "an upload that is deleted is not in use", "one that a job needs"
                raise BusyError(Problem(must, got, "upload", "wait for the job, or cancel it"))
            self._disown(address, kept, {visitor})

    def data(self, ref: str) -> Path:
        """Return the file or the folder of pictures of data that were uploaded.

        Raises UploadError where nothing lies there, as on another server than the one that took it.
        """
        with self._lock:
            self._open()
            address = _address(ref)
            found = data_path(self.root / address) if address in self._kept else None
        if found is None:
            must, got = "the data are on this server", "nothing of this address"
            fix = "they were uploaded on another server, or have been deleted: upload them here"
            raise UploadError(Problem(must, got, f"upload:{address[:8]}", fix))
        return found

    def before_going(self, told: Callable[[str], None]) -> None:
        """Have somebody told the reference of each upload before its files go, to let go what was made of it."""
        self._departing.append(told)

    def close(self) -> None:
        """Give the folder back."""
        self._folder.close()

    def _keep(self, visitor: str, folder: Path, found: Checked, name: str) -> Upload:
        when = _time(self._now())
        with self._lock:
            self._open()
            kept = self._kept.get(found.address)
            if kept is None:
                files = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
                kept = _Kept(found.form, files, found.about, {})
                record = {"version": _VERSION, "form": found.form, "content": found.content}
                _write(folder / UPLOAD_NAME, {**record, "bytes": files, "about": found.about})
                _write(folder / _OWNERS, {"version": _VERSION, "owners": {visitor: [name, when]}})
                folder.rename(self.root / found.address)
                _sync_folder(self.root)
            else:
                self._write_owners(found.address, {**kept.owners, visitor: (name, when)})
            self._kept[found.address] = replace(kept, owners={**kept.owners, visitor: (name, when)})
            return self._shown(found.address, visitor)

    def _shown(self, address: str, visitor: str) -> Upload:
        kept = self._kept[address]
        name, when = kept.owners[visitor]
        seconds = self.limits.seconds
        until = _time(datetime.fromisoformat(when) + timedelta(seconds=seconds)) if seconds is not None else ""
        return Upload(f"upload:{address}/{name}", kept.form, name, kept.bytes, when, until, kept.about)

    def _clean(self) -> None:
        """Let go what is too old, for each who gave it."""
        self._open()
        if self.limits.seconds is None:
            return
        eldest = _time(self._now() - timedelta(seconds=self.limits.seconds))
        needed = self._needed()
        for address, kept in list(self._kept.items()):
            old = {owner for owner, (_, when) in kept.owners.items() if when < eldest}
            if old and address not in needed:
                self._disown(address, kept, old)

    def _needed(self) -> frozenset[str]:
        return frozenset(_address(ref.partition("@")[0]) for ref in self.used() if ref.startswith("upload:"))

    def _disown(self, address: str, kept: _Kept, visitors: set[str]) -> None:
        """Forget who gave an upload; when nobody is left, delete it: its record first, so that it is none any more."""
        owners = {owner: given for owner, given in kept.owners.items() if owner not in visitors}
        if owners:
            self._write_owners(address, owners)
            self._kept[address] = replace(kept, owners=owners)
            return
        for told in self._departing:
            told(f"upload:{address}")
        folder = self.root / address
        (folder / UPLOAD_NAME).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        del self._kept[address]

    def _write_owners(self, address: str, owners: dict[str, tuple[str, str]]) -> None:
        folder = self.root / address
        _write(folder / f".{_OWNERS}", {"version": _VERSION, "owners": {who: list(of) for who, of in owners.items()}})
        (folder / f".{_OWNERS}").replace(folder / _OWNERS)

    def _open(self) -> None:
        """Read what an earlier server left, once; delete what never was whole."""
        if self._opened:
            return
        self._opened = True
        for folder in list(self.root.iterdir()):
            if folder.is_symlink() or not folder.is_dir():
                continue
            kept = _read(folder) if _ADDRESS.fullmatch(folder.name) else None
            if kept is not None:
                self._kept[folder.name] = kept
            elif folder.name.startswith(_ARRIVING) or _ADDRESS.fullmatch(folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def plain_name(name: str) -> str:
    """Return what an upload is called: the name of its file in letters, digits, dots and dashes, without its ending.

    >>> plain_name("../My model (1).safetensors"), plain_name("数字.csv")
    ('My-model-1', 'upload')
    """
    stem = name.replace("\\", "/").rpartition("/")[2]
    stem = stem.rpartition(".")[0] or stem
    return _UNPLAIN.sub("-", stem).strip(".+-")[:_LONGEST_NAME].strip(".+-") or "upload"


def _address(ref: str) -> str:
    match = _REFERENCE.fullmatch(ref)
    if match is None:
        raise UploadError(Problem("an upload is named by its digits", ascii(ref[:80]), "upload", "choose it again"))
    return match.group(1)


def _read(folder: Path) -> _Kept | None:
    """Read what an upload is and who gave it; nothing if either is missing or damaged."""
    try:
        record, given = (_json(folder / name) for name in (UPLOAD_NAME, _OWNERS))
        owners = {str(who): (str(name), str(when)) for who, (name, when) in given["owners"].items()}
        return _Kept(str(record["form"]), int(record["bytes"]), dict(record["about"]), owners)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _json(path: Path) -> Any:
    with path.open("rb") as file:
        return json.loads(file.read(_LARGEST_RECORD))


def _write(path: Path, value: object) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(value, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot flush a folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
