"""References: the short texts by which recipes, links and people name a checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePath

from merging_core.errors import CheckpointError, Problem, closest

__all__ = ["SCHEMES", "Ref", "parse_ref"]

SCHEMES = ("zoo", "file")
"""The schemes that can be opened."""

_LATER = {"hub": "checkpoints from the Hugging Face Hub", "recipe": "merges of merges"}
_LONGEST_ZOO, _LONGEST_FILE, _LONGEST_SHOWN = 128, 4096, 80
_ZOO_PATH = re.compile(r"[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9_-]+)*(?:/[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9_-]+)*){0,3}")
_PIN = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{48})?")


@dataclass(frozen=True)
class Ref:
    """Where a checkpoint lives and, when pinned, what it must contain.

    The pin is the content digest or its first 16 hex digits. The text form is `scheme:path[@pin]`.

    >>> str(Ref("zoo", "tiny/digits", "0123456789abcdef"))
    'zoo:tiny/digits@0123456789abcdef'
    """

    scheme: str
    path: str
    pin: str | None = None

    def __post_init__(self) -> None:
        problems = _problems(self.scheme, self.path, self.pin)
        if problems:
            raise CheckpointError(*problems)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.path}" + (f"@{self.pin}" if self.pin else "")

    @property
    def label(self) -> str:
        """How messages call the checkpoint: of a file only the last part of its path, which a visitor may see.

        >>> Ref("file", "/home/ada/experts/digits").label
        'file:digits'
        """
        return f"{self.scheme}:{self.path if self.scheme == 'zoo' else PurePath(self.path).name or self.path}"

    @property
    def unpinned(self) -> Ref:
        """The same reference without its pin."""
        return replace(self, pin=None)


def parse_ref(text: object) -> Ref:
    """Read `scheme:path[@pin]`.

    A `file:` path may hold an “@”: only 16 or 64 hex digits after the last one are a pin.
    Raises CheckpointError with one sentence for each thing that is wrong.

    >>> parse_ref("zoo:tiny/digits")
    Ref(scheme='zoo', path='tiny/digits', pin=None)
    >>> parse_ref("file:/models/a@b").path
    '/models/a@b'
    """
    if not isinstance(text, str):
        raise CheckpointError(Problem("a reference is text", type(text).__name__, "reference", _advice()))
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise CheckpointError(Problem("a reference is written scheme:path", _shown(text), "reference", _advice()))
    path, at, pin = rest.rpartition("@")
    if at and (scheme == "zoo" or _PIN.fullmatch(pin)):
        return Ref(scheme, path, pin)
    return Ref(scheme, rest)


def _problems(scheme: str, path: str, pin: str | None) -> list[Problem]:
    where = "reference"
    if scheme in _LATER:
        must = f"references start with {' or '.join(f'{name}:' for name in SCHEMES)}"
        return [Problem(must, f"{scheme}:", where, f"{_LATER[scheme]} are not available yet")]
    if scheme not in SCHEMES:
        must = f"references start with {' or '.join(f'{name}:' for name in SCHEMES)}"
        return [Problem(must, _shown(scheme), where, closest(scheme[:_LONGEST_SHOWN], SCHEMES))]
    longest = _LONGEST_ZOO if scheme == "zoo" else _LONGEST_FILE
    problems = []
    if not path or len(path) > longest:
        problems.append(Problem(f"a path has 1 to {longest} characters", str(len(path)), where, _advice()))
    elif not path.isprintable():
        problems.append(Problem("a path has printable characters only", _shown(path), where, _advice()))
    elif scheme == "zoo" and not _ZOO_PATH.fullmatch(path):
        must = "a zoo path is lower-case names joined by “/”"
        problems.append(Problem(must, _shown(path), where, "write it like zoo:tiny/digits"))
    elif scheme == "file" and _PIN.fullmatch(path.rpartition("@")[2]) and "@" in path:
        problems.append(Problem("a file path does not end like a pin", _shown(path), where, "rename the file"))
    if pin is not None and not _PIN.fullmatch(pin):
        fix = "leave the pin out to take what is there now"
        problems.append(Problem("a pin is 16 or 64 hex digits", _shown(pin), where, fix))
    return problems


def _advice() -> str:
    return "write it like zoo:tiny/digits or file:/models/expert"


def _shown(text: str) -> str:
    return ascii(text[:_LONGEST_SHOWN]) if text else "nothing"
