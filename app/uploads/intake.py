"""An upload on its way to the disk: its start is looked at before the rest is taken, the whole when it is there.

What a file is follows from its first bytes, never from its name. Nothing here loads anything: a header is read, a text
is decoded, an archive is unpacked; tables of strangers are left to worker processes.
"""

from __future__ import annotations

import codecs
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from app.uploads.archives import unpack
from app.uploads.problems import UploadError
from merging_core.checkpoints.config import CONFIG_BYTES, parse_json_object
from merging_core.checkpoints.header import MAX_HEADER_BYTES, check_header
from merging_core.checkpoints.reader import CONFIG_NAME, MODEL_NAME, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.checkpoints.sniff import what_it_is
from merging_core.checkpoints.uploads import checkpoint_address
from merging_core.errors import Problem

__all__ = ["KINDS", "LARGEST_START", "Checked", "Intake", "check_start", "checked_checkpoint", "data_path"]

KINDS = ("checkpoint", "data")
_LENGTH = 8
_SNIFFED = 4096
LARGEST_START = CONFIG_BYTES + MAX_HEADER_BYTES + _LENGTH
"""Bytes that the start of an upload may have: a configuration and a header."""
_FILES = {"checkpoint": MODEL_NAME, "csv": "data.csv", "parquet": "data.parquet", "zip": "archive.zip"}
_PARQUET = b"PAR1"
_LARGEST_FOOTER = 64 << 20
_PIECE = 1 << 20
_PICTURES = "pictures"
_DATA_FIX = "give a CSV or parquet file, or a zip archive of one folder a class"


@dataclass(frozen=True)
class Checked:
    """An upload that is whole and what it should be."""

    form: str
    """`checkpoint`, `csv`, `parquet` or `pictures`."""
    address: str
    content: str
    """The content digest of weights, the sha256 of a file."""
    about: dict[str, Any]
    """What the page says of it: `leaves`, `parameters`, `config`; of pictures `files` and `classes`."""


def check_start(kind: str, name: str, size: int, config: int, data: bytes) -> str:
    """Look at the first bytes of an upload, configuration first, and return the form of its file of `size` bytes.

    Raises CheckpointError for everything that is wrong with configuration or header, UploadError for data that are none
    of the forms and for a start that is too short to say.
    """
    if config:
        parse_json_object(data[:config], CONFIG_NAME)
    start = data[config:]
    if len(data) < config or len(start) < _wanted(kind, start, size):
        must, got = "the start of a file comes whole", f"{len(data):,} bytes"
        raise UploadError(Problem(must, got, name, "send the file again"))
    return _form(kind, start, size, name)


def _wanted(kind: str, start: bytes, size: int) -> int:
    """Return how many of the first bytes `_form` must see, as far as `start` can tell."""
    if kind != "checkpoint" or len(start) < _LENGTH:
        return min(size, _SNIFFED if kind != "checkpoint" else _LENGTH)
    length = int.from_bytes(start[:_LENGTH], "little")
    return _LENGTH + length if length <= min(MAX_HEADER_BYTES, size - _LENGTH) else min(size, _SNIFFED)


def _form(kind: str, start: bytes, size: int, name: str) -> str:
    """Look at the first bytes of a file of `size` bytes and return its form.

    Raises CheckpointError for everything that is wrong with a header, UploadError for data that are none of the forms;
    both name what the file is instead, where its first bytes tell.
    """
    if kind == "checkpoint":
        check_header(start, size, name)
        return "checkpoint"
    if start.startswith(_PARQUET):
        return "parquet"
    if start.startswith(b"PK\x03\x04"):
        return "zip"
    must = "data are a CSV file, a parquet file or a zip archive"
    if instead := what_it_is(start):
        raise UploadError(Problem(must, instead, name, _DATA_FIX))
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start[:_SNIFFED])
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UploadError(Problem(must, "something else", name, _DATA_FIX))
    if "," not in text.lstrip("\r\n").partition("\n")[0]:
        must = "a CSV file begins with a line that names its columns"
        raise UploadError(Problem(must, "another", name, "separate the names with commas"))
    return "csv"


@dataclass
class Intake:
    """Takes an upload piece by piece into `folder`; `config` bytes of configuration come before the file itself."""

    folder: Path
    kind: str
    name: str
    size: int
    config: int = 0
    form: str = ""
    """What it is, once its start was seen."""
    received: int = 0
    _start: bytearray = field(default_factory=bytearray)
    _config: bytes = b""
    _file: BinaryIO | None = None

    def take(self, data: bytes) -> None:
        """Take the next bytes. Raises as `check_start` does, as soon as the start is there, and OSError."""
        self.received += len(data)
        if self._file is not None:
            self._file.write(data)
            return
        self._start += data
        begin = bytes(self._start[self.config : self.config + _LENGTH])
        wanted = max(_wanted(self.kind, begin, self.size), min(_LENGTH, self.size))
        if len(self._start) < self.config + wanted:
            return
        self.form = check_start(self.kind, self.name, self.size, self.config, bytes(self._start))
        self._config = bytes(self._start[: self.config])
        self._file = (self.folder / _FILES[self.form]).open("xb")
        self._file.write(self._start[self.config :])
        self._start.clear()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def finish(self, most: int) -> Checked:
        """Put the whole file on the disk and check all of it; an archive is unpacked to at most `most` bytes.

        Raises BasinError for what is wrong with it.
        """
        expected = self.config + self.size
        if self._file is None or self.received != expected:
            got = f"{self.received:,}"
            raise UploadError(Problem(f"all {expected:,} bytes come", got, self.name, "send the file again"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        path = self.folder / _FILES[self.form]
        if self.form == "checkpoint":
            return self._checkpoint(path)
        content = _sha256(path)
        if self.form == "csv":
            _check_text(path, self.name)
        elif self.form == "parquet":
            _check_parquet(path, self.name)
        else:
            found = unpack(path, self.folder / _PICTURES, self.name, most)
            path.unlink()
            return Checked(_PICTURES, content, content, {"files": found.files, "classes": found.classes})
        return Checked(self.form, content, content, {})

    def _checkpoint(self, path: Path) -> Checked:
        if self._config:
            with (path.parent / CONFIG_NAME).open("xb") as out:
                out.write(self._config)
                out.flush()
                os.fsync(out.fileno())
        return checked_checkpoint(path, self._config, self.name)


def checked_checkpoint(path: Path, config: bytes, name: str) -> Checked:
    """Read all of a checkpoint's file, beside which its `config.json` lies where there is one.

    Raises CheckpointError for what is wrong with it.
    """
    opened = open_checkpoint(path, Ref("file", name), label=name)
    content = opened.compute_content()
    about = {"parameters": opened.elements, "leaves": len(opened.leaves), "config": bool(config)}
    return Checked("checkpoint", checkpoint_address(content, config), content, about)


def data_path(folder: Path) -> Path | None:
    """Return the file or folder of data in an upload's folder; None where it holds none."""
    places = (folder / _FILES["csv"], folder / _FILES["parquet"], folder / _PICTURES)
    return next((place for place in places if place.exists()), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_text(path: Path, name: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                if "\0" in decoder.decode(piece):
                    raise UploadError(Problem("a table is text", "a byte of zeros", name, "save it as CSV in UTF-8"))
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        must, got = "a table is text in UTF-8", "bytes that are not"
        raise UploadError(Problem(must, got, name, "save it as CSV in UTF-8")) from None


def _check_parquet(path: Path, name: str) -> None:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        tail = file.read()
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _PARQUET or not 0 < length <= min(_LARGEST_FOOTER, size - 12):
        must, got = "a parquet file ends with its list of columns", "another end"
        raise UploadError(Problem(must, got, name, "it is truncated: save it again"))
