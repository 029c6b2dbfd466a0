"""Build the zoo: `python -m assets.build [data|pretrain|finetune|basins|strangers|manifest|page] [--only NAME …]`.

Without a stage, all run in order. Each stage reads what earlier ones left under assets/zoo and the work folder.
`manifest --only` with families of strangers leaves all that is told of the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from assets.build import basins, finetune, manifest, page, pretrain, store, strangers, taskfiles, tasks, vision
from assets.build.randomness import fix_execution
from assets.build.settings import Folders, Settings

Only = frozenset[str]


def run_data(settings: Settings, folders: Folders, only: Only) -> None:
    """Draw the splits of every task (or of those in `only`)."""
    for task in tasks.tiny_tasks():
        if not only or task.name in only:
            tasks.write_tiny_task(task, folders.task(f"tiny/{task.name}"), settings.seed, settings.head_scale)
            print(f"data: tiny/{task.name}")
    if not only or "basins" in only:
        tasks.write_basin_task(folders.task("basins/digits"), settings.seed)
        print("data: basins/digits")


def run_pretrain(settings: Settings, folders: Folders, only: Only) -> None:
    """Pretrain the base, resuming where an earlier run stopped."""
    store.write_vision(pretrain.pretrain(settings, folders.work), folders.checkpoint("tiny/base"))


def run_finetune(settings: Settings, folders: Folders, only: Only) -> None:
    """Compute prototypes and fine-tune an expert for every task (or for those in `only`)."""
    base = store.read_vision(folders.checkpoint("tiny/base"))
    for info in tasks.tiny_tasks():
        if only and info.name not in only:
            continue
        folder = folders.task(f"tiny/{info.name}")
        task = taskfiles.read_task(folder)
        train = task.splits["train"]
        store.write_head(folder, vision.prototypes(base, train.images, train.labels, task.classes))
        expert = finetune.finetune(base, info, store.read_head(folder), settings)
        store.write_vision(expert, folders.checkpoint(f"tiny/{info.name}"))
        print(f"finetune: tiny/{info.name}", flush=True)


def run_basins(settings: Settings, folders: Folders, only: Only) -> None:
    """Train the five MLPs."""
    task = taskfiles.read_task(folders.task("basins/digits"))
    for name, leaves in basins.train_all(task, settings).items():
        store.write_mlp(leaves, settings, folders.checkpoint(f"basins/{name}"))
    print("basins: five MLPs")


def run_strangers(settings: Settings, folders: Folders, only: Only) -> None:
    """Train the nets with batch normalisation and the small transformers (or the families in `only`)."""
    task = taskfiles.read_task(folders.task(strangers.TASK))
    for family in strangers.FAMILIES:
        if not only or family in only:
            for name, model in strangers.train_all(family, task, settings).items():
                strangers.write_net(model, settings, folders.checkpoint(f"{family}/{name}"))
            print(f"strangers: {family}", flush=True)


def run_manifest(settings: Settings, folders: Folders, only: Only) -> None:
    """Score everything and write the cards and the manifest."""
    if not (only and only <= frozenset(strangers.FAMILIES)):
        manifest.write_manifest(settings, folders)
    manifest.add_strangers(settings, folders)
    print(f"manifest: {folders.zoo / 'manifest.json'}")


def run_page(settings: Settings, folders: Folders, only: Only) -> None:
    """Bring the tables of docs/zoo.md up to date."""
    page.write_page(folders.zoo, Path(__file__).resolve().parents[2] / "docs" / "zoo.md")


STAGES: dict[str, Callable[[Settings, Folders, Only], None]] = {
    "data": run_data, "pretrain": run_pretrain, "finetune": run_finetune, "basins": run_basins,
    "strangers": run_strangers,
    "manifest": run_manifest,
    "page": run_page,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run the stages asked for."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(prog="python -m assets.build", description=__doc__)
    parser.add_argument("stage", nargs="?", choices=[*STAGES, "all"], default="all")
    parser.add_argument("--only", nargs="*", default=[], help="tasks to draw or fine-tune, such as digits")
    parser.add_argument("--zoo", type=Path, default=here.parent / "zoo", help="where the zoo is written")
    parser.add_argument("--work", type=Path, default=here / ".work", help="where pretraining keeps its state")
    found = parser.parse_args(arguments)
    settings = Settings()
    fix_execution(settings.threads)
    for name, stage in STAGES.items():
        if found.stage in (name, "all"):
            stage(settings, Folders(found.zoo, found.work), frozenset(found.only))


if __name__ == "__main__":
    main()
