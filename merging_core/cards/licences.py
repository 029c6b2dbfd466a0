"""What a checkpoint's own card says of its licence, and what follows for a merge of several and for publishing it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from merging_core.checkpoints.files import open_regular
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import CheckpointError, Problem, RecipeError
from merging_core.recipes.plain_yaml import load_plain_yaml

__all__ = ["common_licence", "hindrances", "licence_of", "licences_in", "with_licence"]

_CARD = "README.md"
_LARGEST_CARD = 256 * 1024
_DEEPEST = 16
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---\s*(?:\n|\Z)", re.DOTALL)
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]{1,60}")
_LINEAGE = re.compile(r"^## Lineage\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_ESCAPE = re.compile(r"\\(.)")
_CELLS = 5
_UNSAID = ("other", "unknown")
"""Names with which a card on the Hub says that its licence is none of the known ones."""
_COMMERCE = re.compile(r"(?:^|-)nc(?:-|$)|non-?commercial|research")
_DERIVATIVES = re.compile(r"(?:^|-)nd(?:-|$)|no-?derivatives")


def licence_of(checkpoint: Checkpoint) -> str | None:
    """Return the licence in the front matter of the card beside a checkpoint, such as `apache-2.0`; None if unknown.

    The card was written by strangers: a card that is missing, too large, or not plain YAML says nothing.
    """
    try:
        with open_regular(checkpoint.folder / _CARD, root=checkpoint.root) as file:
            data = file.read(_LARGEST_CARD + 1)
        found = _front_matter(data.decode("utf-8-sig")) if len(data) <= _LARGEST_CARD else None
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


def licences_in(card: str) -> dict[str, str | None]:
    r"""Return the licence of each part of a merge, by its name, as the lineage table of an exported card says it.

    >>> row = "| model | zoo:tiny/digits | 1 | cc-by-4.0 | `5e` |"
    >>> licences_in(f"## Lineage\n\n| role | model | weight | licence | content |\n| --- | --- |\n{row}\n")
    {'zoo:tiny/digits': 'cc-by-4.0'}
    """
    section = _LINEAGE.search(card)
    found: dict[str, str | None] = {}
    for line in section.group(1).splitlines() if section else ():
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        if len(cells) < _CELLS or cells[0] not in ("base", "model"):
            continue
        name, licence = _ESCAPE.sub(r"\1", "|".join(cells[1:-3])), cells[-2]
        known = licence if _NAME.fullmatch(licence) and licence not in _UNSAID else None
        found[name] = known if found.get(name, known) == known else None
    return found


def hindrances(licences: Mapping[str, str | None]) -> tuple[Problem, ...]:
    """Say which parts keep a merge from being published: no known licence, no derivatives, or no commercial use.

    Other terms (attribution, share alike) are for whoever publishes to obey; the card lists them.

    >>> hindrances({"zoo:tiny/base": "mit", "hub:a/b": "cc-by-nd-4.0"})[0].got
    'cc-by-nd-4.0, which forbids derivatives,'
    """
    problems = []
    for name, licence in licences.items():
        if licence is None:
            got = "none that is known"
        elif _DERIVATIVES.search(licence):
            got = f"{licence}, which forbids derivatives,"
        elif _COMMERCE.search(licence):
            got = f"{licence}, which forbids commercial use,"
        else:
            continue
        must = "the licence of each part lets a merge be published"
        problems.append(Problem(must, got, name, "if its authors allow it, name the licence to publish under"))
    return tuple(problems)


def with_licence(card: str, licence: str) -> str:
    """Return a card whose front matter names this licence, the rest as it was.

    Raises: `RecipeError` if the name is none as the Hub writes it, or the card has no front matter.

    >>> card = "---\\nlicense: other\\nlicense_name: x\\ntags: [a]\\n---\\n# Card\\n"
    >>> print(with_licence(card, "mit").partition("#")[0])
    ---
    license: mit
    tags:
    - a
    ---
    <BLANKLINE>
    """
    if not _NAME.fullmatch(licence):
        must = "a licence is named as the Hub names it, such as apache-2.0"
        raise RecipeError(Problem(must, repr(licence[:60]), "licence"))
    fields = _front_matter(card)
    if not isinstance(fields, dict):
        raise RecipeError(Problem("the card begins with front matter", "none", _CARD, "export the merge again"))
    kept = {key: value for key, value in fields.items() if key not in ("license", "license_name", "license_link")}
    front = yaml.safe_dump({"license": licence, **kept}, sort_keys=False, allow_unicode=True, width=120)
    return _FRONT_MATTER.sub(lambda _: f"---\n{front}---\n", card, count=1)


def _front_matter(card: str) -> object:
    match = _FRONT_MATTER.match(card)
    return load_plain_yaml(match.group(1), _DEEPEST) if match else None
