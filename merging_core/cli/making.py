"""What becomes of a recipe: `plan` and `merge`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer
from merging_core.cli.progress import JsonLines, ProgressLine

if TYPE_CHECKING:
    from merging_core.engines.means import Room

__all__ = ["merge", "plan"]

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe: a JSON or YAML file.")]
Memory = Annotated[
    str | None,
    typer.Option(help="What merging may take at most, the program included, such as 2GiB; all of the machine's."),
]


def plan(recipe: RecipeFile, memory: Memory = None, as_json: AsJson = False) -> None:
    """Check and price a recipe from headers alone."""
    from merging_core.cli.targets import open_bench
    from merging_core.engines import make_plan
    from merging_core.engines.devices import auto_choice
    from merging_core.engines.pricing import amount
    from merging_core.recipes import load_recipe
    from merging_core.recipes.resolving import references, resolve

    asked = load_recipe(recipe)
    catalog = open_bench(recipe).catalog
    found = resolve(asked, catalog.pin, catalog.open)
    made = make_plan(found.recipe, catalog, found.refusals, _room(memory))
    missing = catalog.missing_bytes(references(found.recipe))
    device, why = auto_choice(made)
    rows = [f"{'download':<8} {amount(size)} of {ref}" for ref, size in missing.items()]
    text = "\n".join([made.table(), f"{'device':<8} {device}, by auto: {why}", *rows])
    chosen = {"auto": device, "why": why}
    answer(text, {**made.as_json(), "device": chosen, "download": missing}, as_json=as_json)


def merge(
    recipe: RecipeFile,
    out_dir: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="A new folder for the merged checkpoint.")],
    shard_size: Annotated[
        str | None,
        typer.Option(help="Spread the weights over files of at most this size, such as 2GB; one file by default."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="What computes: cpu, cuda, mps, or auto: CUDA where it is there and the plan says that it pays."
        ),
    ] = "auto",
    memory: Memory = None,
    json_progress: Annotated[
        bool, typer.Option("--json-progress", help="Write progress to stderr as one JSON object a line.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Merge, and write the checkpoint with its card: all or nothing."""
    from merging_core.checkpoints.shards import parse_size
    from merging_core.checkpoints.templates import folder_files
    from merging_core.cli.downloads import readable_recipe
    from merging_core.cli.targets import open_bench
    from merging_core.engines import make_plan
    from merging_core.engines.devices import lane_for
    from merging_core.engines.identifying import watched
    from merging_core.engines.pricing import amount
    from merging_core.export import export_checkpoint
    from merging_core.recipes import load_recipe

    start = time.perf_counter()
    asked = load_recipe(recipe)
    limit = parse_size(shard_size) if shard_size is not None else None
    catalog = open_bench(recipe).catalog
    room = _room(memory)
    readable = readable_recipe(asked, catalog, room)
    with ProgressLine() as line:
        tell = JsonLines().stands if json_progress else line.stands
        with watched(tell):
            made = make_plan(readable, catalog, room=room)
        lane = lane_for(made, device)
        folder = export_checkpoint(made, catalog, out_dir, shard_bytes=limit, progress=tell, lane=lane)
    took = time.perf_counter() - start
    document = {
        "folder": str(folder),
        "ref": f"file:{folder}",
        "hash": made.hash,
        "leaves": len(made.outputs),
        "bytes": made.output_bytes,
        "files": sorted(folder_files(folder)),
        "device": lane.device.type,
        "seconds": round(took, 3),
    }
    sentence = f"{folder}: {len(made.outputs)} leaves, {amount(made.output_bytes)}, in {took:.1f} s\nhash {made.hash}"
    answer(sentence, document, as_json=as_json)


def _room(memory: str | None) -> Room | None:
    from merging_core.checkpoints.shards import parse_size
    from merging_core.engines.means import Room, this_program

    return Room(parse_size(memory, "--memory"), this_program()) if memory is not None else None
