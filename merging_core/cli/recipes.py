"""Recipes of other tools: `recipe import` and `recipe export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer

__all__ = ["recipe_commands"]

MergekitFile = Annotated[Path, typer.Argument(metavar="FILE", help="A mergekit recipe: a YAML file.")]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: a JSON or YAML file.")]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="What the merge is stored in where the recipe names no dtype: by default what the base, or else the first "
        "model, has if it lies on this machine, and float32 if not."
    ),
]


def recipe_commands() -> typer.Typer:
    """Return the commands below `recipe`."""
    commands = typer.Typer(help="Read mergekit's recipes, and write them.", rich_markup_mode=None)
    commands.command("import")(import_recipe)
    commands.command("export")(export_recipe)
    return commands


def import_recipe(
    file: MergekitFile,
    base_folder: Annotated[
        Path, typer.Option(help="Where relative paths of models begin; the present folder by default.")
    ] = Path(),
    dtype: Dtype = None,
    as_json: AsJson = False,
) -> None:
    """Print a mergekit recipe as a recipe of ours that means the same, or say with its lines what cannot be read."""
    from merging_core.recipes.files import read_file, recipe_to_yaml
    from merging_core.recipes.mergekit import import_mergekit
    from merging_core.recipes.resolving import references

    data = read_file(file)
    found = import_mergekit(data, base_folder, dtype)
    if dtype is None and not found.names_dtype:
        found = import_mergekit(data, base_folder, _stored(references(found.recipe)))
    comments = "".join(f"# {note}.\n" for note in found.notes)
    document = {"recipe": found.recipe.as_json(), "notes": list(found.notes)}
    answer((comments + recipe_to_yaml(found.recipe)).rstrip("\n"), document, as_json=as_json)


def export_recipe(recipe: RecipeFile, as_json: AsJson = False) -> None:
    """Print a recipe of ours as a mergekit recipe, or say what mergekit has no words for."""
    from merging_core.recipes import load_recipe
    from merging_core.recipes.mergekit import export_mergekit
    from merging_core.recipes.resolving import references

    asked = load_recipe(recipe)
    found = export_mergekit(asked, _adapters(references(asked)))
    answer(found.text.rstrip("\n"), {"mergekit": found.text, "notes": list(found.notes)}, as_json=as_json)


def _stored(refs: tuple[str, ...]) -> str | None:
    """Return what most numbers of the first reference are stored in; nothing where it is elsewhere or holds others."""
    from merging_core.checkpoints.dtypes import torch_dtype
    from merging_core.checkpoints.ref import parse_ref
    from merging_core.cli.targets import open_bench
    from merging_core.errors import BasinError
    from merging_core.recipes.recipe import DTYPE

    if parse_ref(refs[0]).scheme == "hub":
        return None
    try:
        leaves = open_bench().catalog.open(refs[0]).leaves.values()
    except BasinError:
        return None
    sizes: dict[str, int] = {}
    for leaf in leaves:
        sizes[leaf.dtype] = sizes.get(leaf.dtype, 0) + leaf.nbytes
    name = str(torch_dtype(max(sizes, key=lambda dtype: sizes[dtype]))).removeprefix("torch.") if sizes else ""
    return name if name in DTYPE.choices else None


def _adapters(refs: tuple[str, ...]) -> tuple[str, ...]:
    """Return those references to folders of this machine that are LoRA adapters."""
    from merging_core.checkpoints.adapter_config import ADAPTER_CONFIG
    from merging_core.checkpoints.ref import parse_ref

    return tuple(
        ref
        for ref in refs
        if (found := parse_ref(ref)).scheme == "file" and (Path(found.path) / ADAPTER_CONFIG).is_file()
    )
