"""Downloading a surveyed checkpoint into our own cache: resumed, checked, complete or not there.

`hf_hub_download` would do most of it, but it accepts a body of the right size with wrong bytes, answers with a cached
file to somebody whom the Hub refuses, and sleeps between its own retries; so files are streamed through its session
and checked here. The cache is `<cache>/models/<owner>/<name>/<commit>/`: files under their own names, `.part` while
they come, and `complete.json`, written last, which says that everything is there and what its content digest is.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx2
from filelock import FileLock, Timeout

from merging_core.checkpoints.config import read_json_object
from merging_core.checkpoints.locks import hold_while
from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, HubAwayError, HubError, Problem, disk_is_full
from merging_core.hub.attended import Stopped
from merging_core.hub.data_ref import Place
from merging_core.hub.files import check_size, digest_of, streaming
from merging_core.hub.headers import HubSurvey
from merging_core.hub.listing import RemoteFile
from merging_core.hub.session import Caller

__all__ = [
    "COMPLETE_NAME",
    "check_space",
    "download_all",
    "fetch_files",
    "folder_of",
    "free_bytes",
    "missing_bytes",
    "missing_of",
    "open_complete",
]

COMPLETE_NAME = "complete.json"
_VERSION = 1
_SPARE = 1.1
_SILENCE = 10.0
_MINUTE = 60.0
_QUIET_TRIES, _TRIES = 3, 40
_SLOW_SECONDS, _LEAST_BYTES = 30.0, 1 << 20
"""A connection that is cut again and again brings so much in so long, or others have their turn."""
_READ = 1 << 20
_LOCK_WAIT = 0.2
_UNSATISFIABLE = 416

Tell = Callable[[int, str], None]


def folder_of(cache: Path, ref: Ref) -> Path:
    """Return where a resolved reference lies in the cache, whether it is there or not."""
    if ref.commit is None:
        raise ValueError("only a commit has a place in the cache")
    return cache.joinpath("models", *ref.path.split("/"), ref.commit)


def open_complete(cache: Path, ref: Ref) -> Checkpoint | None:
    """Open a checkpoint whose download is complete; None where it is not, or where files were changed since.

    While it is open it stays in the cache, whoever makes room there.
    """
    folder = folder_of(cache, ref)
    try:
        record = read_json_object(folder / COMPLETE_NAME)
        sizes, content = record["files"], record["content"]
        whole = record["version"] == _VERSION and all(
            (folder / name).stat().st_size == size for name, size in sizes.items()
        )
    except (CheckpointError, OSError, KeyError, AttributeError, TypeError):
        return None
    if not whole:
        return None
    opened = open_checkpoint(folder, ref, known_content=str(content))
    hold_while(folder / COMPLETE_NAME, opened)
    _mark_used(folder / COMPLETE_NAME)
    return opened


def _mark_used(path: Path) -> None:
    """Let the time of a file say when it was used, a minute more or less."""
    try:
        if time.time() - path.stat().st_mtime > _MINUTE:
            os.utime(path)
    except OSError:  # a cache that can only be read has nobody who makes room in it
        return


def missing_bytes(cache: Path, survey: HubSurvey) -> int:
    """Return how many bytes a download would still fetch."""
    folder = folder_of(cache, survey.ref)
    return sum(missing_of(folder, file) for file in survey.files)


def missing_of(folder: Path, file: RemoteFile) -> int:
    """Return how many bytes of a file a download into a folder would still fetch."""
    return (file.size or 0) - _held(folder, file)


def download_all(caller: Caller, cache: Path, survey: HubSurvey, tell: Tell, stopped: Callable[[], bool]) -> Path:
    """Fetch what is missing, check all of it, and return the folder; `tell(bytes, what)` hears how much is there.

    Two downloads of the same commit take turns, also between processes: the second finds the files of the first. What
    came is kept when it stops, and a later download goes on from there.
    Raises HubError (no space, damaged, out of reach), CheckpointError for weights that are no checkpoint, Stopped.
    """
    folder = folder_of(cache, survey.ref)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        while True:
            try:
                lock.acquire(timeout=_LOCK_WAIT)
                break
            except Timeout:
                tell(
                    survey.nbytes - missing_bytes(cache, survey), f"waiting for another download of {survey.ref.label}"
                )
                if stopped():
                    raise Stopped from None
        try:
            if open_complete(cache, survey.ref) is None:
                _fetch_all(caller, cache, survey, tell, stopped)
        finally:
            lock.release()
    except OSError as error:
        raise HubError(_disk_problem(error)) from None
    return folder


def _fetch_all(caller: Caller, cache: Path, survey: HubSurvey, tell: Tell, stopped: Callable[[], bool]) -> None:
    folder = folder_of(cache, survey.ref)
    done = fetch_files(caller, survey.ref, survey.files, folder, tell, stopped)
    tell(done, f"checking {survey.ref.label}")
    opened = open_checkpoint(folder, survey.ref)
    sizes = {file.name: (folder / file.name).stat().st_size for file in survey.files}
    record = {"version": _VERSION, "ref": str(survey.ref), "content": opened.compute_content(), "files": sizes}
    part = folder / f"{COMPLETE_NAME}.part"
    with part.open("wb") as out:
        out.write(json.dumps(record, indent=1, sort_keys=True).encode())
        _sync(out)
    part.replace(folder / COMPLETE_NAME)


def fetch_files(  # noqa: PLR0913
    caller: Caller,
    ref: Place,
    files: Sequence[RemoteFile],
    folder: Path,
    tell: Tell,
    stopped: Callable[[], bool],
) -> int:
    """Fetch those of the files that are not in the folder, check them, and return the bytes of all.

    Raises HubError (no space, damaged, out of reach), Stopped, OSError.
    """
    check_space(folder, sum(missing_of(folder, file) for file in files))
    done = 0
    for file in files:
        if not _whole(folder, file):
            (folder / file.name).parent.mkdir(exist_ok=True)
            _Fetch(caller, ref, file, folder, done, tell, stopped).run()
        done += (folder / file.name).stat().st_size
        tell(done, f"downloading {ref.label}")
    return done


@dataclass(frozen=True)
class _Fetch:
    """One file on its way."""

    caller: Caller
    ref: Place
    file: RemoteFile
    folder: Path
    before: int
    """Bytes of the files before it."""
    tell: Tell
    stopped: Callable[[], bool]

    @property
    def part(self) -> Path:
        return self.folder / f"{self.file.name}.part"

    def run(self) -> None:
        """Fetch the file, check it and give it its name. What was resumed and is wrong is fetched anew, once."""
        resumed = self.part.exists()
        self._complete()
        problem = self._problem()
        if problem is not None:
            self.part.unlink()
            if resumed:
                self._complete()
                problem = self._problem()
        if problem is not None:
            self.part.unlink(missing_ok=True)
            raise HubError(problem)
        self.part.replace(self.folder / self.file.name)

    def _complete(self) -> None:
        """Fetch until nothing is missing: after a cut from where it was cut, while tries bring something."""
        quiet = 0
        begun, held = time.monotonic(), self._size()
        for _ in range(_TRIES):
            before = self._size()
            if before - held >= _LEAST_BYTES:
                begun, held = time.monotonic(), before
            try:
                if self._append(before):
                    return
            except _CutError as cut:
                quiet = quiet + 1 if self._size() <= before else 0
                slow = time.monotonic() - begun > _SLOW_SECONDS and self._size() - held < _LEAST_BYTES
                if slow or quiet >= _QUIET_TRIES:
                    raise cut.error.located(self.file.name) from None
                time.sleep(min(0.1 * 2**quiet, 1.0))
        must, got = "the connection lasts until the file is there", f"{_TRIES} cuts"
        raise HubAwayError(Problem(must, got, self.file.name, "start the download again: it goes on from here"))

    def _append(self, start: int) -> bool:
        """Ask for what is missing and write it behind what is there; say whether the file is whole."""
        if self.file.size is not None and start == self.file.size:
            return True
        opened = False
        silence = min(_SILENCE, self.caller.deadline)
        try:
            with streaming(self.caller, self.ref, self.file, start, silence=silence) as (response, at, size):
                opened = True
                if response.status_code == _UNSATISFIABLE:
                    if self.file.size is None and start:
                        return True
                    self.part.unlink(missing_ok=True)
                    raise HubAwayError(Problem("the Hub sends the rest of the file", "nothing", "", "try again"))
                check_size(self.file, size)
                self._write(response, at, size)
                return True
        except HubAwayError as error:
            if opened:
                raise _CutError(error) from None
            raise error.located(self.file.name) from None

    def _write(self, response: httpx2.Response, at: int, size: int) -> None:
        with self.part.open("r+b" if self.part.exists() else "wb") as out:
            out.seek(at)
            out.truncate()
            for piece in response.iter_bytes():
                if self.stopped():
                    raise Stopped
                at += len(piece)
                if at > size:
                    out.truncate(0)
                    raise HubError(Problem(f"the file has {size:,} bytes", "more", self.file.name, "try again"))
                out.write(piece)
                self.tell(self.before + at, f"downloading {self.file.name} of {self.ref.label}")
            _sync(out)
        if at < size:
            must, got = f"the answer has all {size:,} bytes", f"{at:,}"
            raise HubAwayError(Problem(must, got, "", "start the download again: it goes on from here"))

    def _problem(self) -> Problem | None:
        size = self._size()
        digest = digest_of(self.file, size)
        if digest is None:
            return None
        with self.part.open("rb") as file:
            while data := file.read(_READ):
                if self.stopped():
                    raise Stopped
                digest.update(data)
        return digest.problem(self.file.name)

    def _size(self) -> int:
        """Return the bytes that are there; a part that is too long is none of ours."""
        size = self.part.stat().st_size if self.part.exists() else 0
        if self.file.size is not None and size > self.file.size:
            self.part.unlink()
            return 0
        return size


class _CutError(Exception):
    """A connection that ended before the file did."""

    def __init__(self, error: HubAwayError) -> None:
        super().__init__()
        self.error = error


def _whole(folder: Path, file: RemoteFile) -> bool:
    """Say whether a file has its final name, which it has only once it was checked."""
    path = folder / file.name
    return path.is_file() and (file.size is None or path.stat().st_size == file.size)


def _held(folder: Path, file: RemoteFile) -> int:
    if _whole(folder, file):
        return file.size or 0
    part = folder / f"{file.name}.part"
    held = part.stat().st_size if part.is_file() else 0
    return held if file.size is not None and held <= file.size else 0


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on, or will be on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_space(folder: Path, missing: int) -> None:
    """Raise HubError where a download of so many bytes would leave less than a tenth of them free."""
    free, wanted = free_bytes(folder), int(_SPARE * missing)
    if wanted > free:
        must = f"the disk has room for {wanted:,} bytes"
        raise HubError(Problem(must, f"{free:,} free", "disk", "free some space, or choose something smaller"))


def _disk_problem(error: OSError) -> Problem:
    got = "a full disk" if disk_is_full(error) else f"“{error.strerror or type(error).__name__}”"
    return Problem("the cache can be written", got, "disk", "what came is kept; make room and try again")


def _sync(out: BinaryIO) -> None:
    out.flush()
    os.fsync(out.fileno())
