"""A trained expert becomes an upload of its visitor, so that studio, exports and links take it like any other model."""

from __future__ import annotations

import shutil
from pathlib import Path

from app.uploads.intake import checked_checkpoint
from app.uploads.shelf import Uploads, plain_name
from merging_core.checkpoints.reader import CONFIG_NAME, MODEL_NAME

__all__ = ["shelved"]


def shelved(uploads: Uploads, visitor: str, folder: Path, name: str) -> str:
    """Put the checkpoint of a folder among a visitor's uploads and return its reference; the folder goes.

    Raises as an upload does: `UploadError` of every kind where there is no room, `BusyError`, `CheckpointError`.
    """
    size = sum((folder / name).stat().st_size for name in (MODEL_NAME, CONFIG_NAME))
    with uploads.arriving(visitor, size) as place:
        for file in (MODEL_NAME, CONFIG_NAME):
            shutil.copyfile(folder / file, place.folder / file)
        config = (place.folder / CONFIG_NAME).read_bytes()
        kept = place.keep(
            checked_checkpoint(place.folder / MODEL_NAME, config, name), plain_name(f"{name}.safetensors")
        )
    shutil.rmtree(folder, ignore_errors=True)
    return kept.ref
