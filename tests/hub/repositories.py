"""What lies on the Hub of the tests: repositories, their commits, and who may read them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ADA", "BOB", "FakeModel", "entry_of", "folder_files"]

ADA = "hf_" + "A" * 34
"""The token of an account that may read everything."""
BOB = "hf_" + "B" * 34
"""The token of an account that may read what is public."""
_LFS = (".safetensors", ".bin", ".parquet")


@dataclass
class FakeModel:
    """One repository: its commits by digest, its branches, and who may read it."""

    id: str
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    readers: frozenset[str] = frozenset({ADA})
    """Who may read it where it is private or gated."""
    about: dict[str, Any] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Make a commit, and let a branch lead to it."""
        text = self.id + str(len(self.commits)) + "".join(sorted(files))
        digest = hashlib.sha1(text.encode()).hexdigest()
        self.commits[digest] = dict(files)
        self.branches[branch] = digest
        return digest


def folder_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def entry_of(name: str, data: bytes) -> dict[str, Any]:
    """Return a file as the Hub's tree lists it."""
    if not name.endswith(_LFS):
        return {"path": name, "size": len(data), "oid": hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()}
    pointer = hashlib.sha1(b"pointer" + data[:64]).hexdigest()
    lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return {"path": name, "size": len(data), "oid": pointer, "lfs": lfs}
