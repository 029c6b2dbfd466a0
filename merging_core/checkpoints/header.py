"""Our own strict check of a safetensors header, made before any library opens the file.

The format (huggingface/safetensors, “Format”): eight bytes N (little-endian), N bytes of JSON, then the data, which the
leaves cover from start to end without a hole. We accept a subset of what safetensors accepts: bounded counts and sizes,
no duplicate or unknown keys, plain names. Whatever passes here opens there; what is refused is refused in a sentence.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merging_core.checkpoints.config import JSONRefused, duplicate_refused, is_utf8, json_depth
from merging_core.checkpoints.dtypes import KNOWN_DTYPES, item_size
from merging_core.checkpoints.files import Fingerprint, fingerprint, open_regular, read_fully
from merging_core.checkpoints.sniff import what_it_is
from merging_core.errors import CheckpointError, Problem, closest

__all__ = ["MAX_HEADER_BYTES", "MAX_LEAVES", "FileHeader", "LeafHeader", "LeafSpec", "check_header", "read_header"]

MAX_HEADER_BYTES = 16 << 20
MAX_LEAVES = 50_000
MAX_RANK = 8
MAX_DIMENSION = 1 << 40
MAX_ELEMENTS = 1 << 48
_LISTED = 8
"""Problems of one file that are told one by one; then the check stops."""
_LENGTH_BYTES, _SMALLEST = 8, 10
_NAME = re.compile(r"[A-Za-z0-9_.:/+@~#=,|()\[\]*-]{1,512}")
_LONGEST_SHOWN = 80


@dataclass(frozen=True)
class LeafSpec:
    """A leaf's name, dtype (safetensors spelling) and shape: all that is known before its data exists.

    >>> leaf = LeafSpec("norm.weight", "BF16", (160,))
    >>> leaf.elements, leaf.nbytes
    (160, 320)
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """The number of scalars; 1 for a leaf without dimensions."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of its data."""
        return self.elements * item_size(self.dtype)


@dataclass(frozen=True)
class LeafHeader(LeafSpec):
    """A leaf in a file: its data are `nbytes` bytes from `offset`, counted from the start of `file`."""

    file: str
    offset: int


@dataclass(frozen=True)
class FileHeader:
    """What the header of one safetensors file says, and which file said it."""

    file: str
    fingerprint: Fingerprint
    leaves: tuple[LeafHeader, ...]
    """In the order of their data."""
    metadata: dict[str, str]


def read_header(path: Path, *, root: Path | None = None) -> FileHeader:
    """Read and check the header of a safetensors file; never its data.

    Reads at most 16 MiB. Raises CheckpointError naming the file and the leaf, with all that is wrong at once. A symlink
    is refused unless it resolves inside `root`.
    """
    with open_regular(path, root=root) as file:
        found = fingerprint(file)
        start = read_fully(file, _LENGTH_BYTES, path.name)
        length = int.from_bytes(start, "little")
        header = b""
        if len(start) == _LENGTH_BYTES and length <= min(MAX_HEADER_BYTES, found.size - _LENGTH_BYTES):
            header = read_fully(file, length, path.name)
        elif found.size > len(start):
            header = read_fully(file, 256, path.name)  # enough to say what it is instead
    leaves, metadata = check_header(start + header, found.size, path.name)
    return FileHeader(path.name, found, leaves, metadata)


def check_header(data: bytes, size: int, file: str) -> tuple[tuple[LeafHeader, ...], dict[str, str]]:
    """Check the first bytes of a safetensors file of `size` bytes; return its leaves and its metadata.

    Raises CheckpointError; nothing else, whatever the bytes.

    >>> text = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    >>> leaves, _ = check_header(len(text).to_bytes(8, "little") + text, 8 + len(text) + 8, "model.safetensors")
    >>> leaves[0].shape, leaves[0].offset
    ((2,), 62)
    >>> check_header(len(text).to_bytes(8, "little") + text, 8 + len(text) + 7, "model.safetensors")
    Traceback (most recent call last):
    merging_core.errors.CheckpointError: model.safetensors: the file has 70 bytes, but 69 bytes came; it is truncated: download or save it again.
    """  # noqa: E501
    length = _header_length(data, size, file)
    entries = _parse(data[_LENGTH_BYTES : _LENGTH_BYTES + length], file)
    metadata = _metadata(entries.pop("__metadata__", {}), file)
    if not 1 <= len(entries) <= MAX_LEAVES:
        got = f"{len(entries)}" if entries else "none"
        raise CheckpointError(Problem(f"a file holds 1 to {MAX_LEAVES} leaves", got, file))
    start = _LENGTH_BYTES + length
    leaves: list[LeafHeader] = []
    problems: list[Problem] = []
    for name, entry in entries.items():
        leaf, wrong = _leaf(name, entry, start, file)
        problems.extend(wrong)
        if leaf is not None:
            leaves.append(leaf)
        if len(problems) > _LISTED:
            break
    if not problems:
        leaves.sort(key=lambda leaf: (leaf.offset, leaf.nbytes))
        problems.extend(_cover(leaves, start, size, file))
    if problems:
        raise CheckpointError(*_listed(problems, file))
    return tuple(leaves), metadata


def _header_length(data: bytes, size: int, file: str) -> int:
    kind = what_it_is(data)
    if size < _SMALLEST:
        must = "a safetensors file has at least 10 bytes"
        raise CheckpointError(Problem(must, f"{size} bytes", file, "download or save it again"))
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    problem = None
    if length > MAX_HEADER_BYTES:
        problem = Problem(f"the header length is at most {MAX_HEADER_BYTES} bytes", f"{length}", file)
    elif length > size - _LENGTH_BYTES:
        must = "the header length fits into the file"
        problem = Problem(must, f"{length} bytes of header in a file of {size}", file, "it is truncated")
    elif length < _SMALLEST - _LENGTH_BYTES:
        problem = Problem("the header length is at least 2 bytes", f"{length}", file)
    elif data[_LENGTH_BYTES : _LENGTH_BYTES + 1] != b"{":
        problem = Problem("the header starts with “{”", ascii(data[_LENGTH_BYTES : _LENGTH_BYTES + 8]), file)
    elif len(data) < _LENGTH_BYTES + length:
        problem = Problem("the file stays as it is while it is read", "a shorter file", file, "try again")
    if problem is None:
        return length
    if kind:
        fix = "save the model as safetensors"
        raise CheckpointError(Problem("only safetensors files are accepted", kind, file, fix))
    raise CheckpointError(problem)


def _parse(header: bytes, file: str) -> dict[str, Any]:
    where = f"{file}: header"
    # Small texts can unfold into many objects: count what costs memory before anything is built.
    if any(header.count(mark) > times * MAX_LEAVES for mark, times in ((b"{", 4), (b"[", 8), (b",", 40))):
        must = f"a file holds at most {MAX_LEAVES} leaves"
        raise CheckpointError(Problem(must, "a header with far more entries", file))
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(Problem("the header is UTF-8", f"a byte that is not, at {error.start}", where)) from None
    if json_depth(text, 3) > 3:
        raise CheckpointError(Problem("the header is nested at most 3 deep", "deeper nesting", where))
    try:
        value = json.loads(
            text,
            object_pairs_hook=duplicate_refused,
            parse_int=_whole,
            parse_float=_not_whole,
            parse_constant=_not_whole,
        )
    except json.JSONDecodeError as error:
        raise CheckpointError(Problem("the header is JSON", f"{error.msg.lower()} at {error.pos}", where)) from None
    except JSONRefused as error:
        raise CheckpointError(Problem(error.must, error.got, where)) from None
    if not isinstance(value, dict):
        raise CheckpointError(Problem("the header is an object", f"a {type(value).__name__}", where))
    return value


def _whole(digits: str) -> int:
    if digits.startswith("-") or len(digits) > 19:
        raise JSONRefused("numbers are whole and between 0 and 2^63", digits[:24])
    return int(digits)


def _not_whole(digits: str) -> int:
    raise JSONRefused("numbers are whole and between 0 and 2^63", digits[:24])


def _metadata(value: Any, file: str) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(text, str) and is_utf8(key + text) for key, text in value.items()):
        return dict(value)
    raise CheckpointError(Problem("__metadata__ maps text to text", "something else", f"{file}: header"))


def _leaf(name: str, entry: Any, start: int, file: str) -> tuple[LeafHeader | None, list[Problem]]:
    if not _NAME.fullmatch(name):
        must = "a leaf's name has 1 to 512 plain characters without spaces, quotes or < > & \\"
        return None, [Problem(must, f"{_shown(name)} of {len(name)} characters", file)]
    where = f"{file}: {name}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        got = _shown(list(entry) if isinstance(entry, dict) else entry)
        return None, [Problem("an entry has dtype, shape and data_offsets and nothing else", got, where)]
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    problems = []
    if not isinstance(dtype, str) or dtype not in KNOWN_DTYPES:
        fix = closest(dtype[:_LONGEST_SHOWN], KNOWN_DTYPES) if isinstance(dtype, str) else ""
        problems.append(Problem("the dtype is one that can be read", _shown(dtype), where, fix))
    if (wrong := _wrong_shape(shape)) is not None:
        problems.append(Problem(*wrong, where))
    pair = isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_whole, offsets))
    if not pair:
        problems.append(Problem("data_offsets are two whole numbers", _shown(offsets), where))
    elif offsets[0] > offsets[1]:
        problems.append(Problem("data_offsets begin before they end", f"{offsets}", where))
    if problems:
        return None, problems
    leaf = LeafHeader(name, dtype, tuple(shape), file, start + offsets[0])
    if leaf.nbytes != offsets[1] - offsets[0]:
        must = f"{dtype} of shape {list(shape)} takes {leaf.nbytes} bytes"
        return None, [Problem(must, f"{offsets[1] - offsets[0]} bytes", where)]
    return leaf, []


def _wrong_shape(shape: Any) -> tuple[str, str] | None:
    shown = _shown(shape)
    if not isinstance(shape, list) or not all(map(_is_whole, shape)):
        return "the shape is a list of whole numbers", shown
    if len(shape) > MAX_RANK:
        return f"a leaf has at most {MAX_RANK} dimensions", f"{len(shape)}"
    if any(dimension > MAX_DIMENSION for dimension in shape):
        return "a dimension is at most 2^40", shown
    if math.prod(max(dimension, 1) for dimension in shape) > MAX_ELEMENTS:
        return "a leaf has at most 2^48 elements", shown
    return None


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _cover(leaves: list[LeafHeader], start: int, size: int, file: str) -> list[Problem]:
    """Check that the leaves follow one another without hole or overlap, and end where the file ends."""
    problems = []
    end = start
    for leaf in leaves:
        if leaf.offset != end:
            what = "a hole before it" if leaf.offset > end else "an overlap with the leaf before it"
            got = f"{what} (data starts at {leaf.offset - start}, expected {end - start})"
            problems.append(Problem("leaves follow one another without holes or overlaps", got, f"{file}: {leaf.name}"))
        end = leaf.offset + leaf.nbytes
        if len(problems) > _LISTED:
            break
    if not problems and end != size:
        what = "it is truncated: download or save it again" if end > size else "it has extra bytes at its end"
        problems.append(Problem(f"the file has {end} bytes", f"{size} bytes", file, what))
    return problems


def _listed(problems: list[Problem], file: str) -> list[Problem]:
    if len(problems) <= _LISTED:
        return problems
    must = f"at most {_LISTED} problems are listed for one file"
    return [*problems[:_LISTED], Problem(must, "one more, where the check stopped,", file)]
