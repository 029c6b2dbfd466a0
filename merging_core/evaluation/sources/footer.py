"""The end of a parquet file: columns, number of rows and features, read from its last bytes alone.

Plain Python over bytes: it needs no download, and a file made to break a reader of parquet breaks nothing here. What is
decoded is Thrift's compact protocol; the fields are those of `parquet.thrift`.
Source: apache/parquet-format, `src/main/thrift/parquet.thrift`; Thrift, `doc/specs/thrift-compact-protocol.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.sources.shards import features_of

__all__ = ["LARGEST_FOOTER", "TAIL", "Footer", "footer_length", "read_footer"]

LARGEST_FOOTER = 4 << 20
"""Bytes of a footer that is read."""
TAIL = 8
"""Bytes at the end of a file that say how long the footer before them is."""

_MAGIC = b"PAR1"
_DEEPEST = 24
_MOST_VALUES = 400_000
_INTEGERS, _BYTES, _TEXT_CONVERTED, _TEXT_LOGICAL = (1, 2), 6, 0, 1
_TYPE, _NAME, _CHILDREN, _CONVERTED, _LOGICAL = 1, 4, 5, 6, 10
_SCHEMA, _ROWS, _METADATA = 2, 3, 5
_MOST_COLUMNS = 4_096


@dataclass(frozen=True)
class Footer:
    """What a shard says of itself."""

    columns: Mapping[str, str]
    """By name: `text`, `bytes`, `number`, `struct` or `other`."""
    rows: int
    features: Mapping[str, Any]
    """The features of the Hub's own metadata, by column; empty where there are none."""


def footer_length(tail: bytes) -> int:
    """Return the bytes of the footer, which end before the last eight; raises EvaluationError for no parquet file.

    >>> footer_length(bytes([5, 0, 0, 0]) + b"PAR1")
    5
    """
    length = int.from_bytes(tail[:4], "little") if len(tail) == TAIL and tail[4:] == _MAGIC else 0
    if not 0 < length <= LARGEST_FOOTER:
        raise _unreadable("another kind of file" if length == 0 else f"a footer of {length:,} bytes")
    return length


def read_footer(data: bytes) -> Footer:
    """Return what the bytes of a footer say. Raises EvaluationError where they are damaged."""
    try:
        found = _Reader(data).struct(0)
        rows = found[_ROWS]
        columns = _columns(found[_SCHEMA])
        metadata = {one[1]: one.get(2, b"") for one in found.get(_METADATA, ())}
        if not isinstance(rows, int) or rows < 0:
            raise ValueError("rows")
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error):
        raise _unreadable("a damaged footer") from None
    return Footer(columns, rows, features_of(metadata))


def _columns(schema: list[dict[int, Any]]) -> dict[str, str]:
    """Return the top columns of a schema, which lists its tree depth first."""
    if len(schema) > _MOST_COLUMNS:
        raise ValueError("columns")
    found: dict[str, str] = {}
    place = 1
    for _ in range(schema[0].get(_CHILDREN, 0)):
        element = schema[place]
        found[element[_NAME].decode()] = _kind(element)
        place = _after(schema, place)
    return found


def _after(schema: list[dict[int, Any]], place: int) -> int:
    """Return the place after an element and everything inside it."""
    left = 1
    while left:
        left += schema[place].get(_CHILDREN, 0) - 1
        place += 1
    return place


def _kind(element: dict[int, Any]) -> str:
    if element.get(_CHILDREN, 0):
        return "struct"
    kind = element.get(_TYPE)
    if kind in _INTEGERS:
        return "number"
    if kind != _BYTES:
        return "other"
    text = element.get(_CONVERTED) == _TEXT_CONVERTED or _TEXT_LOGICAL in element.get(_LOGICAL, {})
    return "text" if text else "bytes"


class _Reader:
    """Thrift's compact protocol over bytes: structs become dictionaries by field number."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._values = data, 0, 0

    def struct(self, depth: int) -> dict[int, Any]:
        """Read a struct."""
        if depth > _DEEPEST:
            raise ValueError("depth")
        found: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            step, kind = head >> 4, head & 15
            number = number + step if step else self._signed()
            found[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth + 1)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES or depth > _DEEPEST:
            raise ValueError("values")
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return struct.unpack("<d", self._bytes(8))[0]
            case 8:
                return self._bytes(self._varint())
            case 9 | 10:
                head = self._byte()
                count = self._varint() if head >> 4 == 15 else head >> 4
                return [self._item(head & 15, depth) for _ in range(min(count, _MOST_VALUES + 1))]
            case 12:
                return self.struct(depth)
        raise ValueError("kind")

    def _item(self, kind: int, depth: int) -> Any:
        return self._value(kind, depth + 1)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise ValueError("length")
        self._at += count
        return self._data[self._at - count : self._at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("number")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _unreadable(got: str) -> EvaluationError:
    return EvaluationError(Problem("a shard is a parquet file that can be read", got))
