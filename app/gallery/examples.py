"""Read the examples from their folder: `gallery.yaml` lists them, each a recipe in a file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merging_core.errors import BasinError, Problem, closest
from merging_core.recipes import Recipe
from merging_core.recipes.files import load_recipe, read_tree

__all__ = ["FOLDER", "INDEX", "Example", "ExampleError", "read_examples"]

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "recipes"
INDEX = "gallery.yaml"
_VERSION = 1
_TEXTS = {"recipe": 80, "title": 40, "sentence": 120, "family": 40}
"""The longest text of each key that an example must have."""
_FORMS = (".json", ".yaml")


class ExampleError(BasinError):
    """The list of examples, or a recipe that it names, cannot be used."""


@dataclass(frozen=True)
class Example:
    """One recipe worth looking at."""

    name: str
    """The recipe's file without its ending; each stands once."""
    title: str
    sentence: str
    family: str
    recipe: Recipe
    path: Mapping[str, Any]
    """The path that the studio shows with it, as a state holds it."""

    def state(self) -> dict[str, Any]:
        """Return the state that opens it, as a page would send it; nobody has checked yet that the family is there."""
        return {
            "version": 1,
            "family": self.family,
            "recipe": self.recipe.as_json(),
            "path": dict(self.path),
            "metric": "loss",
        }


def read_examples(folder: Path) -> tuple[Example, ...]:
    """Return the examples in the order of `folder/gallery.yaml`, every recipe read and checked.

    Raises: `ExampleError` with every problem of the list and of the recipes in it.
    """
    index = folder / INDEX
    try:
        tree = read_tree(index.read_bytes(), "yaml")
    except OSError as error:
        raise ExampleError(
            Problem("the list of examples can be read", error.strerror or type(error).__name__, INDEX)
        ) from error
    if not isinstance(tree, Mapping) or set(tree) != {"version", "examples"} or tree["version"] != _VERSION:
        raise ExampleError(Problem(f"the list holds version {_VERSION} and examples", _shown(tree), INDEX))
    rows = tree["examples"]
    if not isinstance(rows, list):
        raise ExampleError(Problem("examples are a list", _shown(rows), INDEX))
    problems: list[Problem] = []
    found: list[Example] = []
    for place, row in enumerate(rows):
        where = f"{INDEX}: examples[{place}]"
        wrong = _problems_of(row, where)
        problems += wrong
        if wrong:
            continue
        try:
            recipe = load_recipe(folder / row["recipe"])
        except BasinError as error:
            problems += [Problem(one.must, one.got, f"{row['recipe']}: {one.where}", one.fix) for one in error.problems]
            continue
        name = Path(row["recipe"]).stem
        if any(name == other.name for other in found):
            problems.append(Problem("an example stands once", name, where))
        path = row.get("path", {"kind": "lambda"})
        found.append(Example(name, row["title"], row["sentence"], row["family"], recipe, path))
    if problems:
        raise ExampleError(*problems)
    return tuple(found)


def _problems_of(row: object, where: str) -> list[Problem]:
    if not isinstance(row, Mapping):
        return [Problem("an example is a mapping", _shown(row), where)]
    known = (*_TEXTS, "path")
    problems = [
        Problem("an example's keys are known by name", str(key)[:60], where, closest(str(key)[:60], known))
        for key in row
        if key not in known
    ]
    for key, longest in _TEXTS.items():
        text = row.get(key)
        if not isinstance(text, str) or not 0 < len(text) <= longest:
            problems.append(Problem(f"{key} is text of 1 to {longest} characters", _shown(text), where))
    if not isinstance(row.get("path", {}), Mapping):
        problems.append(Problem("path is a mapping", _shown(row["path"]), where))
    file = row.get("recipe")
    if isinstance(file, str) and (Path(file).name != file or Path(file).suffix not in _FORMS):
        must = "a recipe is a JSON or YAML file beside the list"
        problems.append(Problem(must, file[:60], where))
    return problems


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
