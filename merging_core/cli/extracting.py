"""A LoRA adapter out of two models: `extract-lora`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer

if TYPE_CHECKING:
    from merging_core.analysis.extraction import Extraction, Rest

__all__ = ["extract_lora"]

_DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_ENERGY, _MAX_RANK = 0.9, 128


def extract_lora(  # noqa: PLR0913
    base: Annotated[str, typer.Option(help="What the adapter will be added to: zoo:…, hub:…, local:… or file:….")],
    expert: Annotated[str, typer.Option(help="The fine-tuned model that it should bring the base near to.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder for the adapter.")],
    rank: Annotated[int | None, typer.Option(min=1, help="One rank for every leaf.")] = None,
    energy: Annotated[
        float | None,
        typer.Option(
            help=f"Or: the share of ‖E − B‖² that the rank of each leaf keeps, in (0, 1]; {_ENERGY} by default."
        ),
    ] = None,
    max_rank: Annotated[
        int | None, typer.Option(min=1, help=f"With --energy: no rank is higher; {_MAX_RANK} by default.")
    ] = None,
    oversampling: Annotated[int, typer.Option(min=0, max=1000, help="Random directions beyond the highest rank.")] = 10,
    iterations: Annotated[int, typer.Option(min=0, max=20, help="Power iterations.")] = 2,
    leaves: Annotated[
        list[str] | None,
        typer.Option(metavar="FILTER", help="Only leaves with this in their name; may be given again."),
    ] = None,
    others: Annotated[
        Literal["leave-out", "save"],
        typer.Option(help="Norms, biases, convolutions and embeddings that differ: left out, or held whole."),
    ] = "leave-out",
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="Of the factors.")] = "float32",
    seed: Annotated[int, typer.Option(min=0, help="Of the random directions.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write what a model learnt as a LoRA adapter of its base, in PEFT's form, and say what is lost."""
    from merging_core.analysis.extraction import Settings, check_extraction
    from merging_core.analysis.extraction import extract_lora as extract
    from merging_core.cli.downloads import opened
    from merging_core.cli.progress import ProgressLine
    from merging_core.cli.targets import open_bench
    from merging_core.errors import PlanError, Problem

    problems = []
    if rank is not None and (energy is not None or max_rank is not None):
        problems.append(Problem("a rank or an energy decides", "both", "--rank", "leave one out"))
    if energy is not None and not 0 < energy <= 1:
        problems.append(Problem("energy lies in (0, 1]", f"{energy:g}", "--energy", "use 0.9 to keep nine tenths"))
    if problems:
        raise PlanError(*problems)
    settings = Settings(
        rank=rank,
        energy=_ENERGY if energy is None else energy,
        max_rank=_MAX_RANK if max_rank is None else max_rank,
        oversampling=oversampling,
        iterations=iterations,
        filters=tuple(leaves or ()),
        others=others,
        dtype=_DTYPES[dtype],
        seed=seed,
    )
    start = time.perf_counter()
    catalog = open_bench().catalog
    origin, tuned = opened([base, expert], catalog, lambda found: check_extraction(found[0], found[1], out, settings))
    with ProgressLine() as progress:
        made = extract(origin, tuned, out, settings, progress=progress)
    took = time.perf_counter() - start
    answer(_table(made, took), {**_document(made), "seconds": round(took, 3)}, as_json=as_json)


def _table(made: Extraction, seconds: float) -> str:
    from merging_core.cli.tables import aligned
    from merging_core.engines.pricing import amount

    header = ("leaf", "shape", "rank", "energy %", "error")
    rows = [
        (leaf.name, "×".join(map(str, leaf.shape)), str(leaf.rank), f"{100 * leaf.energy:.2f}", f"{leaf.error:.4g}")
        for leaf in made.extracted
    ]
    ranks = [leaf.rank for leaf in made.extracted]
    said = f"rank {min(ranks)}" + (f" to {max(ranks)}" if max(ranks) > min(ranks) else "")
    size = f"{amount(made.adapter_bytes)}, {100 * made.adapter_bytes / made.expert_bytes:.1f} % of the model"
    lines = [
        aligned(header, rows, right=header[1:]),
        "",
        f"{made.folder}: {len(rows)} leaves of {said}, {size}, in {seconds:.1f} s",
        f"error over the whole model, ‖E − B − adapter‖ ÷ ‖E − B‖: {made.error:.4g}",
        *_rest(made),
    ]
    return "\n".join(lines)


def _rest(made: Extraction) -> list[str]:
    kinds: dict[tuple[bool, str], list[Rest]] = {}
    for leaf in made.rest:
        kinds.setdefault((leaf.saved, leaf.reason), []).append(leaf)
    lines = [f"the same in both: {made.unchanged} leaves"] if made.unchanged else []
    for (saved, reason), found in sorted(kinds.items()):
        share = 100 * sum(leaf.difference for leaf in found) / made.difference
        word = "held whole" if saved else "left out"
        some = ", ".join(leaf.name for leaf in found[:3]) + (", …" if len(found) > 3 else "")  # noqa: PLR2004
        lines.append(f"{word} ({reason}): {len(found)} leaves with {share:.3g} % of ‖E − B‖²: {some}")
    return lines


def _document(made: Extraction) -> dict[str, Any]:
    return {
        "folder": str(made.folder),
        "bytes": made.adapter_bytes,
        "error": made.error,
        "left_out": made.left_out,
        "unchanged": made.unchanged,
        "leaves": [
            {
                "leaf": leaf.name,
                "shape": list(leaf.shape),
                "rank": leaf.rank,
                "energy": leaf.energy,
                "error": leaf.error,
                "difference": leaf.difference**0.5,
            }
            for leaf in made.extracted
        ],
        "others": [
            {
                "leaf": leaf.name,
                "shape": list(leaf.shape),
                "reason": leaf.reason,
                "saved": leaf.saved,
                "difference": leaf.difference**0.5,
                "share": leaf.difference / made.difference,
            }
            for leaf in made.rest
        ],
    }
