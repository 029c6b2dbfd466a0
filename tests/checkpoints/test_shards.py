"""Shards: the files that transformers would write, read back by us and by transformers; whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from merging_core.checkpoints.dtypes import dtype_name
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.index import INDEX_NAME
from merging_core.checkpoints.shards import index_text, parse_size, shards
from merging_core.checkpoints.writer import write_checkpoint
from merging_core.errors import CheckpointError, PlanError
from tests.checkpoints.build import opened


def specs(tensors: dict[str, torch.Tensor]) -> list[LeafSpec]:
    return [LeafSpec(name, dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in tensors.items()]


def some(sizes: list[int]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {f"layers.{place}.w": torch.randn(size, generator=generator) for place, size in enumerate(sizes)}


@given(st.lists(st.integers(1, 250), min_size=1, max_size=40), st.integers(1_000, 6_000))
def test_leaves_lie_in_the_files_that_huggingface_hub_would_choose(sizes: list[int], limit: int) -> None:
    tensors = some(sizes)
    theirs = split_torch_state_dict_into_shards(tensors, max_shard_size=limit)
    ours = shards(specs(tensors), limit)
    assert {shard.file: [leaf.name for leaf in shard.leaves] for shard in ours} == theirs.filename_to_tensors
    index = json.loads(index_text(ours))
    assert index["weight_map"] == theirs.tensor_to_filename
    assert index["metadata"] == {"total_size": 4 * sum(sizes)}


def test_shards_hold_every_leaf_once_and_are_read_back(tmp_path: Path) -> None:
    tensors = some([300, 200, 900, 10, 20]) | {"flags": torch.tensor([True]), "half": torch.ones(3).half()}
    folder = write_checkpoint(
        tmp_path / "out", tensors.items(), specs(tensors), {"model_type": "vit"}, shard_bytes=2000
    )
    files = sorted(path.name for path in folder.glob("*.safetensors"))
    assert files == [f"model-{place:05}-of-00003.safetensors" for place in (1, 2, 3)]
    theirs = {name: leaf for file in files for name, leaf in load_file(folder / file).items()}
    ours = opened(folder)
    assert set(theirs) == set(ours.leaves) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(theirs[name], tensor) and torch.equal(ours.read(name), tensor)


def test_the_content_digest_does_not_see_the_files(tmp_path: Path) -> None:
    tensors = some([300, 200, 900])
    one = write_checkpoint(tmp_path / "one", tensors.items(), specs(tensors), {})
    many = write_checkpoint(tmp_path / "many", tensors.items(), specs(tensors), {}, shard_bytes=1000)
    assert (one / "model.safetensors").is_file() and not (one / INDEX_NAME).exists()
    assert not (many / "model.safetensors").exists() and (many / INDEX_NAME).is_file()
    assert opened(one).content() == opened(many).content()


def test_transformers_loads_shards_without_a_missing_leaf(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = ViTModel(ViTConfig(**sizes, image_size=8, patch_size=4))
    tensors = dict(model.state_dict())
    out = write_checkpoint(tmp_path / "out", tensors.items(), specs(tensors), model.config.to_dict(), shard_bytes=1500)
    assert len(list(out.glob("model-*.safetensors"))) > 2
    again, report = ViTModel.from_pretrained(out, output_loading_info=True)
    assert not any(report[key] for key in report)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in tensors.items())


def test_a_leaf_larger_than_a_file_may_be_has_one_to_itself_in_its_place() -> None:
    parts = shards(specs(some([100, 900, 100, 100])), 1000)
    assert [[leaf.name[7] for leaf in shard.leaves] for shard in parts] == [["0"], ["1"], ["2", "3"]]


def test_a_failure_in_a_later_file_leaves_nothing(tmp_path: Path) -> None:
    tensors = some([300, 300, 300])
    with pytest.raises(CheckpointError, match="the next leaf is layers.2.w, F32 .300., but the end came"):
        write_checkpoint(tmp_path / "out", list(tensors.items())[:2], specs(tensors), {}, shard_bytes=1200)
    assert list(tmp_path.iterdir()) == []


def test_a_sharded_checkpoint_is_overwritten_as_a_whole(tmp_path: Path) -> None:
    tensors = some([300, 300, 300])
    folder = write_checkpoint(tmp_path / "out", tensors.items(), specs(tensors), {}, shard_bytes=1200)
    write_checkpoint(folder, tensors.items(), specs(tensors), {}, overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize(("limit", "said"), [(999, "at least 1000 bytes, but 999"), (-1, "at least 1000 bytes")])
def test_a_limit_that_is_a_mistake_is_refused(limit: int, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        shards(specs(some([1])), limit)


def test_more_than_a_thousand_files_are_refused() -> None:
    with pytest.raises(PlanError, match="at most 1000 files, but 1001 came; allow larger files"):
        shards([LeafSpec(f"w{place}", "F32", (300,)) for place in range(1001)], 1000)


@pytest.mark.parametrize("text", ["", "GB", "2 XB", "-1GB", "1e9", "2GBx", "٢GB", "1" * 40])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="shard size: a size is a number with a unit"):
        parse_size(text)


@pytest.mark.parametrize("name", [INDEX_NAME, "config.json", "model-1.safetensors", "../x", ".hidden", "a/b"])
def test_an_extra_file_cannot_take_the_place_of_weights_or_lie_elsewhere(name: str, tmp_path: Path) -> None:
    tensors = some([1])
    with pytest.raises(CheckpointError, match="a plain name of its own"):
        write_checkpoint(tmp_path / "out", tensors.items(), specs(tensors), {}, extra={name: b"x"})
