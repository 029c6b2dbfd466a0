"""Statistics in a store of learned tensors: written once, and found again by what they are of."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch

from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.ref import LEARNED, Ref, parse_ref
from merging_core.cores import on_one_core
from merging_core.engines.measured import ABOUT, SIZE, About
from merging_core.errors import BasinError

__all__ = ["MOST", "data_digest", "find", "keep"]

MOST = 4 << 30
"""Bytes that a shared folder holds."""
_ENDING = ".statistics"
_DIGITS = 64


def keep(store: LearnedTensors, about: About, tensors: Mapping[str, torch.Tensor]) -> Ref:
    """Write what was measured into the store and return its reference; `find` finds it in every folder of the store.

    Raises ValueError where there is no folder, OSError where the first cannot be written to.
    """
    size = on_one_core(lambda: sum(float(tensor.double().square().sum()) for tensor in tensors.values()) ** 0.5)
    whole = {**tensors, ABOUT: about.tensor(), SIZE: torch.tensor([size], dtype=torch.float64)}
    ref = store.keep(whole)
    _note(store.folders[0], about, ref)
    for folder in store.folders[1:]:
        with suppress(OSError):
            _make_room(folder, store.folders[0] / f"{ref.path}.safetensors")
            _share(store.folders[0], folder, ref)
            _note(folder, about, ref)
    return ref


def find(store: LearnedTensors, about: About) -> Ref | None:
    """Return the reference of what was measured before of the same, in the first folder too; nothing where it is not.

    What lies there and is not what it should be counts as not there.
    """
    for folder in store.folders:
        try:
            digest = (folder / _noted(about)).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if len(digest) != _DIGITS:
            continue
        try:
            ref = parse_ref(f"{LEARNED}:{digest}")
            found = LearnedTensors((folder,)).open(ref)
            if not torch.equal(found.read(ABOUT), about.tensor()):
                continue
            if folder != store.folders[0]:
                _share(folder, store.folders[0], ref)
                _note(store.folders[0], about, ref)
        except (BasinError, OSError, KeyError):
            continue
        return ref
    return None


def data_digest(rows: torch.Tensor, head: Mapping[str, torch.Tensor | float]) -> str:
    """Return 32 hex digits that name examples and the head that they are answered with."""
    digest = hashlib.sha256(f"basin.statistics.2\n{rows.dtype} {list(rows.shape)}\n".encode())
    digest.update(_data(rows))
    for name, value in sorted(head.items()):
        digest.update(f"\n{name}\n".encode())
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {list(value.shape)}\n".encode())
            digest.update(_data(value))
        else:
            digest.update(float(value).hex().encode())
    return digest.hexdigest()[:32]


def _data(tensor: torch.Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _noted(about: About) -> str:
    """Return the name of the note that says under which content statistics lie."""
    return hashlib.sha256(bytes(about.tensor().tolist())).hexdigest()[:32] + _ENDING


def _note(folder: Path, about: About, ref: Ref) -> None:
    _written(folder / _noted(about), lambda path: path.write_text(ref.path, encoding="ascii"))


def _share(source: Path, target: Path, ref: Ref) -> None:
    """Give another folder the same file: a link where the disk is the same, else a copy."""
    name = f"{ref.path}.safetensors"
    if (target / name).is_file():
        return
    target.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source / name, target / name)
    except FileExistsError:
        return
    except OSError:
        _written(target / name, lambda path: shutil.copyfile(source / name, path))


def _make_room(folder: Path, coming: Path) -> None:
    """Let what was written longest ago go from a shared folder, so that it holds at most `MOST` bytes."""
    held = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in folder.glob("*.safetensors"))
    total = sum(size for _, size, _ in held) + coming.stat().st_size
    for _, size, path in held:
        if total <= MOST:
            return
        path.unlink(missing_ok=True)
        total -= size


def _written(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name first, so that it is whole or not there."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    os.close(handle)
    try:
        write(Path(part))
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
