"""How a checkpoint is spread over files of a chosen size, named and indexed as transformers does it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.index import MAX_SHARDS
from merging_core.checkpoints.reader import MODEL_NAME
from merging_core.errors import PlanError, Problem

__all__ = ["SMALLEST_SHARD", "Shard", "index_text", "parse_size", "shards"]

SMALLEST_SHARD = 1_000
"""Bytes; a smaller limit is surely a mistake in the unit."""

_SIZE = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([A-Za-z]{0,3})\s*", re.ASCII)
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


@dataclass(frozen=True)
class Shard:
    """One file of a checkpoint and the leaves in it."""

    file: str
    leaves: tuple[LeafSpec, ...]

    @property
    def nbytes(self) -> int:
        """The bytes of its data, without the header."""
        return sum(leaf.nbytes for leaf in self.leaves)


def shards(leaves: Sequence[LeafSpec], limit: int | None, file: str = MODEL_NAME) -> tuple[Shard, ...]:
    """Spread leaves over files in their order; a new file begins where the next leaf would exceed `limit` bytes.

    One file, named `file`, where everything fits or `limit` is None; otherwise
    `model-00001-of-0000n.safetensors` and so on. A leaf larger than the limit has a file to itself. `limit` counts
    data, not headers.
    Raises PlanError when the limit is below 1 000 bytes or asks for more than 1 000 files.

    Source: transformers and huggingface_hub, `split_torch_state_dict_into_shards`.

    >>> leaves = [LeafSpec(name, "F32", (200,)) for name in "abc"]
    >>> [(shard.file, len(shard.leaves)) for shard in shards(leaves, 1600)]
    [('model-00001-of-00002.safetensors', 2), ('model-00002-of-00002.safetensors', 1)]
    >>> [shard.file for shard in shards(leaves, 2400)]
    ['model.safetensors']
    """
    if limit is not None and limit < SMALLEST_SHARD:
        must = f"a file of a checkpoint may have at least {SMALLEST_SHARD} bytes"
        raise PlanError(Problem(must, f"{limit}", "shard size", "write it like 2GB or 500MB"))
    groups: list[list[LeafSpec]] = [[]]
    size = 0
    for leaf in leaves:
        if limit is not None and groups[-1] and size + leaf.nbytes > limit:
            groups.append([])
            size = 0
        groups[-1].append(leaf)
        size += leaf.nbytes
    if len(groups) > MAX_SHARDS:
        must = f"a checkpoint has at most {MAX_SHARDS} files"
        raise PlanError(Problem(must, f"{len(groups)}", "shard size", "allow larger files"))
    if len(groups) == 1:
        return (Shard(file, tuple(groups[0])),)
    stem = MODEL_NAME.removesuffix(".safetensors")
    names = (f"{stem}-{number:05}-of-{len(groups):05}.safetensors" for number in range(1, len(groups) + 1))
    return tuple(Shard(name, tuple(group)) for name, group in zip(names, groups, strict=True))


def index_text(parts: Sequence[Shard]) -> str:
    """Return `model.safetensors.index.json`: which leaf is in which file, and the bytes of all data."""
    weight_map = {leaf.name: shard.file for shard in parts for leaf in shard.leaves}
    document = {"metadata": {"total_size": sum(shard.nbytes for shard in parts)}, "weight_map": weight_map}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def parse_size(text: str, where: str = "shard size") -> int:
    """Read a size in bytes: a number with B, kB, MB, GB, TB (powers of 1 000) or KiB, MiB, GiB, TiB (of 1 024).

    Raises PlanError.

    >>> parse_size("2GB"), parse_size("1.5 MiB"), parse_size("4096")
    (2000000000, 1572864, 4096)
    """
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match.group(2).lower()) if match else None
    if match is None or unit is None:
        raise PlanError(Problem("a size is a number with a unit", ascii(text[:40]), where, "write it like 2GB"))
    return int(float(match.group(1)) * unit)
