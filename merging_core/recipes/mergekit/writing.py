"""A recipe of ours in mergekit's words, where mergekit has words for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import yaml

from merging_core.errors import Problem, RecipeError
from merging_core.masks.registry import mask
from merging_core.methods.registry import method
from merging_core.methods.varying import Number, Varying, varying_as_json
from merging_core.recipes.mergekit.references import written
from merging_core.recipes.mergekit.sayings import SAYINGS, Said
from merging_core.recipes.recipe import Recipe
from merging_core.space.vocabulary import BY_TOKEN

__all__ = ["Exported", "export_mergekit"]


_SAID = ("version", "base", "models", "mask", "method", "layer_scaling", "lambda", "dtype", "seed")
"""The parts of a recipe that are said, or refused where they cannot be."""


@dataclass(frozen=True)
class Exported:
    """The text of a mergekit recipe; its first lines are comments that say what to know about it."""

    text: str
    notes: tuple[str, ...] = ()
    """The comments, as sentences without a full stop."""


def export_mergekit(recipe: Recipe, adapters: Collection[str] = ()) -> Exported:
    """Return a recipe as a mergekit recipe that means the same; `adapters` are those of its references that are one.

    Raises RecipeError with a sentence for each thing that mergekit has no words for.

    >>> from merging_core.recipes.parse import parse_recipe
    >>> one = parse_recipe({"version": 1, "models": [{"ref": "hub:ada/a"}], "method": {"name": "linear"}})
    >>> print(export_mergekit(one).text.splitlines()[0])
    merge_method: linear
    """
    said = Said(recipe)
    say = SAYINGS.get(recipe.method.name)
    if say is None:
        title = method(recipe.method.name).title
        raise RecipeError(Problem("mergekit knows the method", title, "method.name", "it has none like it"))
    for key in recipe.as_json():
        if key not in _SAID and not (key == "vocabulary" and recipe.vocabulary.startswith(BY_TOKEN)):
            said.wrong("has no such part of a recipe", key, key, f"leave {key} out")
    said.unknown()
    say(said)
    tree = _tree(recipe, said, adapters)
    if recipe.vocabulary.startswith(BY_TOKEN):
        if said.base != (recipe.base or recipe.models[0].ref):
            must = "keeps the tokens of a base_model, which this method does not have"
            said.wrong(must, recipe.vocabulary, "vocabulary", "leave vocabulary out")
        tree["tokenizer_source"] = "base"
        said.notes.append("mergekit leaves out rows of the base that no token belongs to")
    if said.problems:
        raise RecipeError(*said.problems)
    notes = (*said.notes, *_of_coins(recipe))
    comments = "".join(f"# {note}.\n" for note in notes)
    text = str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120))
    return Exported(comments + text, notes)


def _tree(recipe: Recipe, said: Said, adapters: Collection[str]) -> dict[str, object]:
    refs = [*([said.base] if said.base is not None else []), *(entry.ref for entry in recipe.models)]
    names = {ref: _name(ref, said) for ref in dict.fromkeys(refs)}
    away = [ref for ref, (_, opens) in names.items() if not opens]
    if away:
        said.notes.append(f"mergekit opens folders and models of the Hub: put the folder of {', '.join(away)} there")
    tree: dict[str, object] = {"merge_method": said.name}
    if said.base is not None:
        tree["base_model"] = names[said.base][0]
    entries = []
    for entry, own in zip(recipe.models, said.of_models, strict=True):
        settings = {name: _plain(value) for name, value in own.items()}
        on = f"{_name(recipe.base, said)[0]}+" if entry.ref in adapters and recipe.base is not None else ""
        made: dict[str, object] = {"model": on + names[entry.ref][0]}
        entries.append({**made, "parameters": settings} if settings else made)
    tree["models"] = entries
    if said.of_all:
        tree["parameters"] = {name: _plain(value) for name, value in said.of_all.items()}
    tree["dtype"] = "float32"
    if recipe.dtype != "float32":
        tree["out_dtype"] = recipe.dtype
    return tree


def _name(ref: str, said: Said) -> tuple[str, bool]:
    try:
        return written(ref)
    except RecipeError as error:
        said.problems += error.problems
        return ref, True


def _plain(value: Number | bool) -> object:
    return varying_as_json(value) if isinstance(value, Varying) else value


def _of_coins(recipe: Recipe) -> list[str]:
    if method(recipe.method.name).stochastic or mask(recipe.mask.kind).stochastic:
        return ["mergekit tosses other coins: --random-seed names them there"]
    return []
