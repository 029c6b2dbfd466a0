"""What an export says once it lies on the Hub: where it is loaded from, and nothing of the machine that made it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import chain, count

from merging_core.cards.markdown import code_block
from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import CheckpointError, Problem
from merging_core.export.card import HERE
from merging_core.export.forms import forms
from merging_core.recipes import Recipe, parse_recipe, recipe_hash

__all__ = ["for_the_hub"]

_CARD, _RECIPE = "README.md", "recipe.json"
_CONFIGS = ("config.json", "tokenizer_config.json")
_FOLDER = re.compile(r"(?:[/~\\]|\.\.?/|[A-Za-z]:[/\\])")
_NAMED_BY = ("_name_or_path", "name_or_path")


def for_the_hub(texts: Mapping[str, str], repo_id: str) -> dict[str, str]:
    """Return card, recipe and configurations of an export as they are published to `repo_id`.

    The card loads the model from there. A `file:` reference keeps the last part of its path and its pin, and the card
    tells the hash of the recipe that then stands beside it; a configuration does not name the folder it came from.

    Raises: `CheckpointError` if a path of this machine would still be told.

    >>> texts = {"README.md": 'open("path/to/this/folder")', "config.json": '{"_name_or_path": "/home/ada/clip"}'}
    >>> [text.strip() for text in for_the_hub(texts, "ada/merge").values()]
    ['open("ada/merge")', '{}']
    """
    sent = dict(texts)
    if _CARD in sent:
        sent[_CARD] = sent[_CARD].replace(f'"{HERE}"', json.dumps(repo_id))
    for name in _CONFIGS:
        if name in sent:
            sent[name] = _without_folder(sent[name])
    told = _files_in(sent.get(_RECIPE, ""))
    if not told:
        return sent
    before = parse_recipe(json.loads(sent[_RECIPE]))
    after = parse_recipe(_shortened(json.loads(sent[_RECIPE]), told))
    sent[_RECIPE] = json.dumps(_shortened(json.loads(sent[_RECIPE]), told), indent=2, ensure_ascii=False) + "\n"
    if _CARD in sent:
        sent[_CARD] = _card(sent[_CARD], before, after, told)
    paths = [parse_ref(ref).path for ref, short in told.items() if ref != short]
    if any(path in text for path in paths for text in sent.values()):
        must, fix = "a published file names no folder of this machine", "take it out of the card"
        raise CheckpointError(Problem(must, "one that does", _CARD, fix))
    return sent


def _files_in(recipe: str) -> dict[str, str]:
    """Return each `file:` reference of a recipe with what is published of it; names that are alike get a number."""
    try:
        tree = json.loads(recipe)
        refs = [tree.get("base"), *(entry["ref"] for entry in tree["models"])]
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    found = [parse_ref(ref) for ref in refs if isinstance(ref, str) and ref.startswith("file:")]
    names: dict[str, str] = {}
    for ref in found:
        name = ref.label.removeprefix("file:")
        numbered = (f"{name}-{number}" for number in count(2))
        if ref.path not in names:
            names[ref.path] = next(each for each in chain([name], numbered) if each not in names.values())
    return {str(ref): str(Ref("file", names[ref.path], ref.pin)) for ref in found}


def _shortened(tree: dict[str, object], told: Mapping[str, str]) -> dict[str, object]:
    models = tree["models"]
    entries = models if isinstance(models, list) else []
    base = tree.get("base")
    return {
        **tree,
        "base": told.get(base, base) if isinstance(base, str) else base,
        "models": [{**entry, "ref": told.get(entry["ref"], entry["ref"])} for entry in entries],
    }


def _card(card: str, before: Recipe, after: Recipe, told: Mapping[str, str]) -> str:
    card = card.replace(_block(before), _block(after)).replace(_hash(before), _hash(after))
    for ref, short in told.items():
        card = card.replace(ref, short)
    return card


def _block(recipe: Recipe) -> str:
    return code_block(forms(recipe).yaml, "yaml")


def _hash(recipe: Recipe) -> str:
    refs = [entry.ref for entry in recipe.models] + ([recipe.base] if recipe.base is not None else [])
    return recipe_hash(recipe, {ref: ref for ref in refs})


def _without_folder(config: str) -> str:
    """Return a configuration without the folder that it was read from, where it names one."""
    try:
        tree = json.loads(config)
    except ValueError:
        return config
    if not isinstance(tree, dict):
        return config
    named = [key for key in _NAMED_BY if isinstance(tree.get(key), str) and _FOLDER.match(tree[key])]
    kept = {key: value for key, value in tree.items() if key not in named}
    return json.dumps(kept, indent=2, ensure_ascii=False) + "\n" if named else config
