"""A Hub with every repository that the preset names: tiny towers, whose leaves have the old names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.presets.reading import FOLDER, read_presets
from tests.app.tasks.places import shards
from tests.evaluation.test_clip_benchmark import write_benchmark
from tests.hub.server import FakeHub, folder_files

__all__ = ["PRESET", "plain", "stand_in"]

(PRESET,) = read_presets(FOLDER)


def plain(ref: str) -> str:
    """Return the repository of a reference."""
    return ref.partition("@")[0].removeprefix("hub:")


@contextmanager
def stand_in(folder: Path) -> Iterator[FakeHub]:
    """Open such a Hub; `folder` is a place for what is made."""
    write_benchmark(folder)
    with FakeHub() as made:
        clip = made.add(plain(PRESET.base), {"pytorch_model.bin": b"\x80"})
        commit = PRESET.base.partition("@")[2].partition("#")[0]
        clip.commits[commit] = folder_files(folder / "clip")
        rows = shards(folder, train=60, test=30)
        for place, task in enumerate(PRESET.tasks):
            made.add(plain(task.expert), folder_files(folder / ("one", "two")[place % 2]))
            part = task.part or "data"
            files = {name.replace("data/", f"{part}/"): data for name, data in rows.items()}
            extra = {f"{part}/extra-00000-of-00001.parquet": b"PAR1", "full/train-00000-of-00001.parquet": b"PAR1"}
            made.add(plain(task.data), {**files, **(extra if task.part else {})}, data_set=True)
        yield made
