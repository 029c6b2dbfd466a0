"""Content digests that were computed before, kept for files that have not changed since.

Hashing a checkpoint reads every byte of it, which takes longer than merging it. So a digest is kept under everything
that tells a file from the one that it becomes when somebody writes to it: size, times of change, inode, device.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from merging_core.checkpoints.content import leaf_preamble
from merging_core.checkpoints.files import Fingerprint
from merging_core.checkpoints.header import LeafHeader

__all__ = ["Digests"]

_DIGEST = re.compile("[0-9a-f]{64}")
_SETTLED_S = 2.0
"""A file that changed less long ago could change once more without a new time: its digest is not kept."""
_MOST = 4096


@dataclass(frozen=True)
class Digests:
    """Digests of checkpoints in files of this machine, one small file each; at most some thousands are kept."""

    place: Callable[[], Path | None]
    """Gives the folder when a digest is asked for, made where it is missing; nothing where none is to be had."""

    def of(
        self,
        folder: Path,
        files: Mapping[str, Fingerprint],
        leaves: Iterable[LeafHeader],
        compute: Callable[[], str],
    ) -> str:
        """Return the digest of some leaves in some files of a folder: as it is kept, or computed and then kept.

        `files` are the fingerprints that the files had when they were opened. Raises as `compute` does.
        """
        before, kept = _state(folder, files), self.place()
        if before is None or kept is None:
            return compute()
        place = kept / _key(before, leaves)
        with suppress(OSError):
            known = place.read_text(encoding="ascii", errors="replace").strip()
            if _DIGEST.fullmatch(known):
                return known
        digest = compute()
        if _state(folder, files) == before and time.time() - _SETTLED_S > max(one.changed for one in before):
            _keep(place, digest)
        return digest


def _keep(place: Path, digest: str) -> None:
    with suppress(OSError):
        kept = sorted(place.parent.iterdir(), key=lambda entry: entry.stat().st_mtime)
        for old in kept[: max(0, len(kept) - _MOST + 1)]:
            old.unlink(missing_ok=True)
        fresh = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        fresh.write_text(digest, encoding="ascii")
        fresh.replace(place)


@dataclass(frozen=True)
class _State:
    """What a file is on the disk: its path, its fingerprint, and when anything about it changed last."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @property
    def changed(self) -> float:
        return max(self.mtime_ns, self.ctime_ns) / 1e9


def _state(folder: Path, files: Mapping[str, Fingerprint]) -> tuple[_State, ...] | None:
    """Return the state of some files; nothing where one is no longer what was opened."""
    states = []
    for name, known in sorted(files.items()):
        path = os.path.realpath(folder / name)
        try:
            found = os.stat(path)
        except OSError:
            return None
        if Fingerprint(found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev) != known:
            return None
        states.append(_State(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev))
    return tuple(states)


def _key(states: tuple[_State, ...], leaves: Iterable[LeafHeader]) -> str:
    whole = hashlib.sha256(repr(states).encode())
    for leaf in leaves:
        whole.update(leaf_preamble(leaf))
        whole.update(f"{leaf.file}\n{leaf.offset}\n".encode())
    return whole.hexdigest()
