"""Data sets of the Hub as parquet shards: which there are, what their ends say, and getting them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from merging_core.errors import CancelledError, EvaluationError, HubAccessError, HubError, Problem, closest
from merging_core.evaluation.sources.footer import TAIL, Footer, footer_length, read_footer
from merging_core.hub.access import check_access
from merging_core.hub.answers import repository
from merging_core.hub.attended import Stopped, attended
from merging_core.hub.client import Hub
from merging_core.hub.data_ref import DataRef
from merging_core.hub.download import fetch_files, missing_of
from merging_core.hub.files import read_part
from merging_core.hub.listing import RemoteFile, commit_of, files_of, files_of_tree
from merging_core.hub.session import Caller

__all__ = ["CONVERTED", "DataSets", "Shards"]

CONVERTED = "refs/convert/parquet"
"""The branch on which the Hub keeps data sets that it turned into parquet itself."""

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,120}")
_NUMBERED = re.compile(r"(.+?)[-_]\d+(?:-of-\d+)?(?:-[0-9a-f]+)?")
_MOST_SHARDS = 4_096
_MOST_ENDS = 32
_AT_ONCE = 4
_FIRST = 64 << 10
_LOCK_WAIT = 0.2
_PLAIN = "default"

Layout = Mapping[str, Mapping[str, tuple[RemoteFile, ...]]]


@dataclass(frozen=True)
class Shards:
    """The parquet files of a data set at one commit, by part and split, as the data set calls them."""

    ref: DataRef
    """With the commit."""
    parts: Layout

    def of(self, part: str | None) -> Mapping[str, tuple[RemoteFile, ...]]:
        """Return the splits of a part; of the only one, or the one called `default`, where none is named.

        Raises HubError with the names there are.
        """
        if part is None:
            part = next(iter(self.parts)) if len(self.parts) == 1 else _PLAIN
        if part not in self.parts:
            got = "none chosen" if part == _PLAIN else ascii(part[:60])
            fix = (
                closest(part[:60], self.parts) if part != _PLAIN else f"there are: {', '.join(sorted(self.parts)[:8])}"
            )
            raise HubError(Problem("the part is one of the data set's", got, self.ref.label, fix))
        return self.parts[part]


@dataclass(frozen=True)
class DataSets:
    """The data sets of a Hub, for the visitor whose token it has; every method raises HubError as `Hub` does."""

    hub: Hub

    def check_access(self, ref: DataRef) -> None:
        """Ask whether this visitor may read the data set; raises HubAccessError where not. A yes holds for a minute."""
        check_access(self._caller(), self.hub.memory, ref)

    def list(self, ref: DataRef) -> Shards:
        """Return the parquet shards at the commit that a reference means now.

        Those of the repository itself, or where it has none those that the Hub made of it.
        Raises HubAccessError where the visitor may not read it, HubError where there are none.
        """
        caller = self._caller()
        check_access(caller, self.hub.memory, ref)
        try:
            found = _listed(caller, ref)
            if not found.parts and ref.pin is None:
                found = _converted(caller, ref)
        except HubError as error:
            raise error.located(ref.label) from None
        if not found.parts:
            must, fix = "a data set holds parquet files", "the Hub makes them of most data sets; choose another"
            raise HubError(Problem(must, "none", ref.label, fix))
        return found

    def ends(self, ref: DataRef, files: Iterable[RemoteFile]) -> dict[str, Footer]:
        """Return what the ends of some shards say, by name; at most 32 are asked."""
        caller = self._caller()
        asked = list(files)[:_MOST_ENDS]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="basin-ends") as pool:
            found = pool.map(lambda file: _end(caller, ref, file), asked)
            return {file.name: footer for file, footer in zip(asked, found, strict=True)}

    def folder(self, ref: DataRef) -> Path:
        """Return where the shards of a commit lie."""
        if ref.commit is None:
            raise ValueError("only a commit has a place in the cache")
        return self.hub.cache.joinpath("datasets", *ref.path.split("/"), ref.commit)

    def missing_bytes(self, ref: DataRef, files: Iterable[RemoteFile]) -> int:
        """Return how many bytes a download would fetch."""
        folder = self.folder(ref)
        return sum(missing_of(folder, file) for file in files)

    def download(
        self,
        ref: DataRef,
        files: Iterable[RemoteFile],
        progress: Callable[[int, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Path:
        """Download what is missing of some shards, check it, and return the folder, in which they have their names.

        `progress(bytes, what)` is called in this thread. Raises CancelledError soon after `cancelled()` becomes true;
        what came is kept, and the next download goes on from there.
        """
        check_access(self._caller(), self.hub.memory, ref)
        streams = Caller(self.hub.endpoint.rstrip("/"), self.hub.token, self.hub.deadline)
        folder, wanted = self.folder(ref), tuple(files)

        def fetch(tell: Callable[[int, str], None], stopped: Callable[[], bool]) -> None:
            for file in wanted:
                (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
            with _turn(folder, ref, tell, stopped):
                fetch_files(streams, ref, wanted, folder, tell, stopped)

        try:
            self.hub.make_room(folder, self.missing_bytes(ref, wanted))
            attended(lambda meter, stopped: fetch(meter.tell, stopped), progress, cancelled)
        except HubError as error:
            raise error.located(ref.label) from None
        except OSError as error:
            must, fix = "the cache can be written", "make room and try again"
            raise HubError(Problem(must, f"“{error.strerror or type(error).__name__}”", ref.label, fix)) from None
        except Stopped:
            fix = "what came is kept; start it again to go on"
            raise CancelledError(Problem("a download runs to its end", "a request to cancel it", fix=fix)) from None
        return folder

    def _caller(self) -> Caller:
        return Caller(self.hub.endpoint.rstrip("/"), self.hub.token, self.hub.deadline).starting()


@contextmanager
def _turn(folder: Path, ref: DataRef, tell: Callable[[int, str], None], stopped: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock of a commit's folder: downloads of the same data set take turns. Raises Stopped while it waits."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    while True:
        try:
            lock.acquire(timeout=_LOCK_WAIT)
            break
        except Timeout:
            tell(0, f"waiting for another download of {ref.label}")
            if stopped():
                raise Stopped from None
    try:
        yield
    finally:
        lock.release()


def _listed(caller: Caller, ref: DataRef) -> Shards:
    answer = repository(caller, ref)
    ref = ref.at(commit_of(answer, ref))
    files = files_of(answer)
    if files is None or any(file.size is None or (file.sha256 or file.blob) is None for file in _parquet(files)):
        files = files_of_tree(caller, ref, recursive=True)
    return Shards(ref, _layout(_parquet(files)))


def _converted(caller: Caller, ref: DataRef) -> Shards:
    try:
        return _listed(caller, ref.at(CONVERTED))
    except HubAccessError:
        return Shards(ref, {})


def _parquet(files: Iterable[RemoteFile]) -> list[RemoteFile]:
    return [file for file in files if file.name.endswith(".parquet")]


def _layout(files: Iterable[RemoteFile]) -> Layout:
    """Sort shards by part and split; files whose names are no plain ones are passed over."""
    parts: dict[str, dict[str, list[RemoteFile]]] = {}
    count = 0
    for file in sorted(files, key=lambda one: one.name):
        place = _place_of(file.name)
        if place is not None:
            parts.setdefault(place[0], {}).setdefault(place[1], []).append(file)
            count += 1
    if count > _MOST_SHARDS:
        raise HubError(Problem(f"a data set has at most {_MOST_SHARDS:,} parquet files", f"{count:,}"))
    return {part: {split: tuple(shards) for split, shards in splits.items()} for part, splits in sorted(parts.items())}


def _place_of(name: str) -> tuple[str, str] | None:
    """Return the part and the split that a shard's name means, or None for a name that is no plain one.

    >>> _place_of("data/train-00000-of-00002.parquet"), _place_of("cropped_digits/partial-test/0000.parquet")
    (('default', 'train'), ('cropped_digits', 'test'))
    """
    path = PurePosixPath(name)
    folders, stem = list(path.parts[:-1]), path.name.removesuffix(".parquet")
    if not all(_PART.fullmatch(part) for part in path.parts) or any(".." in part for part in path.parts):
        return None
    match = _NUMBERED.fullmatch(stem)
    split = match.group(1) if match is not None else stem
    if stem.isdigit() and folders:
        split = folders.pop()
    part = "/".join(folders)
    return (part if part not in ("", "data") else _PLAIN), split.removeprefix("partial-")


def _end(caller: Caller, ref: DataRef, file: RemoteFile) -> Footer:
    """Read the end of a shard: one request, or a second where the footer is longer than most are."""
    size = file.size or 0
    try:
        data = read_part(caller, ref, file, max(0, size - _FIRST), size).data
        length = footer_length(data[-TAIL:])
        if length + TAIL > len(data):
            data = read_part(caller, ref, file, max(0, size - length - TAIL), size).data
        return read_footer(data[-TAIL - length : -TAIL])
    except (HubError, EvaluationError) as error:
        raise HubError(*(problem.located(f"{ref.label}: {file.name}") for problem in error.problems)) from None
