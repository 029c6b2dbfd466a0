"""What the page may send, checked before anything acts on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from merging_core.errors import BasinError, Problem, closest

__all__ = ["WANTS", "LiveMessage", "MessageError", "ghosts_message", "live_message", "message_of"]

WANTS = ("preview", "path", "layers", "settle")
_LARGEST_SEQUENCE = 2**53
_LONGEST = 80


class MessageError(BasinError):
    """A message does not have the form that the protocol gives it."""


@dataclass(frozen=True)
class LiveMessage:
    """One request for live numbers; the state is not yet read."""

    sequence: int
    page: str
    state: object
    want: str
    fine: bool
    pinned: str | None
    ghosts: bool


_Check = tuple[bool, str, Callable[[Any], bool]]
"""Whether the key must be there, what must hold, and the check."""


def message_of(value: object, keys: Mapping[str, _Check]) -> dict[str, Any]:
    """Check a message against its keys and return it with `None` for what is absent.

    Raises: `MessageError` with every problem.

    >>> message_of({"link": None}, {"link": (False, "link is text", lambda value: isinstance(value, str))})
    {'link': None}
    """
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise MessageError(Problem("a message is an object", type(value).__name__, "message"))
    problems = [
        Problem(
            "a message's keys are known by name", str(key)[:_LONGEST], "message", closest(str(key)[:_LONGEST], keys)
        )
        for key in value
        if key not in keys
    ]
    for key, (needed, must, holds) in keys.items():
        given = value.get(key)
        if (given is None and needed) or (given is not None and not holds(given)):
            problems.append(Problem(must, _shown(given), f"message.{key}"))
    if problems:
        raise MessageError(*problems)
    return {key: value.get(key) for key in keys}


def is_text(longest: int) -> Callable[[Any], bool]:
    """Return a check for text of at most so many characters."""
    return lambda value: isinstance(value, str) and len(value) <= longest


def live_message(value: object) -> LiveMessage:
    """Read a request for live numbers.

    Raises: `MessageError`.
    """
    message = message_of(value, _LIVE)
    return LiveMessage(
        sequence=int(message["seq"]),
        page=message["page"] or "",
        state=message["state"],
        want=message["want"],
        fine=bool(message["fine"]),
        pinned=message["pinned"],
        ghosts=bool(message["ghosts"]),
    )


def ghosts_message(value: object) -> LiveMessage:
    """Read a request for more of what foretells accuracies.

    Raises: `MessageError`.
    """
    keys = ("seq", "page", "state")
    message = message_of(value, {key: _LIVE[key] for key in keys})
    return LiveMessage(int(message["seq"]), message["page"] or "", message["state"], "preview", False, None, True)


def _is_sequence(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_SEQUENCE


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


_LIVE: dict[str, _Check] = {
    "seq": (True, "seq is a whole number from 0 to 2⁵³", _is_sequence),
    "page": (False, "page is text of at most 64 characters", is_text(64)),
    "state": (True, "state is an object", lambda given: isinstance(given, Mapping)),
    "want": (
        True,
        f"want is one of {', '.join(WANTS)}",
        lambda given: isinstance(given, str) and given in WANTS,
    ),
    "fine": (False, "fine is true or false", lambda given: isinstance(given, bool)),
    "pinned": (False, "pinned is a hash", is_text(64)),
    "ghosts": (False, "ghosts is true or false", lambda given: isinstance(given, bool)),
}
