"""Reading small JSON files that strangers wrote: `config.json` and the index of shards.

Only the text is made safe here (size, depth, duplicate keys). Which keys of a configuration may reach transformers is
decided where models are built.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from merging_core.checkpoints.files import open_regular, read_fully
from merging_core.errors import CheckpointError, Problem

__all__ = [
    "CONFIG_BYTES",
    "MAX_DEPTH",
    "JSONRefused",
    "duplicate_refused",
    "is_utf8",
    "json_depth",
    "parse_json_object",
    "read_json_object",
]

CONFIG_BYTES = 1 << 20
"""Largest `config.json` that is read."""
MAX_DEPTH = 32
"""Deepest nesting of objects and lists that is read."""

_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""A string, closed or running to the end of the text, or a bracket; possessive, so that it never goes back."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""Where an escape may spell half a character, which UTF-8 cannot."""

_LONGEST_NUMBER = 40


def read_json_object(path: Path, *, root: Path | None = None, limit: int = CONFIG_BYTES) -> dict[str, Any]:
    """Read a JSON object of at most `limit` bytes from a regular file.

    Raises CheckpointError, naming the file, when it is missing, too large, not UTF-8, not JSON, too deep, not an
    object, or says one key twice. A symlink is refused unless it resolves inside `root`.
    """
    with open_regular(path, root=root) as file:
        data = read_fully(file, limit + 1, path.name)
    if len(data) > limit:
        got = f"a file of more than {limit} bytes"
        raise CheckpointError(Problem(f"{path.name} has at most {limit} bytes", got, path.name, "shorten it"))
    return parse_json_object(data, path.name)


def parse_json_object(data: bytes, where: str) -> dict[str, Any]:
    """Parse `data` as one JSON object.

    Raises CheckpointError saying why it is none, or what in it is not accepted: half a character, a number of more
    than 40 digits, nesting deeper than 32, a key twice.

    >>> parse_json_object(b'{"hidden_size": 160}', "config.json")
    {'hidden_size': 160}
    >>> parse_json_object(b'{"a": 1, "a": 2}', "config.json")
    Traceback (most recent call last):
    merging_core.errors.CheckpointError: config.json: each key occurs once, but “a” twice came.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        got = f"a byte that is not, at {error.start}"
        raise CheckpointError(Problem("the text is UTF-8", got, where)) from None
    if json_depth(text, MAX_DEPTH) > MAX_DEPTH:
        raise CheckpointError(Problem(f"JSON is nested at most {MAX_DEPTH} deep", "deeper nesting", where))
    try:
        value = json.loads(text, object_pairs_hook=duplicate_refused, parse_int=_bounded_int)
    except json.JSONDecodeError as error:
        got = f"{error.msg.lower()} at line {error.lineno}"
        raise CheckpointError(Problem("the text is JSON", got, where)) from None
    except JSONRefused as error:
        raise CheckpointError(Problem(error.must, error.got, where)) from None
    if not isinstance(value, dict):
        raise CheckpointError(Problem("the file holds one JSON object", f"a {type(value).__name__}", where))
    if _SURROGATE.search(text) and not is_utf8(json.dumps(value, ensure_ascii=False)):
        raise CheckpointError(Problem("text can be written as UTF-8", "half a surrogate pair", where))
    return value


def json_depth(text: str, limit: int) -> int:
    """Return how deep brackets nest outside strings, stopping just above `limit`.

    >>> json_depth('{"a[[[": [1, [2]]}', 32)
    3
    """
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > limit:
                break
        elif token in "]}":
            depth -= 1
    return deepest


def is_utf8(text: str) -> bool:
    """Say whether text has no lone surrogates, which JSON escapes can spell and UTF-8 cannot.

    >>> is_utf8("λ"), is_utf8("\\ud800")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class JSONRefused(ValueError):
    """What a hook inside the JSON parser found; becomes a CheckpointError outside it."""

    def __init__(self, must: str, got: str) -> None:
        super().__init__(must)
        self.must, self.got = must, got


def duplicate_refused(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from its pairs, refusing a key that occurs twice (an `object_pairs_hook`)."""
    result = dict(pairs)
    if len(result) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = max(counts, key=lambda name: counts[name])
        raise JSONRefused("each key occurs once", f"“{ascii(twice)[1:-1][:80]}” twice")
    return result


def _bounded_int(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise JSONRefused(f"a number has at most {_LONGEST_NUMBER} digits", f"one of {len(digits)}")
    return int(digits)
