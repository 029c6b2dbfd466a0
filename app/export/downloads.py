"""The addresses of what a job made: single files, and all of them as one archive.

`exports/<job>/files/<name>` answers ranges; `exports/<job>/archive.tar` is put together while it is sent, without a
copy on the disk, and says its length beforehand. A job of somebody else is not found, in the same words as one that
never was. Everything is sent as a download, whatever its name ends in.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from app.job_desk import files_of
from app.jobs import Job, JobError, Jobs
from app.visitors import SCOPE_KEY

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

__all__ = ["archive_length", "archive_pieces", "download_routes"]

_NOT_FOUND = "There is no such file for you: it was deleted, or it is somebody else's. Export the merge again."
_HEADERS = {"cache-control": "private, no-store", "content-encoding": "identity"}
_KIND = "application/octet-stream"
_BLOCK = 512
_PIECE = 1 << 20


def download_routes(jobs: Jobs) -> list[Route]:
    """Return the routes to put before Gradio's own; the visitor is the one of the signed cookie."""

    async def one(request: Request) -> Response:
        job = _own(jobs, request)
        name = request.path_params["name"]
        path = files_of(jobs, job).get(name) if job else None
        if job is None or path is None:
            return _missing()
        return _HeldFile(jobs, job, path)

    async def archive(request: Request) -> Response:
        job = _own(jobs, request)
        files = files_of(jobs, job) if job else {}
        if job is None or not files:
            return _missing()
        return _Archive(jobs, job, files, head=request.method == "HEAD")

    return [
        Route("/exports/{job}/files/{name:path}", one, methods=["GET"]),
        Route("/exports/{job}/archive.tar", archive, methods=["GET"]),
    ]


def archive_length(names: Sequence[str], sizes: Sequence[int]) -> int:
    """Return the bytes of an archive of files with these names and sizes."""
    heads = sum(len(_head(name, size, 0)) for name, size in zip(names, sizes, strict=True))
    return heads + sum(size + -size % _BLOCK for size in sizes) + 2 * _BLOCK


async def archive_pieces(
    folder: str, files: Mapping[str, Path], sizes: Sequence[int], when: int
) -> AsyncIterator[bytes]:
    """Yield a tar archive of files below `folder`, a megabyte at a time.

    Raises OSError if a file is shorter than its size was.
    """
    for (name, path), size in zip(files.items(), sizes, strict=True):
        yield _head(f"{folder}/{name}", size, when)
        left = size
        async with await anyio.open_file(path, "rb") as file:
            while left:
                piece = await file.read(min(_PIECE, left))
                if not piece:
                    raise OSError(f"{name} ended before its size")
                left -= len(piece)
                yield piece
        yield b"\0" * (-size % _BLOCK)
    yield b"\0" * (2 * _BLOCK)


class _HeldFile(FileResponse):
    """One file, kept in place until it is sent."""

    def __init__(self, jobs: Jobs, job: Job, path: Path) -> None:
        super().__init__(path, headers=_HEADERS, media_type=_KIND, filename=path.name)
        self._jobs, self._job = jobs, job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._jobs.reading(self._job.visitor, self._job.id):
            await super().__call__(scope, receive, send)


class _Archive(StreamingResponse):
    """All files in one, kept in place until they are sent."""

    def __init__(self, jobs: Jobs, job: Job, files: Mapping[str, Path], *, head: bool) -> None:
        name = str((job.result or {}).get("name") or "basin-export")
        sizes = [path.stat().st_size for path in files.values()]
        when = int(max(path.stat().st_mtime for path in files.values()))
        length = archive_length([f"{name}/{file}" for file in files], sizes)
        headers = {
            **_HEADERS,
            "content-length": str(length),
            "content-disposition": f'attachment; filename="{name}.tar"',
        }
        body = _nothing() if head else archive_pieces(name, files, sizes, when)
        super().__init__(body, headers=headers, media_type="application/x-tar")
        self._jobs, self._job = jobs, job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._jobs.reading(self._job.visitor, self._job.id):
            await super().__call__(scope, receive, send)


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


def _head(name: str, size: int, when: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, when, 0o644
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _own(jobs: Jobs, request: Request) -> Job | None:
    try:
        return jobs.get(request.scope[SCOPE_KEY], request.path_params["job"])
    except JobError:
        return None


def _missing() -> Response:
    return Response(_NOT_FOUND, 404, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-store"})
