"""The history's rows, and what is said of two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.families import Family
from app.ledger import Merge
from app.own_family import family_named
from app.state import StudioState
from app.studio.workbench import Foretold, Numbers
from merging_core.errors import RecipeError
from merging_core.methods.registry import method as method_info
from merging_core.methods.varying import Varying
from merging_core.scaling.registry import scaling as scaling_info

__all__ = ["history_of", "history_row", "label_of", "with_foretold", "with_pinned", "words_of"]

_NAMED = 3


def label_of(state: StudioState, families: tuple[Family, ...]) -> str:
    """Name a merge in a few words: method, density, λ, experts, the layer profile if any, whether it was learned."""
    recipe = state.recipe
    family = family_named(families, state.family)
    words = [method_info(recipe.method.name).title]
    density = recipe.mask.params.get("density", recipe.method.params.get("density"))
    if density is not None:
        words.append(f"density {_short(density)}")
    words.append(f"λ {_short(recipe.lambda_)}")
    titles = [family.title_of(entry.ref) for entry in recipe.models]
    everyone = len(titles) == len(family.experts)
    few = " + ".join(titles) if len(titles) <= _NAMED else f"{len(titles)} experts"
    words.append("all experts" if everyone and len(titles) > _NAMED else few)
    if recipe.layer_scaling.kind != "constant":
        words.append(scaling_info(recipe.layer_scaling.kind).title)
    if recipe.tensors is not None:
        words.append("learned")
    return ", ".join(words)


def _short(value: object) -> str:
    return "varies" if isinstance(value, Varying) else f"{value:g}"


def history_of(merges: Sequence[Merge], families: tuple[Family, ...]) -> list[Numbers]:
    """Return the rows of a history, oldest first; what belongs to a family that is not here is left out."""
    return [
        {**merge.row, "when": merge.at, "state": merge.state, "name": merge.name, "pinned": merge.pinned}
        for merge in merges
        if _is_known(merge.state.get("family"), families)
    ]


def _is_known(name: object, families: tuple[Family, ...]) -> bool:
    try:
        return bool(family_named(families, name))
    except RecipeError:
        return False


def history_row(hash_: str, label: str, numbers: Numbers) -> Numbers:
    """Return what the history keeps of full accuracy numbers."""
    return {
        "hash": hash_,
        "label": f"{label}, transductive" if numbers.get("transductive") else label,
        "average": numbers["average"]["accuracy"],
        "interval": numbers["average"]["interval"],
        "n": numbers["n"],
        "tasks": [{"task": task["task"], "accuracy": task["accuracy"]} for task in numbers["tasks"]],
    }


def with_pinned(numbers: Numbers, row: Numbers | None) -> Numbers:
    """Return accuracy numbers with those of the pinned merge beside each task's, where it has that task."""
    if row is None:
        return numbers
    pinned: dict[str, Any] = {task["task"]: task["accuracy"] for task in row["tasks"]}
    tasks = [{**task, "pinned": pinned.get(task["task"])} for task in numbers["tasks"]]
    same = all(task["pinned"] is not None for task in tasks)
    average = {**numbers["average"], "pinned": row["average"] if same else None}
    return {**numbers, "tasks": tasks, "average": average}


def with_foretold(numbers: Numbers, foretold: Foretold | None) -> Numbers:
    """Return accuracy numbers with what the tangent foretells beside each task's; as they are where it does not.

    `foretold_on` says on which subset, where that is another one.
    """
    if foretold is None:
        return numbers
    known = foretold.accuracies
    tasks = [{**task, "foretold": known.get(task["task"])} for task in numbers["tasks"]]
    values = [known[task["task"]] for task in tasks if task["foretold"] is not None]
    mean = sum(values) / len(values) if len(values) == len(tasks) else None
    found = {**numbers, "tasks": tasks, "average": {**numbers["average"], "foretold": mean}}
    return found if foretold.subset == numbers["subset"] else {**found, "foretold_on": foretold.subset}


def words_of(differences: Numbers) -> str:
    """Say whether the paired interval leaves room for no difference.

    >>> words_of({"average": {"difference": 0.02, "interval": [0.01, 0.03], "n": 900}})
    'The interval lies above zero: this one is better on these examples.'
    """
    low, high = differences["average"]["interval"]
    if low > 0:
        return "The interval lies above zero: this one is better on these examples."
    if high < 0:
        return "The interval lies below zero: this one is worse on these examples."
    return "The interval holds zero: these examples do not tell the two apart."
