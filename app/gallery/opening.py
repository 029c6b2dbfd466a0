"""Open a recipe that a visitor pastes or drops: ours as JSON or YAML, or one of mergekit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.endpoints.questions import recipe_of, state_of
from app.hub.admission import Admission
from app.notices import Answer, answers_in_turn
from app.own_family import family_named
from app.studio.messages import is_text, message_of
from app.studio.workbench import Workbench
from merging_core.errors import RecipeError
from merging_core.recipes.files import LARGEST_FILE, read_tree
from merging_core.recipes.mergekit import Imported, import_mergekit

__all__ = ["RecipeDesk", "read_recipe"]


class RecipeDesk:
    """Methods take a visitor's id and a message, and return an answer; none raises."""

    def __init__(self, workbench: Workbench, admission: Admission) -> None:
        self._workbench = workbench
        self._admission = admission

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {"open_recipe": self.open_recipe}

    @answers_in_turn
    async def open_recipe(self, visitor: str, message: object) -> Answer:
        """Read the text of a recipe and return the state that it opens, with what to know about it."""
        must = f"text is a recipe of at most {LARGEST_FILE} characters"
        found = read_recipe(message_of(message, {"text": (True, must, is_text(LARGEST_FILE))})["text"])
        recipe = await self._admission.resolved(visitor, found.recipe)
        families = self._workbench.families
        state = state_of(recipe, families)
        await self._admission.admit(visitor, family_named(families, state.family).refs)
        return {"state": state.as_json(), "notes": list(found.notes)}


def read_recipe(text: str) -> Imported:
    """Read a recipe of ours, or one of mergekit: YAML that names a merge_method.

    Raises: `RecipeError`.

    >>> read_recipe("{version: 1, models: [{ref: 'zoo:a'}], method: {name: linear}}").notes
    ()
    """
    data = text.encode("utf-8", "replace")
    try:
        tree = read_tree(data, "yaml")
    except RecipeError:
        return Imported(recipe_of(text))
    if isinstance(tree, Mapping) and "merge_method" in tree:
        return import_mergekit(data)
    return Imported(recipe_of(text))
