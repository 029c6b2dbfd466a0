"""Tasks as files: four sprite sheets and a task.json, written and read back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from numpy.typing import NDArray

from assets.build.sheets import Images, read_sheet, write_sheet

Labels = NDArray[numpy.int64]


@dataclass(frozen=True)
class Split:
    """A split as tensors: images `[n, s, s]` (uint8) and labels `[n]` (empty for calibration)."""

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Task:
    """A task read back from the zoo: its task.json and its splits."""

    info: dict[str, object]
    splits: dict[str, Split]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.info["classes"])  # type: ignore[arg-type]


def read_task(folder: Path) -> Task:
    """Read a task from its folder."""
    info = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    splits = {}
    for split, row in info["splits"].items():
        images = torch.from_numpy(read_sheet(folder / row["file"], row["n"], info["image_size"]).copy())
        splits[split] = Split(images, torch.tensor(row.get("labels", []), dtype=torch.long))
    return Task(info, splits)


def content_keys(images: Images) -> list[str]:
    """Return a sha256 of each image's pixels."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def write_task(folder: Path, head: dict[str, object], splits: dict[str, tuple[Images, Labels]]) -> None:
    """Write the sheets and task.json of a task; raises ValueError if one image is in two splits."""
    folder.mkdir(parents=True, exist_ok=True)
    owner: dict[str, str] = {}
    listed: dict[str, dict[str, object]] = {}
    for split, (images, labels) in splits.items():
        for key in content_keys(images):
            if owner.setdefault(key, split) != split:
                raise ValueError(f"{folder}: one image is in {owner[key]} and in {split}")
        write_sheet(folder / f"{split}.png", images)
        listed[split] = {"file": f"{split}.png", "n": len(images)}
        if split != "calibration":
            listed[split]["labels"] = labels.tolist()
    text = json.dumps(head | {"splits": listed}, ensure_ascii=False, indent=1)
    text = text.replace(",\n    ", ", ").replace("[\n    ", "[").replace("\n   ]", "]")
    (folder / "task.json").write_text(text + "\n", encoding="utf-8")
