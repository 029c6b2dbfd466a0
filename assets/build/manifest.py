"""Score everything, write the cards and the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import torch
import transformers

from assets.build import basins, strangers
from assets.build.describe import FamilyInfo, basins_family, card, strangers_family, tiny_family
from assets.build.merges import Bench, study
from assets.build.scores import Score, score
from assets.build.settings import Folders, Settings
from assets.build.store import content_digest, file_digest, read_head, read_mlp, read_vision, write_json
from assets.build.taskfiles import read_task

REPORTED = ("validation", "test")
Scores = dict[str, dict[str, dict[str, Score]]]
"""checkpoint -> task -> split -> score"""


def checkpoints_of(family: FamilyInfo) -> list[str]:
    """Return the names of a family's base and experts."""
    return [family.base.name, *(expert.name for expert in family.experts)]


def tiny_bench(folders: Folders, family: FamilyInfo) -> Bench:
    """Read the tiny family back from the zoo."""
    return Bench(
        read_vision(folders.checkpoint(family.base.name)),
        {expert.name: read_vision(folders.checkpoint(expert.name)) for expert in family.experts},
        {name: read_task(folders.task(name)) for name in family.tasks},
        {name: read_head(folders.task(name)) for name in family.tasks},
    )


def tiny_scores(bench: Bench, family: FamilyInfo) -> Scores:
    """Score base and experts of the tiny family on every task."""
    models = {family.base.name: bench.base, **bench.experts}
    return {name: {task: {split: score(model, bench.tasks[task], bench.heads[task], split) for split in REPORTED}
                   for task in family.tasks} for name, model in models.items()}  # fmt: skip


def basin_scores(folders: Folders, family: FamilyInfo) -> Scores:
    """Score the MLPs."""
    task = read_task(folders.task("basins/digits"))
    return {name: {"basins/digits": {split: basins.score_leaves(read_mlp(folders.checkpoint(name)), task, split)
                                     for split in REPORTED}} for name in checkpoints_of(family)}  # fmt: skip


def family_json(family: FamilyInfo) -> dict[str, object]:
    """Return a family as the manifest lists it."""
    experts = [f"zoo:{expert.name}" for expert in family.experts]
    return {"name": family.name, "title": family.title, "description": family.description,
            "base": f"zoo:{family.base.name}", "experts": experts, "tasks": list(family.tasks),
            "expert_task": dict(zip(experts, family.expert_task, strict=True))}  # fmt: skip


def merge_study(bench: Bench, family: FamilyInfo, scores: Scores) -> dict[str, object]:
    """Run the study of static recipes against the scores of base and experts."""
    own = dict(zip(family.expert_task, (expert.name for expert in family.experts), strict=True))
    low = {split: {task: scores[family.base.name][task][split].accuracy for task in family.tasks}
           for split in REPORTED}  # fmt: skip
    high = {split: {task: scores[own[task]][task][split].accuracy for task in family.tasks} for split in REPORTED}
    return study(bench, low, high)


def checkpoint_rows(folders: Folders, families: Iterable[FamilyInfo]) -> dict[str, object]:
    """Return the manifest's rows about checkpoints."""
    rows: dict[str, object] = {}
    for family in families:
        for info in (family.base, *family.experts):
            digest, parameters = content_digest(folders.checkpoint(info.name) / "model.safetensors")
            rows[f"zoo:{info.name}"] = {"path": info.name, "content": digest, "title": info.title,
                                        "parameters": parameters, "description": info.description}  # fmt: skip
    return rows


def file_rows(folders: Folders) -> dict[str, object]:
    """Return sha256 and size of every file of the zoo but the manifest."""
    files = sorted(path for path in folders.zoo.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folders.zoo).as_posix(): {"sha256": file_digest(path), "bytes": path.stat().st_size}
            for path in files}  # fmt: skip


def write_manifest(settings: Settings, folders: Folders) -> None:
    """Score all checkpoints, study merges, and write cards and manifest.json."""
    tiny, basin = tiny_family(settings), basins_family(settings)
    bench = tiny_bench(folders, tiny)
    scores = tiny_scores(bench, tiny) | basin_scores(folders, basin)
    merges = merge_study(bench, tiny, scores)
    task = read_task(folders.task("basins/digits"))
    models = {name.removeprefix("basins/"): read_mlp(folders.checkpoint(name)) for name in checkpoints_of(basin)}
    for family in (tiny, basin):
        for info in (family.base, *family.experts):
            text = card(info, settings, scores[info.name])
            (folders.checkpoint(info.name) / "README.md").write_text(text, encoding="utf-8")
    write_json(folders.zoo / "manifest.json", {
        "version": 1,
        "families": [family_json(tiny), family_json(basin)],
        "checkpoints": checkpoint_rows(folders, (tiny, basin)),
        "accuracies": {f"zoo:{name}": {key: {split: value.as_json() for split, value in splits.items()}
                                       for key, splits in rows.items()} for name, rows in scores.items()},
        "merges": {"tiny": merges},
        "barriers": basins.barriers(models, task),
        "build": settings.as_json() | {"torch": torch.__version__, "transformers": transformers.__version__,
                                       "steps": {"pretrain": settings.pretrain_steps,
                                                 "finetune": settings.finetune_steps,
                                                 "basins": settings.basin_steps}},
        "files": file_rows(folders),
    })  # fmt: skip


def add_strangers(settings: Settings, folders: Folders) -> None:
    """Score the families of strangers, write their cards, and put them into manifest.json; the rest stays as it is."""
    path, task = folders.zoo / "manifest.json", read_task(folders.task(strangers.TASK))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    families = [strangers_family(name, settings) for name in strangers.FAMILIES]
    for family in families:
        for info in (family.base, *family.experts):
            folder = folders.checkpoint(info.name)
            net = strangers.read_net(settings, folder)
            scores = {split: strangers.score_net(net, task, split) for split in REPORTED}
            (folder / "README.md").write_text(card(info, settings, {strangers.TASK: scores}), encoding="utf-8")
            noted = {split: value.as_json() for split, value in scores.items()}
            found["accuracies"][f"zoo:{info.name}"] = {strangers.TASK: noted}
    kept = [row for row in found["families"] if row["name"] not in strangers.FAMILIES]
    found["families"] = [*kept, *map(family_json, families)]
    found["checkpoints"] |= checkpoint_rows(folders, families)
    steps = {"basins-conv": settings.conv_steps, "basins-transformer": settings.vit_steps}
    found["build"] |= settings.as_json() | {"steps": found["build"]["steps"] | steps}
    found["files"] = file_rows(folders)
    write_json(path, found)
