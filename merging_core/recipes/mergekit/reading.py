"""From the text of a mergekit recipe to a recipe of ours that means the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from merging_core.errors import RecipeError
from merging_core.recipes.files import read_lines
from merging_core.recipes.mergekit.asked import Asked, Merge
from merging_core.recipes.mergekit.document import Document, read_document
from merging_core.recipes.mergekit.meaning import MEANINGS
from merging_core.recipes.mergekit.places import Places, line_of
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.plain_yaml import TreePath
from merging_core.recipes.recipe import Recipe
from merging_core.space.vocabulary import BY_TOKEN

__all__ = ["Imported", "import_mergekit"]

_STORED = "float32"


@dataclass(frozen=True)
class Imported:
    """A recipe of ours, and what to know about it."""

    recipe: Recipe
    notes: tuple[str, ...] = ()
    """Sentences without a full stop: what has no say in mergekit, and what the recipe leaves open."""
    names_dtype: bool = True
    """Whether the recipe says what the merge is stored in."""


def import_mergekit(data: bytes, folder: Path | None = None, stored: str | None = None) -> Imported:
    """Read a mergekit recipe, YAML of at most 64 KiB, and return the recipe of ours that means the same.

    `folder` is where relative paths of models begin; without it no folders are opened. `stored`: what the merge is
    stored in where the recipe names no dtype; mergekit keeps that of the models.

    Raises RecipeError with every problem, each with its line.

    >>> text = b"merge_method: slerp\\nbase_model: ada/a\\nmodels: [{model: ada/b}]\\nparameters: {t: 0.3}"
    >>> import_mergekit(text).recipe.models[1].ref
    'hub:ada/b'
    """
    tree, lines = read_lines(data)
    places = Places(lines)
    document = read_document(tree, places, folder)
    asked = Asked(document, places)
    _models_fit(asked)
    if asked.problems:
        raise RecipeError(*asked.problems)
    merge = MEANINGS[document.words.name](asked)
    _adapters_fit(asked, merge)
    given, origins = merge.tree(document.base, document.dtype or stored or _STORED)
    if document.tokens is not None:
        _tokens_fit(asked, merge, document.tokens)
        given["vocabulary"], origins["vocabulary"] = BY_TOKEN, document.tokens
    located = replace(places, origins=origins)
    try:
        recipe = parse_recipe(given)
    except RecipeError as error:
        problems = [*asked.problems, *map(located.told, error.problems)]
        raise RecipeError(*sorted(problems, key=line_of)) from error
    if asked.problems:
        raise RecipeError(*asked.problems)
    return Imported(recipe, (*asked.notes, *_notes(document, asked, stored)), document.dtype is not None)


def _models_fit(asked: Asked) -> None:
    """Say what is wrong with the base and the number of models."""
    role, title = asked.words.base, asked.words.name
    here = ("base_model",) if asked.base is not None else ("merge_method",)
    if role in ("needed", "one of the models") and asked.base is None:
        asked.refuse(f"{title} needs a base_model", "nothing", ("merge_method",), "write base_model: owner/name")
        return
    fewest, most = asked.words.models
    if role == "no role":
        count, what = len(asked.models), "models"
        count += asked.base is not None and len(asked.experts) == count and title == "karcher"
    elif role == "one of the models":
        count, what = len(asked.experts) + 1, "models, one of them the base_model"
    else:
        count, what = len(asked.experts), "models beside the base_model" if asked.base is not None else "models"
    noun = what.replace("models", "model", 1) if (fewest, most) == (1, 1) else what
    if count < fewest or (most is not None and count > most):
        wanted = f"at least {fewest}" if most is None else f"exactly {fewest}" if most == fewest else f"{fewest}"
        must = f"{title} takes {wanted} {noun}"
        path = ("models",) if asked.models else here
        asked.refuse(must, str(count), path, "add models" if count < fewest else "remove models")


def _adapters_fit(asked: Asked, merge: Merge) -> None:
    """Say which adapters are not added to the base of the merge: an expert that is an adapter is one of that base."""
    for model in asked.models:
        if model.on is not None and (not merge.base or model.on != asked.base):
            got = model.on if merge.base else f"{asked.words.name} without a base"
            fix = "merge the adapter into its model first, and use the result"
            asked.refuse("an adapter is added to the base_model", got, (*model.path, "model"), fix)


def _tokens_fit(asked: Asked, merge: Merge, path: TreePath) -> None:
    """Say where the tokens of the base_model would not be those that ours keeps: the base's, else the first model's."""
    if asked.base is None or not (merge.base or merge.models[0].ref == asked.base):
        got = "nothing" if asked.base is None else "one that is not the first of the models"
        fix = "write base_model, and name it first in the list of models"
        asked.refuse(f"{asked.words.name} has a base_model whose tokens are kept", got, path, fix)
    asked.notes.append("rows of the base that no token belongs to stay, where mergekit leaves them out")


def _notes(document: Document, asked: Asked, stored: str | None) -> list[str]:
    notes = []
    if len(asked.experts) < len(asked.models) and document.words.base in ("needed", "may be"):
        notes.append("the base_model in the list of models has no say, and is left out of it")
    if asked.words.term("int8_mask") is not None and asked.switch("int8_mask"):
        notes.append("int8_mask changes no number")
    if document.dtype is None and stored is None:
        notes.append(f"the recipe names no dtype; the merge is stored as {_STORED}, where mergekit keeps the models’")
    return notes
