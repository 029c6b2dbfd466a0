"""The tables of docs/zoo.md, generated from the manifest so that they cannot drift."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from assets.build.scores import Score

BEGIN = "<!-- generated from assets/zoo/manifest.json: begin -->"
END = "<!-- generated: end -->"

Manifest = dict[str, Any]


def shown(value: dict[str, Any]) -> str:
    """Return an accuracy with its 95 % Wilson interval.

    >>> shown({"accuracy": 0.5, "n": 100})
    '0.500 (0.404 – 0.596)'
    """
    low, high = Score(round(value["accuracy"] * value["n"]), value["n"]).interval()
    return f"{value['accuracy']:.3f} ({low:.3f} – {high:.3f})"


def accuracy_table(manifest: Manifest) -> list[str]:
    """Return base and expert of each tiny task on validation and test."""
    family = next(row for row in manifest["families"] if row["name"] == "tiny")
    noted = manifest["accuracies"]
    lines = [
        "| task | n validation / test | base, validation | expert, validation | base, test | expert, test |",
        "|---|---|---|---|---|---|",
    ]
    for expert, task in family["expert_task"].items():
        base, own = noted[family["base"]][task], noted[expert][task]
        cells = [shown(row[split]) for split in ("validation", "test") for row in (base, own)]
        lines.append(f"| {task} | {base['validation']['n']} / {base['test']['n']} | " + " | ".join(cells) + " |")
    means = []
    for split in ("validation", "test"):
        pairs = [(noted[family["base"]][task], noted[expert][task]) for expert, task in family["expert_task"].items()]
        for side in (0, 1):
            means.append(f"**{sum(pair[side][split]['accuracy'] for pair in pairs) / len(pairs):.3f}**")
    return [*lines, "| **average** | | " + " | ".join(means) + " |"]


def merge_table(manifest: Manifest) -> list[str]:
    """Return the best recipe of each method, chosen on validation and scored on test."""
    lines = [
        "| method | recipes tried | chosen on validation | validation | gap reached | test | gap reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in manifest["merges"]["tiny"]["recipes"]:
        chosen = ", ".join(f"{name} {value:g}" for name, value in row["parameters"].items()) or "–"
        cells = [f"{row[s]['average']:.3f} | {row[s]['gap_reached']:.0%}" for s in ("validation", "test")]
        lines.append(f"| {row['method']} | {row['tried']} | {chosen} | " + " | ".join(cells) + " |")
    return lines


def geometry_lines(manifest: Manifest) -> list[str]:
    """Return a sentence about the task vectors."""
    found = manifest["merges"]["tiny"]["geometry"]
    norms = found["relative_norms"].values()
    return [
        f"The task vectors are {min(norms):.1%} to {max(norms):.1%} as long as the base's weights; "
        f"the largest cosine between two of them is {found['largest_cosine']:.3f}."
    ]


def barrier_table(manifest: Manifest) -> list[str]:
    """Return the barriers of every pair of MLPs."""
    lines = [
        "| between | loss barrier, train | at t | loss barrier, validation | at t | error barrier, validation |",
        "|---|---|---|---|---|---|",
    ]
    for row in manifest["barriers"]:
        train, validation = row["train"], row["validation"]
        pair = " and ".join(f"`{ref.removeprefix('zoo:basins/')}`" for ref in row["between"])
        lines.append(
            f"| {pair} | {train['loss_barrier']:.3f} | {train['at']:.2f} | {validation['loss_barrier']:.3f} "
            f"| {validation['at']:.2f} | {validation['error_barrier']:.3f} |"
        )
    return lines


def basin_table(manifest: Manifest) -> list[str]:
    """Return the accuracies of the digit models."""
    lines = ["| checkpoint | validation (n 200) | test (n 400) |", "|---|---|---|"]
    for ref, tasks in manifest["accuracies"].items():
        if ref.startswith("zoo:basins"):
            row = tasks["basins/digits"]
            lines.append(f"| `{ref}` | {shown(row['validation'])} | {shown(row['test'])} |")
    return lines


def tables(manifest: Manifest) -> str:
    """Return the generated part of the page."""
    size = sum(row["bytes"] for row in manifest["files"].values())
    build = manifest["build"]
    parts = [
        ["### Base and experts", ""],
        accuracy_table(manifest),
        ["", "### Merges of the six experts", ""],
        merge_table(manifest),
        ["", *geometry_lines(manifest), "", "### The models of the 8 × 8 digits", ""],
        basin_table(manifest),
        ["", "### Barriers between the MLPs (25 points)", ""],
        barrier_table(manifest),
        ["", f"Built with seed {build['seed']}, torch {build['torch']}, transformers {build['transformers']}, "
             f"{build['steps']['pretrain']} steps of pretraining and {build['steps']['finetune']} of each fine-tuning; "
             f"{len(manifest['files'])} files, {size / 1e6:.1f} MB."],
    ]  # fmt: skip
    return "\n".join(line for part in parts for line in part)


def with_tables(page: str, manifest: Manifest) -> str:
    """Return the page with what lies between its two markers made anew; raises ValueError if a marker is missing."""
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{tables(manifest)}\n{END}{tail}"


def write_page(zoo: Path, page: Path) -> None:
    """Bring the tables of the page up to date."""
    manifest = json.loads((zoo / "manifest.json").read_text(encoding="utf-8"))
    page.write_text(with_tables(page.read_text(encoding="utf-8"), manifest), encoding="utf-8")
