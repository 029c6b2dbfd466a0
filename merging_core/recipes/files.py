"""Recipes as files: JSON for programs, YAML for people. What a file may do is small: hold a tree of plain values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import yaml

from merging_core.errors import Problem, RecipeError, legible
from merging_core.methods.info import shown
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.plain_yaml import TreePath, load_lines, load_plain_yaml
from merging_core.recipes.recipe import Recipe

__all__ = ["LARGEST_FILE", "load_recipe", "read_file", "read_lines", "read_tree", "recipe_to_yaml"]

LARGEST_FILE = 64 * 1024
"""Bytes. A recipe of a hundred models has about 8 000."""
_DEEPEST = 16


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a file: JSON if its name ends in `.json`, else YAML.

    Raises RecipeError if the file cannot be read, is larger than 64 KiB, is not UTF-8, JSON or YAML, names a key
    twice, uses aliases or tags, or nests too deep; and with every problem of the recipe in it.
    """
    path = Path(path)
    return parse_recipe(read_tree(read_file(path), "json" if path.suffix.lower() == ".json" else "yaml"))


def read_file(path: Path) -> bytes:
    """Return what a recipe's file holds, or its first bytes: one more than it may have.

    Raises RecipeError if it cannot be read.
    """
    shown_path = legible(str(path))
    try:
        if not path.is_file():
            raise RecipeError(Problem("a recipe is a file that exists", shown_path, "recipe", "check the path"))
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = f"“{error.strerror or type(error).__name__}”"
        raise RecipeError(Problem("a recipe can be read", reason, shown_path, "check path and permissions")) from error
    return data


def read_tree(data: bytes, form: Literal["json", "yaml"]) -> object:
    """Return the plain values in JSON or YAML text: mappings, lists, strings, numbers, booleans, null.

    Raises RecipeError as `load_recipe` does.

    >>> read_tree(b"lambda: 1e3", "yaml"), read_tree(b'{"lambda": 1e3}', "json")
    ({'lambda': 1000.0}, {'lambda': 1000.0})
    """
    text = _text(data)
    return _json(text) if form == "json" else load_plain_yaml(text, _DEEPEST)


def read_lines(data: bytes) -> tuple[object, dict[TreePath, int]]:
    """Return the plain values in YAML text, and the line on which each stands.

    Raises RecipeError as `load_recipe` does.
    """
    return load_lines(_text(data), _DEEPEST)


def _text(data: bytes) -> str:
    """Return what a recipe's file holds as text; raises RecipeError if it is too large or not UTF-8."""
    if len(data) > LARGEST_FILE:
        raise RecipeError(
            Problem(f"a recipe has at most {LARGEST_FILE} bytes", "more", "recipe", "is this another kind of file?")
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(
            Problem("a recipe is UTF-8 text", f"byte {error.start}", "recipe", "save it as UTF-8")
        ) from error
    return text


def recipe_to_yaml(recipe: Recipe) -> str:
    """Return a recipe as YAML for people; `load_recipe` reads it back as the same recipe.

    >>> recipe = parse_recipe({"version": 1, "models": [{"ref": "zoo:a"}], "method": {"name": "linear"}})
    >>> print(recipe_to_yaml(recipe)[:42])
    version: 1
    base: null
    models:
    - ref: zoo:a
    """
    return str(yaml.safe_dump(recipe.as_json(), sort_keys=False, allow_unicode=True, width=120))


def _json(text: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for name, value in pairs:
            if name in mapping:
                raise RecipeError(Problem("a key stands once", shown(name), shown(name, quoted=False), "remove one"))
            mapping[name] = value
        return mapping

    try:
        tree: object = json.loads(text, object_pairs_hook=unique)
    except RecursionError as error:
        raise RecipeError(_too_deep()) from error
    except ValueError as error:
        place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "recipe"
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number with thousands of digits"
        raise RecipeError(
            Problem("the text is JSON", shown(reason, quoted=False), place, "check commas and quotes")
        ) from error
    if _depth(tree) > _DEEPEST:
        raise RecipeError(_too_deep())
    return tree


def _depth(tree: object) -> int:
    level, depth = [tree], 0
    while level:
        below: list[object] = []
        for node in level:
            below += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        level, depth = below, depth + 1
    return depth


def _too_deep() -> Problem:
    return Problem(f"values nest at most {_DEEPEST} deep", "deeper nesting", "recipe", "write it flatter")
