"""What the page offers for learning, and the specification that a visitor's choices make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.families import Family, plain
from app.state import StudioState
from app.studio.workbench import FamilyTask
from merging_core.errors import EvaluationError, Problem, RecipeError
from merging_core.learning import LearnSpec, learn_methods, parse_spec
from merging_core.learning.spec import EVERY, KEEP, SUBSET
from merging_core.recipes.recipe import SEED

__all__ = ["offer", "own_tasks", "spec_of"]


def offer() -> dict[str, Any]:
    """Return every method of learning, and the numbers that all runs share."""
    shared = {"every": EVERY, "subset": SUBSET, "keep": KEEP, "seed": SEED}
    return {
        "methods": [info.as_json() for info in learn_methods()],
        "shared": {name: info.as_json() for name, info in shared.items()},
    }


def own_tasks(state: StudioState, family: Family) -> tuple[str, ...]:
    """Return the tasks that the state's experts were fine-tuned on, in the family's order; all where none is known."""
    merged = {plain(entry.ref) for entry in state.recipe.models}
    own = {expert.task for expert in family.experts if plain(expert.ref) in merged}
    return tuple(task for task in family.tasks if task in own) or family.tasks


def _of_models(state: StudioState, family: Family) -> tuple[str, ...]:
    """Return the tasks of the state's models, in the order of these."""
    tasks = {plain(expert.ref): expert.task for expert in family.experts}
    found = [tasks.get(plain(entry.ref)) for entry in state.recipe.models]
    return tuple(dict.fromkeys(task for task in found if task is not None))


def _name(given: dict[str, Any]) -> object:
    method = given.get("method")
    return method.get("name") if isinstance(method, dict) else None


def spec_of(given: dict[str, Any], state: StudioState, family: Family, tasks: Sequence[FamilyTask]) -> LearnSpec:
    """Return the run that a visitor asks for: what was chosen, on the models of the state.

    Raises: `RecipeError` with everything that is wrong with it, `EvaluationError` where there is nothing to learn from.
    """
    if not tasks:
        fix = "choose one under Choose models"
        raise EvaluationError(Problem("a run learns from tasks", "a family without one", "tasks", fix))
    if state.recipe.base is None:
        must, fix = "learning needs the base that its experts started from", "choose one under Choose models"
        raise RecipeError(Problem(must, "models without a base", "base", fix))
    paired = _name(given) in [info.name for info in learn_methods() if info.paired]
    names = given.get("tasks") or list(own_tasks(state, family))
    known = [task.name for task in tasks]
    if isinstance(names, list) and (strange := [name for name in names if name not in known]):
        raise RecipeError(Problem("tasks are those of the models", str(strange[0])[:60], "tasks", ", ".join(known)))
    trains = _name(given) in [info.name for info in learn_methods() if info.makes == "expert"]
    models = {} if trains else {"models": [entry.ref for entry in state.recipe.models]}
    spec = parse_spec({**given, "version": 1, "base": state.recipe.base, "tasks": names, **models})
    return replace(
        spec, tasks=tuple(name for name in (_of_models(state, family) if paired else known) if name in spec.tasks)
    )
