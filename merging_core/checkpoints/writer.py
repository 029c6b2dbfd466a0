"""Writing a checkpoint so that it is there as a whole or not at all.

Everything goes into a hidden neighbour of the target, is flushed to the disk (file and folder) and then renamed, as
databases do. A process that dies leaves at most such a neighbour, which the next write of the same name removes.
Overwriting takes two renames: a process that dies between them leaves the older checkpoint as a hidden neighbour.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch

from merging_core.checkpoints.dtypes import dtype_name, item_size
from merging_core.checkpoints.finite import check_finite
from merging_core.checkpoints.header import MAX_HEADER_BYTES, MAX_LEAVES, LeafSpec, check_header
from merging_core.checkpoints.index import INDEX_NAME
from merging_core.checkpoints.locks import locked_elsewhere, take_lock
from merging_core.checkpoints.natural import natural_key
from merging_core.checkpoints.reader import CONFIG_NAME, MODEL_NAME
from merging_core.checkpoints.shards import Shard, index_text, shards
from merging_core.errors import CheckpointError, PlanError, Problem, disk_is_full

__all__ = ["check_target", "header_bytes", "layout", "write_checkpoint"]

_EXTRA_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,100}")
_SPACE_FACTOR = 1.1
_WRITTEN_AT_ONCE = 1 << 30


def layout(leaves: Iterable[LeafSpec]) -> tuple[LeafSpec, ...]:
    """Return leaves in the order of their data in a file: larger elements first, then natural order.

    So every leaf starts at a multiple of its element size, which older readers of mapped files need. Where all leaves
    have one dtype this is the natural order.

    >>> [leaf.name for leaf in layout([LeafSpec("a", "BF16", (1,)), LeafSpec("b", "F32", (1,))])]
    ['b', 'a']
    """
    return tuple(sorted(leaves, key=lambda leaf: (-item_size(leaf.dtype), natural_key(leaf.name))))


def header_bytes(leaves: Iterable[LeafSpec], metadata: Mapping[str, str]) -> bytes:
    """Return the length and header of a safetensors file, padded with spaces to 8 bytes as safetensors does.

    >>> header_bytes([LeafSpec("w", "F32", (2,))], {})[8:]
    b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
    """
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for leaf in layout(leaves):
        start, end = end, end + leaf.nbytes
        entries[leaf.name] = {"dtype": leaf.dtype, "shape": list(leaf.shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_checkpoint(  # noqa: PLR0913
    folder: str | Path,
    leaves: Iterable[tuple[str, torch.Tensor]],
    headers: Sequence[LeafSpec],
    config: Mapping[str, Any],
    *,
    extra: Mapping[str, str | bytes] | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
    shard_bytes: int | None = None,
) -> Path:
    """Write the weights, `config.json` and `extra` files into a new folder, one leaf in memory at a time.

    `headers` say beforehand which leaves come and in which order; each tensor is checked against them and for NaN and
    infinity. The same input gives the same bytes. The metadata always say `format: pt`, as transformers wants.
    The weights are `model.safetensors`, or, where their data have more than `shard_bytes`, several files with an index.
    An empty `config` writes no `config.json`. With `overwrite` a folder that holds a checkpoint, and no folders, is
    replaced as a whole.
    Raises PlanError before anything is written when the target is taken or the disk too small, CheckpointError when a
    leaf is not what its header says, NonFiniteError when it is not finite. After any failure the target is what it was.
    """
    folder = _placed(folder)
    _check_names(headers, extra or {})
    parts = shards(headers, shard_bytes)
    starts = [header_bytes(shard.leaves, {"format": "pt", **(metadata or {})}) for shard in parts]
    for shard, start in zip(parts, starts, strict=True):
        _check_header(shard, start)
    texts = {name: text.encode() if isinstance(text, str) else text for name, text in (extra or {}).items()}
    if config:
        texts[CONFIG_NAME] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    if len(parts) > 1:
        texts[INDEX_NAME] = index_text(parts).encode()
    size = sum(map(len, starts)) + sum(shard.nbytes for shard in parts) + sum(map(len, texts.values()))
    check_target(folder, size, overwrite=overwrite)
    partial = folder.parent / f".{folder.name}.partial-{secrets.token_hex(8)}"
    with _sentences(folder):
        new_parents = [parent for parent in folder.parents if not parent.exists()]
    try:
        with _sentences(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(folder)
            partial.mkdir()
            with (partial / parts[0].file).open("wb", buffering=0) as first:
                take_lock(first)
                _write_shards(partial, first, parts, starts, leaves)
                for name, text in texts.items():
                    _write_text(partial / name, text)
            _sync_folder(partial)
            _put_in_place(partial, folder)
            _sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):  # one that holds something stays, and so do those above it
            for parent in new_parents:
                parent.rmdir()
    return folder


def check_target(folder: str | Path, size: int, *, overwrite: bool = False) -> None:
    """Raise PlanError where a folder of `size` bytes cannot be written: its place is taken or the disk too small.

    Writes nothing, so that a long merge can ask before it begins; `write_checkpoint` asks too.

    >>> check_target("no-such-folder/merged", 0)
    """
    folder = _placed(folder)
    with _sentences(folder):
        if problem := _taken(folder, overwrite):
            raise PlanError(problem)
        there = next(parent for parent in folder.parents if parent.exists())
        needed, free = int(size * _SPACE_FACTOR), shutil.disk_usage(there).free
    if free < needed:
        must = f"the disk has {_amount(needed)} free (the output and a tenth)"
        raise PlanError(Problem(must, f"{_amount(free)} free", folder.name, "free some space or write elsewhere"))


def _placed(folder: str | Path) -> Path:
    """Return the absolute path; one that climbs (`..`) is followed to where it leads, so that it ends in a name."""
    folder = Path(folder).absolute()
    return folder.resolve() if ".." in folder.parts else folder


def _write_shards(
    folder: Path,
    first: BinaryIO,
    parts: Sequence[Shard],
    starts: Sequence[bytes],
    leaves: Iterable[tuple[str, torch.Tensor]],
) -> None:
    """Write one file after the other; the first is open already, since it holds the lock of them all."""
    tensors = iter(leaves)
    for shard, start in zip(parts, starts, strict=True):
        with nullcontext(first) if shard is parts[0] else (folder / shard.file).open("wb", buffering=0) as file:
            _write_leaves(file, start, tensors, shard)
            os.fsync(file.fileno())
    if (surplus := next(tensors, None)) is not None:
        count = sum(len(shard.leaves) for shard in parts)
        raise CheckpointError(Problem(f"{count} leaves come", f"one more, {surplus[0]},", MODEL_NAME))


def _write_leaves(file: BinaryIO, start: bytes, tensors: Iterator[tuple[str, torch.Tensor]], shard: Shard) -> None:
    offsets: dict[str, int] = {}
    end = len(start)
    for leaf in layout(shard.leaves):
        offsets[leaf.name] = end
        end += leaf.nbytes
    _write_fully(file, memoryview(start))
    for expected in shard.leaves:
        name, tensor = next(tensors, ("", torch.empty(0)))
        if (name, tuple(tensor.shape)) != (expected.name, expected.shape) or dtype_name(tensor.dtype) != expected.dtype:
            must = f"the next leaf is {expected.name}, {expected.dtype} {list(expected.shape)}"
            got = f"{name}, {dtype_name(tensor.dtype)} {list(tensor.shape)}" if name else "the end"
            raise CheckpointError(Problem(must, got, shard.file))
        check_finite(tensor, f"{shard.file}: {name}")
        file.seek(offsets[name])
        data = tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8)
        _write_fully(file, data.numpy().data)


def _write_text(path: Path, text: bytes) -> None:
    with path.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _write_fully(file: BinaryIO, data: memoryview) -> None:
    while len(data):
        data = data[file.write(data[:_WRITTEN_AT_ONCE]) :]


def _check_names(headers: Sequence[LeafSpec], extra: Mapping[str, str | bytes]) -> None:
    names = [leaf.name for leaf in headers]
    if len(set(names)) != len(names):
        raise CheckpointError(Problem("each leaf comes once", "a name twice", MODEL_NAME))
    for name in extra:
        if not _EXTRA_NAME.fullmatch(name) or name in (CONFIG_NAME, INDEX_NAME) or name.endswith(".safetensors"):
            raise CheckpointError(Problem("an extra file has a plain name of its own", ascii(name), MODEL_NAME))


def _check_header(shard: Shard, start: bytes) -> None:
    if len(start) > MAX_HEADER_BYTES or len(shard.leaves) > MAX_LEAVES:
        must = f"a file holds at most {MAX_LEAVES} leaves and {MAX_HEADER_BYTES} bytes of header"
        raise CheckpointError(Problem(must, f"{len(shard.leaves)} leaves and {len(start)} bytes", shard.file))
    check_header(start, len(start) + shard.nbytes, shard.file)


def _taken(folder: Path, overwrite: bool) -> Problem | None:
    must = "the output folder is new or empty"
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return Problem(must, "a file or a link of that name", folder.name, "choose another name")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not overwrite:
        return Problem(must, "a folder that holds files", folder.name, "choose another name, or remove it first")
    entries = list(folder.iterdir())
    if any(entry.is_dir() for entry in entries) or {MODEL_NAME, INDEX_NAME}.isdisjoint(entry.name for entry in entries):
        must, got = "only a checkpoint folder is overwritten", f"a folder without {MODEL_NAME}, or with folders in it"
        return Problem(must, got, folder.name, "choose another name")
    return None


def _amount(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"


def _put_in_place(partial: Path, folder: Path) -> None:
    """Rename the finished folder; an older one steps aside first and comes back if that fails."""
    if not (folder.exists() and any(folder.iterdir())):
        partial.rename(folder)
        return
    aside = folder.parent / f".{folder.name}.replaced-{secrets.token_hex(8)}"
    folder.rename(aside)
    try:
        partial.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what a write of the same name left when its process died; a living one holds a lock."""
    name = re.compile(re.escape(f".{folder.name}.partial-") + "[0-9a-f]{16}")
    for entry in list(folder.parent.iterdir()):
        if name.fullmatch(entry.name) and not entry.is_symlink():
            files = [file for file in entry.glob("*.safetensors") if not file.is_symlink()]
            if files and not any(locked_elsewhere(file) for file in files):
                shutil.rmtree(entry, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot flush a folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into a sentence."""
    try:
        yield
    except OSError as error:
        full = disk_is_full(error)
        got = "a full disk" if full else f"“{error.strerror or type(error).__name__}”"
        fix = f"nothing was left behind; {'free some space or ' if full else ''}write elsewhere"
        raise PlanError(Problem("the output can be written", got, folder.name, fix)) from error
