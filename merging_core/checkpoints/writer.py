"""Writing a checkpoint so that it is there as a whole or not at all (`growing`), leaf by leaf or in parts (`Draft`)."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from merging_core.checkpoints.draft import Draft
from merging_core.checkpoints.dtypes import dtype_name
from merging_core.checkpoints.finite import check_finite
from merging_core.checkpoints.growing import growing
from merging_core.checkpoints.header import MAX_HEADER_BYTES, MAX_LEAVES, LeafSpec, check_header
from merging_core.checkpoints.index import INDEX_NAME
from merging_core.checkpoints.layout import header_bytes
from merging_core.checkpoints.reader import CONFIG_NAME, MODEL_NAME
from merging_core.checkpoints.shards import Shard, index_text, shards
from merging_core.checkpoints.templates import is_template
from merging_core.errors import CheckpointError, Problem

__all__ = ["drafting", "write_checkpoint"]

_EXTRA_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,100}")


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
    file: str = MODEL_NAME,
) -> Path:
    """Write the weights, `config.json` and `extra` files into a new folder, one leaf in memory at a time.

    `headers` say beforehand which leaves come and in which order; each tensor is checked against them and for NaN and
    infinity. The rest is as in `drafting`. Raises as it does, and NonFiniteError when a leaf is not finite.
    """
    drafted = drafting(
        folder, headers, config, extra=extra, metadata=metadata, overwrite=overwrite, shard_bytes=shard_bytes, file=file
    )
    with drafted as draft:
        tensors = iter(leaves)
        for expected in headers:
            name, tensor = next(tensors, ("", torch.empty(0)))
            if (name, tuple(tensor.shape), dtype_name(tensor.dtype)) != (expected.name, expected.shape, expected.dtype):
                must = f"the next leaf is {expected.name}, {expected.dtype} {list(expected.shape)}"
                got = f"{name}, {dtype_name(tensor.dtype)} {list(tensor.shape)}" if name else "the end"
                raise CheckpointError(Problem(must, got, MODEL_NAME))
            check_finite(tensor, f"{MODEL_NAME}: {name}")
            draft.write(name, 0, tensor.reshape(-1))
        if (surplus := next(tensors, None)) is not None:
            raise CheckpointError(Problem(f"{len(headers)} leaves come", f"one more, {surplus[0]},", MODEL_NAME))
    return draft.folder


@contextmanager
def drafting(  # noqa: PLR0913
    folder: str | Path,
    headers: Sequence[LeafSpec],
    config: Mapping[str, Any],
    *,
    extra: Mapping[str, str | bytes] | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
    shard_bytes: int | None = None,
    identity: str = "",
    copies: Mapping[str, Path] | None = None,
    file: str = MODEL_NAME,
) -> Iterator[Draft]:
    """Give a draft to fill; when the block ends well, the checkpoint is in its place, and else nothing is.

    The same input gives the same bytes. The metadata always say `format: pt`, as transformers wants. The weights are
    in `file`, or, where their data have more than `shard_bytes`, several files with an index. An empty
    `config` writes no `config.json`. With `overwrite` a folder that holds a checkpoint, and no folders, is replaced as
    a whole. `identity` names everything that decides about the bytes; a draft of the same identity, whose process was
    killed, is gone on with. `copies` are files to copy, by the name that they get.
    Raises PlanError before anything is written when the target is taken or the disk too small, and CheckpointError when
    something is not what the headers say. After any failure the target is what it was.
    """
    _check_names(headers, (*(extra or {}), *(copies or {})))
    parts = shards(headers, shard_bytes, file)
    starts = [header_bytes(shard.leaves, {"format": "pt", **(metadata or {})}) for shard in parts]
    for shard, start in zip(parts, starts, strict=True):
        _check_header(shard, start)
    texts = {name: text.encode() if isinstance(text, str) else text for name, text in (extra or {}).items()}
    if config:
        texts[CONFIG_NAME] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    if len(parts) > 1:
        texts[INDEX_NAME] = index_text(parts).encode()
    size = sum(map(len, starts)) + sum(shard.nbytes for shard in parts) + sum(map(len, texts.values()))
    size += sum(source.stat().st_size for source in (copies or {}).values())
    with growing(folder, size, identity=identity, overwrite=overwrite) as place:
        draft = Draft(place, parts, starts)
        yield draft
        draft.finish()
        for name, text in texts.items():
            (place.path / name).parent.mkdir(exist_ok=True)
            _write_text(place.path / name, text)
        for name, source in (copies or {}).items():
            _copy(source, place.path / name)


def _write_text(path: Path, text: bytes) -> None:
    with path.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _copy(source: Path, path: Path) -> None:
    with source.open("rb") as original, path.open("wb") as file:
        shutil.copyfileobj(original, file, 1 << 22)
        file.flush()
        os.fsync(file.fileno())


def _check_names(headers: Sequence[LeafSpec], extra: Iterable[str]) -> None:
    names = [leaf.name for leaf in headers]
    if len(set(names)) != len(names):
        raise CheckpointError(Problem("each leaf comes once", "a name twice", MODEL_NAME))
    for name in extra:
        plain = _EXTRA_NAME.fullmatch(name) is not None or is_template(name)
        if not plain or name in (CONFIG_NAME, INDEX_NAME) or name.endswith(".safetensors"):
            raise CheckpointError(Problem("an extra file has a plain name of its own", ascii(name), MODEL_NAME))


def _check_header(shard: Shard, start: bytes) -> None:
    if len(start) > MAX_HEADER_BYTES or len(shard.leaves) > MAX_LEAVES:
        must = f"a file holds at most {MAX_LEAVES} leaves and {MAX_HEADER_BYTES} bytes of header"
        raise CheckpointError(Problem(must, f"{len(shard.leaves)} leaves and {len(start)} bytes", shard.file))
    check_header(start, len(start) + shard.nbytes, shard.file)
