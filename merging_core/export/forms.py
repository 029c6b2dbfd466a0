"""One recipe in its forms, each ready to run: YAML, JSON, Python, a command line, and a recipe for mergekit."""

from __future__ import annotations

import json
import pprint
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from merging_core.errors import RecipeError
from merging_core.recipes import Recipe, recipe_to_yaml
from merging_core.recipes.mergekit import export_mergekit

__all__ = ["Forms", "command_line", "forms", "pinned"]

_END = "END_OF_RECIPE"


@dataclass(frozen=True)
class Forms:
    """The same recipe in each form."""

    yaml: str
    json: str
    python: str
    command: str
    """For a POSIX shell, in the folder where Basin lies."""
    mergekit: str
    """For mergekit; comments alone, which say why, where it has no words for the merge."""

    def as_json(self) -> dict[str, str]:
        """Return the texts by name."""
        return asdict(self)


def forms(recipe: Recipe, shard_bytes: int | None = None) -> Forms:
    """Return a recipe in every form; Python and command line write files of at most `shard_bytes`, one if None.

    >>> from merging_core.recipes import parse_recipe
    >>> made = forms(parse_recipe({"version": 1, "models": [{"ref": "zoo:a"}], "method": {"name": "linear"}}), 5000)
    >>> print(made.command.splitlines()[-1])
    python -m merging_core merge recipe.yaml merged --shard-size 5kB
    """
    yaml = recipe_to_yaml(recipe)
    command = f"cat > recipe.yaml <<'{_END}'\n{yaml}{_END}\n{command_line('recipe.yaml', shard_bytes)}\n"
    tree = recipe.as_json()
    text = json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
    return Forms(yaml, text, _python(tree, shard_bytes), command, _mergekit(recipe))


def command_line(recipe_file: str, shard_bytes: int | None = None) -> str:
    """Return the command that merges a recipe's file into the folder `merged`.

    >>> command_line("recipe.json", 2_000_000_000)
    'python -m merging_core merge recipe.json merged --shard-size 2GB'
    """
    size = "" if shard_bytes is None else f" --shard-size {_size(shard_bytes)}"
    return f"python -m merging_core merge {recipe_file} merged{size}"


def pinned(recipe: Recipe, pins: Mapping[str, str]) -> Recipe:
    """Return a recipe whose references say what they must contain; `pins` as a plan has them."""
    models = tuple(replace(entry, ref=pins[entry.ref]) for entry in recipe.models)
    base = pins[recipe.base] if recipe.base is not None else None
    return replace(recipe, base=base, models=models, vocabulary=pins.get(recipe.vocabulary, recipe.vocabulary))


def _mergekit(recipe: Recipe) -> str:
    try:
        return export_mergekit(recipe).text
    except RecipeError as error:
        sentences = "".join(f"# {problem}\n" for problem in error.problems)
        return f"# mergekit has no words for this merge.\n{sentences}"


def _python(tree: Mapping[str, object], shard_bytes: int | None) -> str:
    refs = [str(ref) for ref in _refs(tree)]
    remote = [ref for ref in refs if ref.startswith("hub:")]
    options = ", allow_files=True" if any(ref.startswith("file:") for ref in refs) else ""
    options += ', hub=Hub("https://huggingface.co", os.environ.get("HF_TOKEN"), Path("downloads"))' if remote else ""
    learned = tree.get("tensors") is not None or _measured(tree)
    options += ', learned=LearnedTensors((Path("."),))' if learned else ""
    shards = "" if shard_bytes is None else f", shard_bytes={shard_bytes}"
    kinds = ["Catalog", *(["Hub"] if remote else []), *(["LearnedTensors"] if learned else [])]
    names = [*kinds, "export_checkpoint", "load_zoo", "make_plan", "parse_recipe"]
    lines = [
        *(["import os"] if remote else []),
        *(["from pathlib import Path", ""] if remote or learned else []),
        f"from merging_core import {', '.join(names)}",
        "",
        f"recipe = parse_recipe(\n{_indented(pprint.pformat(tree, sort_dicts=False, width=96))}\n)",
        f"catalog = Catalog(load_zoo(){options})",
        *([f"catalog.fetch({remote!r})"] if remote else []),
        f'export_checkpoint(make_plan(recipe, catalog), catalog, "merged"{shards})',
    ]
    return "\n".join(lines) + "\n"


def _measured(tree: Mapping[str, object]) -> bool:
    models = tree["models"]
    return isinstance(models, list) and any("statistics" in entry for entry in models)


def _refs(tree: Mapping[str, object]) -> list[object]:
    models = tree["models"]
    return [tree["base"], *(entry["ref"] for entry in models)] if isinstance(models, list) else [tree["base"]]


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _size(size: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size % scale == 0:
            return f"{size // scale}{unit}"
    return f"{size}B"
