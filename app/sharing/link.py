"""A share link: the studio's whole state in the address, readable without any store.

`?s=1.<payload>` where 1 is the version of this form and the payload is urlsafe base64, without padding, of the
zlib-compressed text with four bytes of its sha256 in front. The text is canonical JSON (sorted keys, no spaces, UTF-8).
A link comes from anybody: each layer is checked before the next is opened, nothing is decompressed beyond its cap.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

from merging_core.errors import LinkError, Problem

__all__ = ["DEEPEST", "LARGEST_TEXT", "LONGEST_LINK", "decode", "encode"]

LONGEST_LINK = 6000
"""Characters of a link's value; browsers and proxies carry addresses of 8 000."""
LARGEST_TEXT = 32 * 1024
"""Bytes of the JSON text inside."""
DEEPEST = 12
"""Levels of nesting of the JSON inside."""

_VERSION = "1"
_PAYLOAD = re.compile(r"[A-Za-z0-9_-]+")
_CHECK = 4
_ADVICE = "ask for the link again; the studio shows its default instead"


def encode(state: Mapping[str, Any]) -> str:
    """Write a state as the value of `s`.

    Raises: `LinkError` if the state is too large for an address.

    >>> decode(encode({"version": 1}))
    {'version': 1}
    """
    text = json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    packed = zlib.compress(hashlib.sha256(text).digest()[:_CHECK] + text, 9)
    value = f"{_VERSION}.{base64.urlsafe_b64encode(packed).rstrip(b'=').decode()}"
    if len(value) > LONGEST_LINK or len(text) > LARGEST_TEXT:
        must = f"a link has at most {LONGEST_LINK} characters"
        raise LinkError(Problem(must, str(len(value)), "link", "use fewer experts or curve points"))
    return value


def decode(value: str) -> dict[str, Any]:
    """Read the value of `s` back into the JSON object of a state; what the object means is checked by `app.state`.

    Raises: `LinkError`, and nothing else, for anything that `encode` would not have written.
    """
    if len(value) > LONGEST_LINK:
        raise _damaged(f"a link has at most {LONGEST_LINK} characters", f"{len(value)}")
    version, dot, payload = value.partition(".")
    if not dot or not version.isascii() or not version.isdigit():
        raise _damaged("a link begins with its version and a dot", repr(value[:12]))
    if version != _VERSION:
        advice = "open it with a newer Basin; the studio shows its default instead"
        raise LinkError(Problem(f"this Basin reads links of version {_VERSION}", version[:12], "link", advice))
    if not _PAYLOAD.fullmatch(payload):
        raise _damaged("a link holds letters, digits, - and _", "another character or nothing")
    text = _unpack(payload)
    try:
        state = json.loads(text.decode("utf-8"), parse_constant=_refuse, parse_float=_finite, parse_int=_short)
    except (ValueError, RecursionError):
        raise _damaged("a link holds JSON text", "something else") from None
    if not isinstance(state, dict):
        raise _damaged("a link holds one object", type(state).__name__)
    if _depth(state) > DEEPEST:
        raise _damaged(f"a link nests at most {DEEPEST} levels", "more")
    return state


def _unpack(payload: str) -> bytes:
    try:
        packed = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        inflate = zlib.decompressobj()
        data = inflate.decompress(packed, LARGEST_TEXT + _CHECK + 1)
    except (binascii.Error, ValueError, zlib.error):
        raise _damaged("a link is whole", "a damaged one") from None
    if len(data) > LARGEST_TEXT + _CHECK:
        raise _damaged(f"a link holds at most {LARGEST_TEXT} bytes of text", "more")
    if not inflate.eof or inflate.unused_data or inflate.unconsumed_tail:
        raise _damaged("a link is whole", "a cut or lengthened one")
    check, text = data[:_CHECK], data[_CHECK:]
    if hashlib.sha256(text).digest()[:_CHECK] != check:
        raise _damaged("a link's check digits fit its text", "a damaged one")
    return text


def _refuse(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _short(text: str) -> int:
    if len(text) > 20:
        raise ValueError("a whole number of more than 20 digits")
    return int(text)


def _depth(value: object) -> int:
    """Return how deep lists and objects are nested, without recursion."""
    deepest, open_values = 0, [(value, 1)]
    while open_values:
        current, depth = open_values.pop()
        if isinstance(current, dict | list):
            deepest = max(deepest, depth)
            children = current.values() if isinstance(current, dict) else current
            open_values.extend((child, depth + 1) for child in children)
    return deepest


def _damaged(must: str, got: str) -> LinkError:
    return LinkError(Problem(must, got, "link", _ADVICE))
