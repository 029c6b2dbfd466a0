"""Shards and their index tell the same story, or nothing is opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from merging_core.checkpoints.index import INDEX_NAME, MAX_INDEX_BYTES
from merging_core.errors import CheckpointError
from tests.checkpoints.build import opened

A, B = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def sharded(folder: Path, weight_map: object, **more: object) -> Path:
    save_file({"a": torch.ones(2), "c": torch.ones(3)}, folder / A)
    save_file({"b": torch.full((2,), 2.0)}, folder / B)
    (folder / INDEX_NAME).write_text(json.dumps({"weight_map": weight_map, **more}))
    return folder


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    checkpoint = opened(sharded(tmp_path, {"a": A, "b": B, "c": A}, metadata={"total_size": 28}))
    assert list(checkpoint.leaves) == ["a", "b", "c"]
    assert checkpoint.read("b").tolist() == [2, 2]
    assert (checkpoint.elements, checkpoint.nbytes, checkpoint.dtypes) == (7, 28, ("F32",))


@pytest.mark.parametrize(
    "shard",
    ["../x.safetensors", "/etc/passwd", "C:\\x.safetensors", "..\\x.safetensors", "%2e%2e/x.safetensors", "",
     "sub/x.safetensors", "model.bin", "model.SAFETENSORS", ".safetensors", "a\0.safetensors", 7, None, ["x"]],
)  # fmt: skip
def test_a_shard_is_a_plain_name_beside_the_index(shard: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a shard is a file name ending in .safetensors, beside the index"):
        opened(sharded(tmp_path, {"a": A, "b": shard, "c": A}))


@pytest.mark.parametrize(
    ("weight_map", "said"),
    [
        ({"a": A, "b": B, "c": A, "d": B}, f"{B}: d: the shard holds every leaf that the index lists"),
        ({"a": A, "b": B}, f"{A}: c: the index lists every leaf"),
        ({"a": A, "b": A, "c": A}, "b: the shard holds every leaf"),
        ({"a": A, "b": B, "c": B}, f"{A}: c: the leaf is in {B}, as the index says"),
        ({"a": A, "b": "model-3.safetensors", "c": A}, "model-3.safetensors: the file exists"),
        ([], "maps 1 to 50000 leaves to shards, but list"),
        ({}, "maps 1 to 50000 leaves to shards, but 0 entries"),
        (None, "maps 1 to 50000 leaves to shards, but NoneType"),
    ],
)
def test_disagreement_is_told(weight_map: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        opened(sharded(tmp_path, weight_map))
    assert said in str(refused.value)


def test_a_leaf_in_two_shards_is_refused(tmp_path: Path) -> None:
    sharded(tmp_path, {"a": A, "b": B, "c": A})
    save_file({"a": torch.ones(2), "b": torch.ones(2)}, tmp_path / B)
    with pytest.raises(CheckpointError, match="a: a leaf is in one shard, but 2 shards with it"):
        opened(tmp_path)


def test_every_broken_shard_is_told_at_once(tmp_path: Path) -> None:
    sharded(tmp_path, {"a": A, "b": B, "c": A})
    (tmp_path / A).write_bytes(b"GGUF" + bytes(50))
    (tmp_path / B).write_bytes(b"")
    with pytest.raises(CheckpointError) as refused:
        opened(tmp_path)
    assert len(refused.value.problems) == 2


def test_a_shard_that_is_a_link_is_refused(tmp_path: Path) -> None:
    sharded(tmp_path, {"a": A, "b": B, "c": A})
    (tmp_path / B).rename(tmp_path / "blob")
    (tmp_path / B).symlink_to("blob")
    with pytest.raises(CheckpointError, match="a symbolic link"):
        opened(tmp_path)


def test_a_huge_index_is_refused(tmp_path: Path) -> None:
    sharded(tmp_path, {})
    (tmp_path / INDEX_NAME).write_bytes(b" " * (MAX_INDEX_BYTES + 1))
    with pytest.raises(CheckpointError, match="has at most 16777216 bytes"):
        opened(tmp_path)


def test_a_leaf_that_the_index_lists_twice_is_refused(tmp_path: Path) -> None:
    sharded(tmp_path, {})
    (tmp_path / INDEX_NAME).write_text(f'{{"weight_map": {{"a": "{A}", "a": "{B}"}}}}')
    with pytest.raises(CheckpointError, match="each key occurs once"):
        opened(tmp_path)


def test_a_single_file_counts_before_an_index(tmp_path: Path) -> None:
    sharded(tmp_path, {"a": A, "b": B, "c": A})
    save_file({"only": torch.ones(1)}, tmp_path / "model.safetensors")
    assert list(opened(tmp_path).leaves) == ["only"]
