"""Names, tags and differences as words: what a visitor writes is made one short, printable line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.families import Family
from merging_core.errors import Problem
from merging_core.recipes import parse_recipe
from merging_core.recipes.differences import differences, name_of

from .forms import ResultError

__all__ = ["MOST_TAGS", "NAME", "TAG", "difference_words", "one_line", "tags_of"]

NAME = 120
"""Characters of a name."""
TAG = 40
"""Characters of a tag."""
MOST_TAGS = 12
"""Tags of one result."""


def one_line(text: str) -> str:
    """Return text without what cannot be printed, its spaces made single.

    >>> one_line("  a\\tname\\u202e of\\nmine ")
    'a name of mine'
    """
    spaced = "".join(" " if character.isspace() else character for character in text)
    return " ".join("".join(character for character in spaced if character.isprintable()).split())


def tags_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return tags as they are kept: one line each, lower case, none twice.

    Raises: `ResultError` if one is empty or too long.

    >>> tags_of(["Baseline", "baseline ", "for the talk"])
    ('baseline', 'for the talk')
    """
    tags = tuple(dict.fromkeys(one_line(text).lower() for text in texts))
    wrong = [tag for tag in tags if not 0 < len(tag) <= TAG]
    if wrong:
        raise ResultError(*(Problem(f"a tag has 1 to {TAG} characters", str(len(tag)), "tags") for tag in wrong[:5]))
    return tags


def difference_words(a: Mapping[str, Any], b: Mapping[str, Any], family: Family | None) -> list[str]:
    """Say how recipe `b` differs from recipe `a`, both as JSON; experts by their titles where the family has them.

    Raises: `RecipeError` if one is no recipe.
    """

    def name(ref: str) -> str:
        known = family is not None and ref.partition("@")[0] in family.refs
        return family.title_of(ref) if known and family is not None else name_of(ref)

    return list(differences(parse_recipe(a), parse_recipe(b), name))
