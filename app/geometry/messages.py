"""What the page may send about studies, checked before anything acts on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.geometry.pictures import MOST
from app.studio.messages import is_text, message_of

__all__ = [
    "LookMessage",
    "PicturesMessage",
    "look_message",
    "pictures_message",
    "state_and_spec",
    "state_of",
    "watch_message",
]

_LARGEST_SEQUENCE = 2**53
_LONGEST_NAME = 120


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_sequence(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_SEQUENCE


def _is_examples(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MOST and all(_is_example(one) for one in value)


def _is_example(value: object) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"task", "example"}:
        return False
    return is_text(_LONGEST_NAME)(value["task"]) and _is_sequence(value["example"])


_STATE = (True, "state is an object", _is_object)
_SPEC = (True, "spec is an object", _is_object)


@dataclass(frozen=True)
class LookMessage:
    """More of one study, for one page."""

    sequence: int
    page: str
    state: object
    spec: object


def look_message(value: object) -> LookMessage:
    """Read a message that asks for more of a study; raises MessageError, as all of these do."""
    found = message_of(
        value,
        {
            "seq": (True, "seq is a whole number from 0 to 2⁵³", _is_sequence),
            "page": (False, "page is text of at most 64 characters", is_text(64)),
            "state": _STATE,
            "spec": _SPEC,
        },
    )
    return LookMessage(found["seq"], found["page"] or "", found["state"], found["spec"])


@dataclass(frozen=True)
class PicturesMessage:
    """Examples of one study, of one split, each a task and an index in its split."""

    state: object
    spec: object
    split: str
    examples: tuple[tuple[str, int], ...]


def pictures_message(value: object) -> PicturesMessage:
    """Read a message that asks for examples of a study as pictures."""
    found = message_of(
        value,
        {
            "state": _STATE,
            "spec": _SPEC,
            "split": (True, "split is the name of one", is_text(_LONGEST_NAME)),
            "examples": (True, f"examples are at most {MOST}, each a task and the index of an example", _is_examples),
        },
    )
    wanted = tuple((one["task"], one["example"]) for one in found["examples"])
    return PicturesMessage(found["state"], found["spec"], found["split"], wanted)


def state_of(value: object) -> object:
    """Read a message that holds a state."""
    return message_of(value, {"state": _STATE})["state"]


def state_and_spec(value: object) -> dict[str, Any]:
    """Read a message that holds a state and the specification of a study."""
    return message_of(value, {"state": _STATE, "spec": _SPEC})


def watch_message(value: object) -> dict[str, Any]:
    """Read a message that asks how a job stands."""
    return message_of(
        value,
        {
            "job": (True, "job is the id of a job", is_text(64)),
            "seen": (False, "seen is what the last answer said of it", is_text(64)),
        },
    )
