"""What programs send, read strictly: recipes as text, models by reference or recipe, links however they are spelt."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.families import Family, plain
from app.own_family import own_name
from app.sharing import link as links
from app.state import StudioState, parse_state
from app.tasks.spec import TaskSpec
from merging_core.errors import LinkError, Problem, RecipeError
from merging_core.recipes import Recipe, parse_recipe
from merging_core.recipes.files import read_tree

__all__ = ["LONGEST_ADDRESS", "family_of", "linked", "model_named", "recipe_of", "refs_of", "state_of", "tasks_of"]

LONGEST_ADDRESS = 2 * links.LONGEST_LINK
"""Characters of a link with the address before it."""
_OPEN = ("hub:", "local:", "upload:")
"""How references begin that anybody may name though they are of no family."""
_REFERENCE = re.compile(r"[a-z]+:[^\s{}]+")


def recipe_of(given: object) -> Recipe:
    """Read a recipe: JSON or YAML text, or the object itself. Raises: `RecipeError`.

    >>> recipe_of("{version: 1, models: [{ref: 'zoo:a'}], method: {name: linear}}").method.name
    'linear'
    """
    if isinstance(given, dict):
        given = _text(given)
    if not isinstance(given, str) or not given.strip():
        raise RecipeError(Problem("a recipe is JSON or YAML text", _kind(given), "recipe"))
    data = given.encode("utf-8", "replace")
    return parse_recipe(
        _mapping(read_tree(data, "json" if given.lstrip().startswith("{") and _is_json(given) else "yaml"))
    )


def model_named(given: object, where: str) -> Recipe | str:
    """Read one end of a line: a reference such as `zoo:tiny/digits`, or a recipe. Raises: `RecipeError`.

    >>> model_named(" zoo:tiny/digits ", "a")
    'zoo:tiny/digits'
    """
    if isinstance(given, str) and _REFERENCE.fullmatch(given.strip()):
        return given.strip()
    try:
        return recipe_of(given)
    except RecipeError as error:
        raise error.located(where) from None


def state_of(
    recipe: Recipe, families: Sequence[Family], tasks: Sequence[str] = (), specs: Sequence[TaskSpec] = ()
) -> StudioState:
    """Find the family that has every checkpoint of a recipe, or make one of them, and put both together.

    Raises: `RecipeError` naming what the nearest family lacks.
    """
    family = family_of(refs_of(recipe), recipe.base, families, tasks, specs)
    return parse_state({"version": 1, "family": family, "recipe": recipe.as_json()}, tuple(families))


def family_of(
    refs: Sequence[str],
    base: str | None,
    families: Sequence[Family],
    tasks: Sequence[str] = (),
    specs: Sequence[TaskSpec] = (),
) -> str:
    """Name the family of the server that has most of these checkpoints, or one that is made of them.

    One is made where `tasks` are named, or where some of them are of no family and anybody may name them; its tasks are
    these, or those that the known experts were trained on. `specs`: what named tasks of visitors are made of.
    """
    nearest = max(families, key=lambda one: sum(one.has(ref) for ref in refs))
    strange = [ref for ref in refs if not nearest.has(ref)]
    if not tasks and not (strange and all(ref.startswith(_OPEN) for ref in strange)):
        return nearest.name
    known = {expert.ref: expert.task for family in families for expert in family.experts}
    pairs = [(ref, known.get(plain(ref))) for ref in dict.fromkeys(refs) if ref != base]
    own = tuple(dict.fromkeys(task for _, task in pairs if task is not None))
    return own_name(base, pairs, tuple(tasks) or own, specs)


def tasks_of(given: object) -> tuple[str, ...]:
    """Read names of tasks, with commas between them. Raises: `RecipeError`.

    >>> tasks_of("tiny/digits, tiny/greek"), tasks_of("")
    (('tiny/digits', 'tiny/greek'), ())
    """
    if not isinstance(given, str):
        raise RecipeError(Problem("tasks are names with commas between them", type(given).__name__, "tasks"))
    return tuple(dict.fromkeys(name for part in given.split(",") if (name := part.strip())))


def refs_of(model: Recipe | str) -> tuple[str, ...]:
    """Return every reference that a model is made of."""
    if isinstance(model, str):
        return (model,)
    return (*(entry.ref for entry in model.models), *((model.base,) if model.base is not None else ()))


def linked(given: object) -> dict[str, Any]:
    """Read the state in a link: a whole address, its query, or the value of `s` alone.

    Raises: `LinkError`.

    >>> linked("https://example.org/?x=1&s=" + links.encode({"version": 1}))
    {'version': 1}
    """
    if not isinstance(given, str) or not given.strip():
        raise LinkError(Problem("a link is text", _kind(given), "link"))
    text = given.strip()
    if len(text) > LONGEST_ADDRESS:
        raise LinkError(Problem(f"a link has at most {LONGEST_ADDRESS} characters", str(len(text)), "link"))
    if "=" not in text:
        return links.decode(text)
    try:
        query = urlsplit(text).query or text.lstrip("?")
    except ValueError:
        query = ""
    found = parse_qs(query, max_num_fields=20) if query.count("&") < 20 else {}
    for name in ("s", "recipe"):
        if name in found:
            return links.decode(found[name][0])
    must = "a link carries its recipe, as s= or recipe="
    raise LinkError(Problem(must, "neither", "link", "copy the whole address"))


def _kind(given: object) -> str:
    """Say what came in place of a text; a blank one is nothing."""
    return "nothing" if given is None or (isinstance(given, str) and not given.strip()) else type(given).__name__


def _mapping(tree: object) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise RecipeError(Problem("a recipe is an object", type(tree).__name__, "recipe"))
    return tree


def _text(tree: dict[str, Any]) -> str:
    try:
        return json.dumps(tree, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        raise RecipeError(Problem("a recipe holds plain values", "others", "recipe")) from None


def _is_json(text: str) -> bool:
    """Whether text in braces is JSON; else it is YAML written in one line."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
