"""What visitors uploaded, as the data of tasks: whose they are, and where they lie."""

from __future__ import annotations

from pathlib import Path

from app.uploads.shelf import Upload, Uploads
from merging_core.errors import EvaluationError, Problem

__all__ = ["data_of", "is_upload", "source_of", "uploaded_path"]

_START = "upload:"


def is_upload(source: str) -> bool:
    """Say whether a source names an upload."""
    return source.startswith(_START)


def source_of(ref: str) -> str:
    """Return what a task calls an upload: its address alone, so that the same file is the same task for everybody.

    >>> source_of("upload:0123abcd/flags")
    'upload:0123abcd'
    """
    return ref.partition("/")[0]


def data_of(uploads: Uploads | None, visitor: str) -> tuple[Upload, ...]:
    """Return the data that a visitor uploaded, the newest first; checkpoints are none."""
    return tuple(one for one in uploads.of(visitor) if one.form != "checkpoint") if uploads is not None else ()


def uploaded_path(uploads: Uploads | None, source: str) -> Path:
    """Return the file, or the folder of pictures, of an upload.

    Raises: `UploadError` where it is gone or another server's, `EvaluationError` where nothing is uploaded.
    """
    if uploads is None:
        must, fix = "this server takes uploads", "choose other data"
        raise EvaluationError(Problem(must, "one that does not", source[: len(_START) + 8], fix))
    return uploads.data(source).absolute()
