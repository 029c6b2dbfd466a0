"""The index of a checkpoint that is spread over shards (`model.safetensors.index.json`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from merging_core.checkpoints.config import read_json_object
from merging_core.checkpoints.header import MAX_LEAVES, FileHeader, read_header
from merging_core.errors import CheckpointError, Problem

__all__ = ["INDEX_NAME", "MAX_INDEX_BYTES", "checked_shards", "read_shards", "weight_map_of"]

INDEX_NAME = "model.safetensors.index.json"
MAX_INDEX_BYTES = 16 << 20
MAX_SHARDS = 1_000
_LISTED = 8
_SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}\.safetensors")


def read_shards(folder: Path, *, root: Path | None = None) -> tuple[FileHeader, ...]:
    """Read the index and the header of each shard, and check that they tell the same story.

    The index is an object whose `weight_map` maps each leaf to a shard: a plain file name ending in `.safetensors` in
    the same folder. Shards exist, no leaf is in two of them, each leaf is where the map says, and shards hold nothing
    else. `metadata.total_size` is not trusted and not used. Raises CheckpointError with all problems found.
    """
    weight_map = weight_map_of(read_json_object(folder / INDEX_NAME, root=root, limit=MAX_INDEX_BYTES))
    shards: list[FileHeader] = []
    problems: list[Problem] = []
    for name in sorted(set(weight_map.values())):
        try:
            shards.append(read_header(folder / name, root=root))
        except CheckpointError as error:
            problems.extend(error.problems)
    if problems:
        raise CheckpointError(*_listed(problems))
    return checked_shards(weight_map, shards)


def checked_shards(weight_map: Mapping[str, str], shards: Sequence[FileHeader]) -> tuple[FileHeader, ...]:
    """Return the shards if they and the index tell the same story; raises CheckpointError with all problems."""
    problems = _disagreements(weight_map, shards)
    if problems:
        raise CheckpointError(*_listed(problems))
    return tuple(shards)


def _listed(problems: list[Problem]) -> list[Problem]:
    more = len(problems) - _LISTED
    rest = [Problem("shards and index agree", f"{more} more disagreements", INDEX_NAME)] if more > 0 else []
    return [*problems[:_LISTED], *rest]


def weight_map_of(index: Mapping[str, Any]) -> dict[str, str]:
    """Return which leaf lies in which shard, as an index says; raises CheckpointError where it says it wrongly."""
    weight_map = index.get("weight_map")
    where = f"{INDEX_NAME}: weight_map"
    if not isinstance(weight_map, dict) or not 1 <= len(weight_map) <= MAX_LEAVES:
        got = f"{len(weight_map)} entries" if isinstance(weight_map, dict) else type(weight_map).__name__
        raise CheckpointError(Problem(f"it maps 1 to {MAX_LEAVES} leaves to shards", got, where))
    names = set(map(str, weight_map.values()))
    wrong = sorted(name for name in names if not _SHARD.fullmatch(name))
    wrong_types = [leaf for leaf, shard in weight_map.items() if not isinstance(shard, str)]
    if wrong or wrong_types:
        must = "a shard is a file name ending in .safetensors, beside the index"
        got = ascii(wrong[0][:80]) if wrong else f"{type(weight_map[wrong_types[0]]).__name__}"
        raise CheckpointError(Problem(must, got, where))
    if len(names) > MAX_SHARDS:
        raise CheckpointError(Problem(f"there are at most {MAX_SHARDS} shards", f"{len(names)}", where))
    return weight_map


def _disagreements(weight_map: Mapping[str, str], shards: Sequence[FileHeader]) -> list[Problem]:
    held = Counter(leaf.name for shard in shards for leaf in shard.leaves)
    problems = []
    for shard in shards:
        for leaf in shard.leaves:
            if held[leaf.name] > 1:
                must, got = "a leaf is in one shard", f"{held[leaf.name]} shards with it"
            elif leaf.name not in weight_map:
                must, got = "the index lists every leaf", "a leaf that it does not list"
            elif weight_map[leaf.name] != shard.file:
                must, got = f"the leaf is in {weight_map[leaf.name]}, as the index says", shard.file
            else:
                continue
            problems.append(Problem(must, got, f"{shard.file}: {leaf.name}"))
    for name, shard_name in weight_map.items():
        if name not in held:
            where = f"{shard_name}: {ascii(name)[1:-1][:80]}"
            problems.append(Problem("the shard holds every leaf that the index lists", "none of that name", where))
    return problems
