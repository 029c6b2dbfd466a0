"""Learned masks and coefficients on disk: one safetensors file each, named by its content, never changed.

A recipe names them as `learned:<content digest>`. They lie in a store, or beside the recipe of a merge that was written
to a folder.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from merging_core.checkpoints.content import content_digest
from merging_core.checkpoints.dtypes import dtype_name
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.layout import header_bytes, layout
from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import LEARNED, Ref
from merging_core.errors import CheckpointError, Problem

__all__ = ["BESIDE_NAME", "LearnedTensors"]

BESIDE_NAME = "recipe.tensors"
"""What they are called beside a `recipe.json`: no name that is taken for the weights of a model."""


@dataclass(frozen=True)
class LearnedTensors:
    """The learned tensors in some folders; new ones go into the first."""

    folders: tuple[Path, ...]
    advice: str = f"put {BESIDE_NAME}, or the file of this name, beside the recipe, or learn again"
    """What to do where some are missing."""

    def open(self, ref: Ref) -> Checkpoint:
        """Open the tensors of a content digest.

        Raises CheckpointError where no folder holds them, or what lies under their name has another content.
        """
        for folder in self.folders:
            for path in (folder / f"{ref.path}.safetensors", folder / BESIDE_NAME):
                if not path.is_file():
                    continue
                found = open_checkpoint(path, ref)
                if found.content() == ref.path:
                    return found
                if path.name != BESIDE_NAME:
                    must, fix = "learned tensors are what their name says", "learn them again, or copy them again"
                    raise CheckpointError(Problem(must, "other numbers", ref.label, fix))
        must = "the learned tensors of a recipe are here"
        raise CheckpointError(Problem(must, "none of this content", ref.label, self.advice))

    def keep(self, tensors: Mapping[str, torch.Tensor]) -> Ref:
        """Write tensors into the first folder, whole or not at all, and return their reference.

        Raises ValueError where there is no folder, OSError where it cannot be written to.
        """
        if not self.folders:
            raise ValueError("there is no folder to keep learned tensors in")
        folder = self.folders[0]
        ready = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
        specs = [LeafSpec(name, dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in ready.items()]
        digest = content_digest(specs, lambda name: hashlib.sha256(_data(ready[name])).digest())
        path = folder / f"{digest}.safetensors"
        if path.is_file():
            return Ref(LEARNED, digest)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".part", delete=False) as file:
            try:
                file.write(header_bytes(specs, {"format": "pt"}))
                for spec in layout(specs):
                    file.write(_data(ready[spec.name]))
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        return Ref(LEARNED, digest)


def _data(tensor: torch.Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data
