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

from app.uploads.archives import PackedAdapter, adapter_in, unpack, unpack_adapter
from app.uploads.problems import UploadError
from merging_core.checkpoints.adapter_config import ADAPTER_CONFIG, ADAPTER_MODEL, read_adapter_config
from merging_core.checkpoints.adapter_facts import adapter_facts
from merging_core.checkpoints.adapter_leaves import is_factor
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
_FILES = {
    "checkpoint": MODEL_NAME,
    "adapter": ADAPTER_MODEL,
    "csv": "data.csv",
    "parquet": "data.parquet",
    "zip": "archive.zip",
}
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
    """What the page says of it: `leaves`, `parameters`, `config`, `adapter`; of pictures `files` and `classes`."""


def check_start(kind: str, name: str, size: int, config: int, data: bytes) -> str:
    """Look at the first bytes of an upload, configuration first, and return the form of its file of `size` bytes.

    A checkpoint whose configuration is that of PEFT is an `adapter`.
    Raises CheckpointError for everything that is wrong with configuration or header, UploadError for data that are none
    of the forms and for a start that is too short to say.
    """
    adapts = bool(config) and "peft_type" in (told := parse_json_object(data[:config], CONFIG_NAME))
    if adapts:
        read_adapter_config(told)
    start = data[config:]
    if len(data) < config or len(start) < _wanted(kind, start, size):
        must, got = "the start of a file comes whole", f"{len(data):,} bytes"
        raise UploadError(Problem(must, got, name, "send the file again"))
    form = _form(kind, start, size, name)
    if form == "checkpoint":
        _check_pair(start, size, name, adapts)
    return "adapter" if adapts else form


def _check_pair(start: bytes, size: int, name: str, adapts: bool) -> None:
    """Raise UploadError where only one of file and configuration is a LoRA adapter's."""
    factors = any(is_factor(leaf.name) for leaf in check_header(start, size, name)[0])
    if factors and not adapts:
        fix = f"choose {ADAPTER_CONFIG} together with it"
        raise UploadError(Problem(f"a LoRA adapter comes with its {ADAPTER_CONFIG}", "the file alone", name, fix))
    if adapts and not factors:
        fix = f"choose the file that lies beside {ADAPTER_CONFIG}"
        raise UploadError(Problem("a LoRA adapter holds the factors A and B of layers", "none", name, fix))


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
        if self.form in ("checkpoint", "adapter"):
            return self._checkpoint(self._config)
        if self.form == "zip" and (packed := adapter_in(path, self.name)) is not None:
            return self._unpacked(path, packed, most)
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

    def _unpacked(self, path: Path, packed: PackedAdapter, most: int) -> Checked:
        """Take a LoRA adapter out of an archive, and check it as one that came as two files."""
        unpack_adapter(path, packed, self.folder, self.name, most)
        path.unlink()
        config, weights = self.folder / ADAPTER_CONFIG, self.folder / ADAPTER_MODEL
        said = config.read_bytes()
        read_adapter_config(parse_json_object(said, ADAPTER_CONFIG))
        with weights.open("rb") as file:
            start = file.read(LARGEST_START - CONFIG_BYTES)
        config.unlink()
        self.form = check_start("checkpoint", self.name, weights.stat().st_size, len(said), said + start)
        return self._checkpoint(said)

    def _checkpoint(self, config: bytes) -> Checked:
        name = ADAPTER_CONFIG if self.form == "adapter" else CONFIG_NAME
        if config:
            with (self.folder / name).open("xb") as out:
                out.write(config)
                out.flush()
                os.fsync(out.fileno())
        return checked_checkpoint(self.folder, config, self.name)


def checked_checkpoint(path: Path, config: bytes, name: str) -> Checked:
    """Read all of a checkpoint in a folder or a file; `config` is the configuration beside it, empty where none is.

    Raises CheckpointError for what is wrong with it.
    """
    opened = open_checkpoint(path, Ref("file", name), label=name)
    content, facts = opened.compute_content(), adapter_facts(opened)
    about = {"parameters": opened.elements, "leaves": len(opened.leaves), "config": bool(config)}
    told = about if facts is None else {**about, "adapter": facts.as_json()}
    return Checked("checkpoint", checkpoint_address(content, config), content, told)


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
