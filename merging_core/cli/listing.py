"""What there is: `methods` and `zoo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer
from merging_core.cli.tables import aligned, interval, percent
from merging_core.errors import CheckpointError

if TYPE_CHECKING:
    from merging_core.checkpoints.zoo import Zoo

__all__ = ["methods", "zoo"]


def methods(as_json: AsJson = False) -> None:
    """List methods, masks and layer scalings."""
    from merging_core.methods.registry import registry_as_json

    registry: dict[str, Any] = registry_as_json()
    sections = [
        aligned((kind, "title", "parameters", "formula"), [_method_row(row) for row in rows])
        for kind, rows in (
            ("method", registry["methods"]),
            ("mask", registry["masks"]),
            ("layer scaling", registry["scalings"]),
        )
    ]
    answer("\n\n".join(sections), registry, as_json=as_json)


def _method_row(row: dict[str, Any]) -> tuple[str, str, str, str]:
    parameters = ", ".join(f"{info['name']} {_default(info['default'])}" for info in row["parameters"])
    return row["name"], row["title"], parameters or "none", row["formula"]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(f'{item:g}' for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def zoo(
    action: Annotated[
        Literal["list", "verify"], typer.Argument(help="list it, or read every file and compare it with the manifest")
    ] = "list",
    as_json: AsJson = False,
) -> None:
    """List the embedded checkpoints, or verify them."""
    from merging_core.checkpoints.zoo import load_zoo
    from merging_core.engines.pricing import amount

    found = load_zoo()
    if action == "list":
        answer(_zoo_table(found), found.as_json(), as_json=as_json)
        return
    problems = found.verify()
    if problems:
        raise CheckpointError(*problems)
    total = sum(file.bytes for file in found.files.values())
    sentence = f"All {len(found.files)} files of the zoo ({amount(total)}) are as the manifest says."
    answer(sentence, {"files": len(found.files), "bytes": total, "problems": []}, as_json=as_json)


def _zoo_table(zoo: Zoo) -> str:
    header = ("checkpoint", "scalars", "task", "test accuracy %", "95 % interval", "n")
    sections = []
    for family in zoo.families:
        rows = []
        for ref in (family.base, *family.experts):
            own = family.expert_task.get(ref)
            tasks = family.tasks if own is None else (own,)
            name = own or (f"mean of {len(tasks)}" if len(tasks) > 1 else tasks[0])
            scalars = f"{zoo.checkpoint(ref.removeprefix('zoo:')).parameters:,}"
            rows.append((ref, scalars, name, *_score_cells(zoo, ref, tasks)))
        table = aligned(header, rows, right=("scalars", "test accuracy %", "n"))
        sections.append(f"{family.name}: {family.title}\n{table}")
    return "\n\n".join(sections)


def _score_cells(zoo: Zoo, ref: str, tasks: tuple[str, ...]) -> tuple[str, str, str]:
    """Return accuracy, interval and n over tasks as measured when the zoo was built; empty where a task was not."""
    from merging_core.evaluation.intervals import average_interval, wilson

    known = zoo.accuracies.get(ref.removeprefix("zoo:"), {})
    scores = [known.get(task, {}).get("test") for task in tasks]
    found = [score for score in scores if score is not None]
    if not found or len(found) < len(tasks):
        return "", "", ""
    counts, totals = [round(score.accuracy * score.n) for score in found], [score.n for score in found]
    bounds = wilson(counts[0], totals[0]) if len(found) == 1 else average_interval(counts, totals)
    average = sum(score.accuracy for score in found) / len(found)
    return percent(average), interval(bounds), str(sum(totals))
