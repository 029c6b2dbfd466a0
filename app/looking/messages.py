"""What the page may send when it looks closer, checked before anything acts on it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.looking.texts import LONGEST_TEXT
from app.own_family import LONGEST_NAME
from app.studio.messages import MessageError, is_text, message_of
from merging_core.errors import Problem

__all__ = ["LONGEST_PICTURE", "ExamplesMessage", "LookMessage", "TextMessage", "TradeOffMessage", "TryMessage"]

LONGEST_PICTURE = 8 * 1024
"""Characters of a picture in base64."""

_LARGEST_SEQUENCE = 2**53
_MOST_EXAMPLES = 100_000
_SUBSETS = ("preview", "full")
_Check = tuple[bool, str, Callable[[Any], bool]]

_STATE: _Check = (True, "state is an object", lambda value: isinstance(value, Mapping))
_PAGE: _Check = (False, "page is text of at most 64 characters", is_text(64))
_TASK: _Check = (True, "task is a name of at most 120 characters", is_text(120))


def _whole(largest: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


_SEQUENCE: _Check = (True, "seq is a whole number from 0 to 2⁵³", _whole(_LARGEST_SEQUENCE))


@dataclass(frozen=True)
class TryMessage:
    """One picture for all models: its gray values, or the place of an example in the validation split's order."""

    sequence: int
    page: str
    state: object
    task: str
    picture: bytes | None
    example: int | None

    @classmethod
    def read(cls, value: object) -> TryMessage:
        """Read a message; raises `MessageError`."""
        message = message_of(
            value,
            {
                "seq": _SEQUENCE,
                "page": _PAGE,
                "state": _STATE,
                "task": _TASK,
                "picture": (
                    False,
                    f"picture is base64 of at most {LONGEST_PICTURE} characters",
                    is_text(LONGEST_PICTURE),
                ),
                "example": (False, f"example is a whole number below {_MOST_EXAMPLES}", _whole(_MOST_EXAMPLES)),
            },
        )
        picture, example = message["picture"], message["example"]
        if (picture is None) == (example is None):
            got = "neither" if picture is None else "both"
            raise MessageError(Problem("a picture or an example is sent", got, "message"))
        values = None if picture is None else _decoded(picture)
        return cls(message["seq"], message["page"] or "", message["state"], message["task"], values, example)


@dataclass(frozen=True)
class LookMessage:
    """One task of a merge, to be looked at closely."""

    sequence: int
    page: str
    state: object
    task: str

    @classmethod
    def read(cls, value: object) -> LookMessage:
        """Read a message; raises `MessageError`."""
        message = message_of(value, {"seq": _SEQUENCE, "page": _PAGE, "state": _STATE, "task": _TASK})
        return cls(message["seq"], message["page"] or "", message["state"], message["task"])


@dataclass(frozen=True)
class TextMessage:
    """A text for all models; without one, whether they read any."""

    sequence: int
    page: str
    state: object
    text: str | None

    @classmethod
    def read(cls, value: object) -> TextMessage:
        """Read a message; raises `MessageError`."""
        text: _Check = (False, f"text has at most {LONGEST_TEXT:,} characters", is_text(LONGEST_TEXT))
        message = message_of(value, {"seq": _SEQUENCE, "page": _PAGE, "state": _STATE, "text": text})
        return cls(message["seq"], message["page"] or "", message["state"], message["text"])


@dataclass(frozen=True)
class TradeOffMessage:
    """One expert of a family, along γ."""

    sequence: int
    page: str
    family: str
    expert: str
    subset: str

    @classmethod
    def read(cls, value: object) -> TradeOffMessage:
        """Read a message; raises `MessageError`."""
        known = ", ".join(_SUBSETS)
        message = message_of(
            value,
            {
                "seq": _SEQUENCE,
                "page": _PAGE,
                "family": (True, f"family is a name of at most {LONGEST_NAME} characters", is_text(LONGEST_NAME)),
                "expert": (True, "expert is a reference of at most 300 characters", is_text(300)),
                "subset": (True, f"subset is one of {known}", lambda given: given in _SUBSETS),
            },
        )
        return cls(message["seq"], message["page"] or "", message["family"], message["expert"], message["subset"])


@dataclass(frozen=True)
class ExamplesMessage:
    """Some validation pictures of a task, from a place in the split's order."""

    family: str
    task: str
    start: int

    @classmethod
    def read(cls, value: object) -> ExamplesMessage:
        """Read a message; raises `MessageError`."""
        message = message_of(
            value,
            {
                "family": (True, f"family is a name of at most {LONGEST_NAME} characters", is_text(LONGEST_NAME)),
                "task": _TASK,
                "start": (False, f"start is a whole number below {_MOST_EXAMPLES}", _whole(_MOST_EXAMPLES)),
            },
        )
        return cls(message["family"], message["task"], message["start"] or 0)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MessageError(Problem("a picture is gray values in base64", "another text", "message.picture")) from None
