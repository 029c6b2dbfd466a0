"""Unpacking a stranger's zip archive, of pictures or of a LoRA adapter: nothing leaves its folder or grows without end.

An archive says what it holds and how large that is, and may lie about all of it: names are checked, sizes are counted
while they come out, and what is not a picture or a table is passed over.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from app.uploads.problems import TooLargeError, UploadError
from merging_core.checkpoints.adapter_config import ADAPTER_CONFIG, ADAPTER_MODEL
from merging_core.checkpoints.config import CONFIG_BYTES
from merging_core.errors import Problem
from merging_core.evaluation.sources.folders import PICTURE_ENDINGS
from merging_core.evaluation.sources.pictures import canonical_split

__all__ = ["MOST_FILES", "PackedAdapter", "Unpacked", "adapter_in", "unpack", "unpack_adapter"]

MOST_FILES = 50_000
_LARGEST_LIST = 16 << 20
_DEEPEST = 4
_LONGEST_PART = 100
_RATIO = 200
_PIECE = 1 << 20
_TAIL = 22 + 65_535
_MARK = b"PK\x05\x06"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, UnicodeError)
_TABLE = ".csv"
_LISTED = 8


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive."""

    files: int
    classes: int
    """Folders that hold pictures, by name: the same name in two splits is one class."""
    bytes: int


def unpack(archive: Path, folder: Path, name: str, most: int) -> Unpacked:
    """Unpack pictures and tables into a new folder; `name` stands in messages, `most` bytes may come out.

    One folder around everything is left out, so that what lies at the top are classes or splits.
    Raises UploadError for an archive that cannot be read or has a name that leads elsewhere, a link, a secret or too
    many entries; TooLargeError for one that holds more than `most`.
    """
    _check_list(archive, name)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _entries(opened, name)
            sizes = sum(info.file_size for info, _ in entries)
            if sizes > most:
                raise TooLargeError(_too_much(name, most, f"{sizes:,}"))
            parts = _without_wrapper([parts for _, parts in entries])
            written = 0
            for (info, _), place in zip(entries, parts, strict=True):
                written += _write(opened, info, folder.joinpath(*place), name, most - written)
    except _DAMAGED as error:
        raise UploadError(_damaged(name, type(error).__name__)) from None
    pictures = [place for place in parts if Path(place[-1]).suffix.lower() != _TABLE]
    if not pictures:
        must = "an archive holds pictures, one folder a class"
        raise UploadError(Problem(must, "none", name, "pack the folders of the classes"))
    return Unpacked(len(parts), len({place[-2] for place in pictures if len(place) > 1}), written)


@dataclass(frozen=True)
class PackedAdapter:
    """Where the two files of a LoRA adapter lie in an archive, by name; whatever lies beside them is left out."""

    config: str
    weights: str


def adapter_in(archive: Path, name: str) -> PackedAdapter | None:
    """Return where an archive holds a LoRA adapter, at its top or in one folder; None where it holds none.

    Raises UploadError for an archive that cannot be read or has too many entries.
    """
    _check_list(archive, name)
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [info.orig_filename for info in opened.infolist()]
    except _DAMAGED as error:
        raise UploadError(_damaged(name, type(error).__name__)) from None
    found = [one.rpartition("/")[0] for one in names if one.rpartition("/")[2] == ADAPTER_MODEL]
    for folder in found[:1]:
        start = f"{folder}/" if folder else ""
        if len(found) == 1 and names.count(f"{start}{ADAPTER_CONFIG}") == 1:
            return PackedAdapter(f"{start}{ADAPTER_CONFIG}", f"{start}{ADAPTER_MODEL}")
    return None


def unpack_adapter(archive: Path, packed: PackedAdapter, folder: Path, name: str, most: int) -> None:
    """Unpack the two files of a LoRA adapter into a folder that is there, under the names that PEFT gives them.

    Raises as `unpack` does; TooLargeError also where the configuration has more than a configuration may.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for inner, target, limit in (
                (packed.config, ADAPTER_CONFIG, CONFIG_BYTES),
                (packed.weights, ADAPTER_MODEL, most),
            ):
                info = next(info for info in opened.infolist() if info.orig_filename == inner)
                if (refused := _refused(info, tuple(inner.split("/")))) is not None:
                    raise UploadError(Problem(*refused, f"{name}: {ascii(inner[:80])[1:-1]}", "pack the folder again"))
                if info.file_size > limit:
                    raise TooLargeError(_too_much(name, limit, f"{info.file_size:,}"))
                _write(opened, info, folder / target, name, limit)
    except _DAMAGED as error:
        raise UploadError(_damaged(name, type(error).__name__)) from None


def _check_list(archive: Path, name: str) -> None:
    """Read the few bytes that say how long the list of entries is, before anything builds it."""
    with archive.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    at = tail.rfind(_MARK)
    if at < 0 or len(tail) - at < 22:
        raise UploadError(_damaged(name, "no list of entries at its end"))
    count, length, start = struct.unpack("<HII", tail[at + 10 : at + 20])
    if count > MOST_FILES or length > _LARGEST_LIST or start == 0xFFFFFFFF:
        must = f"an archive has at most {MOST_FILES:,} entries"
        raise UploadError(Problem(must, f"{count:,} or more", name, "make several smaller ones"))


def _entries(opened: zipfile.ZipFile, name: str) -> list[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    """Return what is unpacked, with the parts of its path; raises UploadError with every name that is refused."""
    problems: list[Problem] = []
    found: list[tuple[zipfile.ZipInfo, tuple[str, ...]]] = []
    taken: set[str] = set()
    if len(opened.infolist()) > MOST_FILES:
        raise UploadError(Problem(f"an archive has at most {MOST_FILES:,} entries", "more", name))
    for info in opened.infolist():
        parts = tuple(info.orig_filename.split("/"))
        where = f"{name}: {ascii(info.orig_filename[:80])[1:-1]}"
        if (refused := _refused(info, parts)) is not None:
            problems.append(Problem(*refused, where, "pack the folder again"))
        elif not info.is_dir() and _is_wanted(parts):
            same = info.orig_filename.casefold()
            if same in taken:
                problems.append(Problem("each name stands once in an archive", "one twice", where))
            taken.add(same)
            found.append((info, parts))
        if len(problems) == _LISTED:
            break
    if problems:
        raise UploadError(*problems)
    return found


def _refused(info: zipfile.ZipInfo, parts: tuple[str, ...]) -> tuple[str, str] | None:
    """Say what must hold of an entry and what came instead; None where it may be unpacked."""
    text = info.orig_filename
    mode = stat.S_IFMT(info.external_attr >> 16)
    if text.startswith("/") or "\\" in text or ":" in text or ".." in parts:
        return "a name in an archive leads into its folder", "one that leads elsewhere"
    inner = parts[:-1] if info.is_dir() else parts
    if len(inner) > _DEEPEST + 1 or not all(_is_plain(part) for part in inner):
        return f"a name has at most {_DEEPEST} folders, each of 1 to {_LONGEST_PART} printable characters", "another"
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "an archive holds files and folders", "a link or a device"
    if info.flag_bits & 0x1:
        return "an archive can be read without a password", "an entry with one"
    if info.compress_type not in _METHODS:
        return "entries are stored or deflated", "another compression"
    if info.file_size > _RATIO * max(info.compress_size, 1) + _PIECE:
        return f"an entry unfolds at most {_RATIO} times", f"{info.file_size:,} bytes from {info.compress_size:,}"
    return None


def _is_plain(part: str) -> bool:
    return 0 < len(part) <= _LONGEST_PART and part.isprintable() and part not in (".", "..") and part == part.strip()


def _is_wanted(parts: tuple[str, ...]) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not hidden and Path(parts[-1]).suffix.lower() in PICTURE_ENDINGS | {_TABLE}


def _without_wrapper(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave out a folder around everything: below it are folders still, or a table, and it is no split.

    >>> _without_wrapper([("pets", "cat", "1.png"), ("pets", "dog", "1.png")])
    [('cat', '1.png'), ('dog', '1.png')]
    >>> _without_wrapper([("pets", "1.png"), ("pets", "labels.csv")])
    [('1.png',), ('labels.csv',)]
    >>> _without_wrapper([("train", "cat", "1.png")])
    [('train', 'cat', '1.png')]
    """
    tops = {path[0] for path in paths}
    folders = all(len(path) > 2 for path in paths)
    table = any(len(path) == 2 and path[1].lower().endswith(_TABLE) for path in paths)
    if len(tops) == 1 and min(map(len, paths)) > 1 and (folders or table) and canonical_split(next(iter(tops))) is None:
        return [path[1:] for path in paths]
    return paths


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, name: str, most: int) -> int:
    """Write one entry, counting what really comes out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with opened.open(info) as source, target.open("xb") as out:
        while piece := source.read(_PIECE):
            count += len(piece)
            if count > most or count > info.file_size:
                raise TooLargeError(_too_much(name, most, "more than it says"))
            out.write(piece)
    return count


def _too_much(name: str, most: int, got: str) -> Problem:
    return Problem(f"an archive unfolds to at most {most:,} bytes here", got, name, "pack fewer or smaller pictures")


def _damaged(name: str, got: str) -> Problem:
    return Problem("the archive can be read", f"a damaged one ({got})", name, "pack it again")
