"""What there is: `methods` and `zoo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer
from merging_core.cli.tables import aligned, percent
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
    sections = []
    for family in zoo.families:
        rows = []
        for ref in (family.base, *family.experts):
            path = ref.removeprefix("zoo:")
            task = family.expert_task.get(ref, "")
            scores = zoo.accuracies.get(path, {})
            score = scores.get(task, {}).get("test")
            shown = percent(score.accuracy) if score else ""
            rows.append((ref, f"{zoo.checkpoint(path).parameters:,}", task, shown, f"{score.n}" if score else ""))
        header = ("checkpoint", "scalars", "task", "test accuracy %", "n")
        table = aligned(header, rows, right=("scalars", "test accuracy %", "n"))
        sections.append(f"{family.name}: {family.title}\n{table}")
    return "\n\n".join(sections)
