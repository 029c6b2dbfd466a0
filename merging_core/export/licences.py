"""What a checkpoint's own card says of its licence, and what follows for a merge of several."""

from __future__ import annotations

import re

from merging_core.checkpoints.files import open_regular
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import CheckpointError, RecipeError
from merging_core.recipes.plain_yaml import load_plain_yaml

__all__ = ["common_licence", "licence_of"]

_CARD = "README.md"
_LARGEST_CARD = 256 * 1024
_DEEPEST = 16
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---\s*(?:\n|\Z)", re.DOTALL)
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]{1,60}")


def licence_of(checkpoint: Checkpoint) -> str | None:
    """Return the licence in the front matter of the card beside a checkpoint, such as `apache-2.0`; None if unknown.

    The card was written by strangers: a card that is missing, too large, or not plain YAML says nothing.
    """
    try:
        with open_regular(checkpoint.folder / _CARD, root=checkpoint.root) as file:
            data = file.read(_LARGEST_CARD + 1)
        match = _FRONT_MATTER.match(data.decode("utf-8-sig")) if len(data) <= _LARGEST_CARD else None
        found = load_plain_yaml(match.group(1), _DEEPEST) if match else None
    except (CheckpointError, RecipeError, UnicodeDecodeError):
        return None
    name = found.get("license") if isinstance(found, dict) else None
    return name if isinstance(name, str) and _NAME.fullmatch(name) else None


def common_licence(licences: list[str | None]) -> str | None:
    """Return the licence of a merge where its parts say which: theirs if it is one, `other` if they are several.

    >>> common_licence(["mit", "mit"]), common_licence(["mit", "apache-2.0"]), common_licence(["mit", None])
    ('mit', 'other', None)
    """
    known = {name for name in licences if name is not None}
    if None in licences or not known:
        return None
    return known.pop() if len(known) == 1 else "other"
