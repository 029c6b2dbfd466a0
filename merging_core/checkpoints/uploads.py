"""Checkpoints that visitors gave to a server: where a content address leads.

Each lies in a folder of its own, named by its address, that is complete and never changes: `model.safetensors`, with
`config.json` where one came along, or the two files of a LoRA adapter, and `upload.json`, which says what its content
digest is. Who may list it is not for the library to know.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from merging_core.checkpoints.adapter_config import ADAPTER_MODEL
from merging_core.checkpoints.config import read_json_object
from merging_core.checkpoints.reader import MODEL_NAME, Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, Problem

__all__ = ["UPLOAD_NAME", "UploadedCheckpoints", "checkpoint_address"]

UPLOAD_NAME = "upload.json"
_DIGITS = 32


def checkpoint_address(content: str, config: bytes) -> str:
    """Return the address of weights with this content digest and this `config.json`, empty where none came.

    The same weights with another configuration are another model, so they have another address.

    >>> checkpoint_address("ab" * 32, b"")
    'abababababababababababababababab'
    >>> checkpoint_address("ab" * 32, b"{}") == checkpoint_address("ab" * 32, b"")
    False
    """
    if config:
        content = hashlib.sha256(f"{content}\n".encode() + config).hexdigest()
    return content[:_DIGITS]


@dataclass(frozen=True)
class UploadedCheckpoints:
    """The uploaded checkpoints below `root`."""

    root: Path

    def open(self, ref: Ref) -> Checkpoint:
        """Open what was uploaded under an address.

        Raises CheckpointError where nothing lies there, as on another server than the one that took it.
        """
        folder = self.root / ref.path.partition("/")[0]
        if folder.is_symlink() or not any((folder / name).is_file() for name in (MODEL_NAME, ADAPTER_MODEL)):
            must, got = "what was uploaded is on this server", "nothing of this address"
            fix = "it was uploaded on another server, or has been deleted: upload it here under Choose models"
            raise CheckpointError(Problem(must, got, ref.label, fix))
        content = read_json_object(folder / UPLOAD_NAME).get("content")
        return open_checkpoint(folder, ref, known_content=content if isinstance(content, str) else None)
