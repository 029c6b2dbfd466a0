"""Requests for one file of a repository at one commit: a part of it, or a stream of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx2
from huggingface_hub import hf_hub_url

from merging_core.errors import HubAwayError, HubError, Problem
from merging_core.hub.data_ref import Place, kind_of, repository_of
from merging_core.hub.listing import RemoteFile
from merging_core.hub.problems import without_meaning
from merging_core.hub.session import LARGEST_ANSWER, Caller, rules

__all__ = ["Digest", "Part", "digest_of", "read_part", "read_small", "streaming"]

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_UNSATISFIABLE = 416
_TRIES = 3


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True)
class Digest:
    """What the Hub says that a file's bytes must hash to, and the hash of those seen so far."""

    kind: str
    wanted: str
    state: _Hash

    def update(self, data: bytes) -> None:
        """Take the next bytes in."""
        self.state.update(data)

    def problem(self, name: str) -> Problem | None:
        """Return what is wrong with the file, all of whose bytes were taken in."""
        found = self.state.hexdigest()
        if found == self.wanted:
            return None
        must = f"the file's {self.kind} begins with {self.wanted[:12]}, as the Hub says"
        return Problem(must, found[:12], name, "it was damaged on its way: try again")


def digest_of(file: RemoteFile, size: int) -> Digest | None:
    """Return the digest to check a file by: sha256 for LFS, git's sha1 for others; None where the Hub gives none.

    >>> digest = digest_of(RemoteFile("a", 2, None, "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"), 5)
    >>> digest.update(b"hello"); digest.problem("a") is None
    True
    """
    if file.sha256 is not None:
        return Digest("sha256", file.sha256, hashlib.sha256())
    if file.blob is not None:
        return Digest("git sha1", file.blob, hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False))
    return None


@dataclass(frozen=True)
class Part:
    """Bytes of a file from a place on, and how long the whole file is."""

    data: bytes
    size: int


@contextmanager
def streaming(
    caller: Caller,
    ref: Place,
    file: RemoteFile,
    start: int = 0,
    stop: int | None = None,
    *,
    silence: float | None = None,
) -> Iterator[tuple[httpx2.Response, int, int]]:
    """Ask for a file from `start` to before `stop`; give the answer, the place that it starts at, the whole size.

    The place is 0 where a server ignores ranges, and `start` equals the size where nothing is left. Raises HubError
    where the answer is of another commit or starts elsewhere.
    """
    headers = caller.headers
    if start or stop is not None:
        headers["range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
    url = hf_hub_url(ref.path, file.name, repo_type=kind_of(ref), revision=ref.pin, endpoint=caller.endpoint)
    most = 1 << 62 if stop is None else LARGEST_ANSWER
    with (
        rules(caller, repository_of(ref), silence=silence, most=most, passed=frozenset({_UNSATISFIABLE})) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        yield response, *_extent(response, ref, file, start)


def read_part(caller: Caller, ref: Place, file: RemoteFile, start: int, stop: int) -> Part:
    """Return the bytes `start ≤ i < stop` of a file, fewer where it ends before; never more than is asked for is read.

    Where the connection is cut it is asked again, three times at most.
    Raises HubError, also where the file has another size than the Hub listed.
    """
    for attempt in range(_TRIES):
        opened = False
        try:
            with streaming(caller, ref, file, start, stop) as (response, at, size):
                opened = True
                check_size(file, size)
                return Part(_bytes_of(response, file, at, start, min(stop, size)), size)
        except HubAwayError:
            if not opened or attempt == _TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


def _bytes_of(response: httpx2.Response, file: RemoteFile, at: int, start: int, stop: int) -> bytes:
    """Return the bytes from `start` to before `stop` of an answer that begins at `at`."""
    data = bytearray()
    if response.status_code != _UNSATISFIABLE:
        for piece in response.iter_bytes():
            data += piece
            if len(data) >= stop - at:
                break
    if len(data) < stop - at:
        must = f"{file.name} has {file.size or stop:,} bytes, as the Hub says"
        raise HubError(Problem(must, f"{at + len(data):,}", file.name, "try again"))
    return bytes(data[start - at : stop - at])


def read_small(caller: Caller, ref: Place, file: RemoteFile, most: int) -> bytes:
    """Return a whole small file, checked by its digest. Raises HubError where it has more than `most` bytes."""
    if file.size is not None and file.size > most:
        raise HubError(Problem(f"the file has at most {most:,} bytes", f"{file.size:,}", file.name))
    part = read_part(caller, ref, file, 0, most)
    if part.size > most:
        raise HubError(Problem(f"the file has at most {most:,} bytes", f"{part.size:,}", file.name))
    digest = digest_of(file, part.size)
    if digest is not None:
        digest.update(part.data)
        problem = digest.problem(file.name)
        if problem is not None:
            raise HubError(problem)
    return part.data


def check_size(file: RemoteFile, size: int) -> None:
    """Raise HubError where a file is answered with another size than it was listed with."""
    if file.size is not None and size != file.size:
        must = f"the file has {file.size:,} bytes, as the Hub lists it"
        raise HubError(Problem(must, f"one of {size:,}", file.name, "try again later"))


def _extent(response: httpx2.Response, ref: Place, file: RemoteFile, start: int) -> tuple[int, int]:
    """Return where the answer starts and how long the whole file is."""
    for answer in (*response.history, response):
        commit = answer.headers.get("x-repo-commit")
        if commit is not None and commit != ref.commit:
            must, fix = "the Hub keeps the commit that was asked for", "take the repository again"
            raise HubError(Problem(must, "another one", file.name, fix))
    if response.status_code == _UNSATISFIABLE:
        return start, start
    match = _RANGE.fullmatch(response.headers.get("content-range", ""))
    if response.status_code == httpx2.codes.PARTIAL_CONTENT:
        if match is None or int(match.group(1)) != start:
            raise without_meaning("another part of the file")
        return start, int(match.group(3))
    length = response.headers.get("content-length", "")
    if "content-encoding" not in response.headers and length.isascii() and length.isdigit():
        return 0, int(length)
    if file.size is None:
        raise without_meaning("an answer that does not say its size")
    return 0, file.size
