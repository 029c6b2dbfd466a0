"""The parameter space: what models share, laid out once; everything that they do not share, said at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, NonFiniteError, SpaceError
from merging_core.space import build_space
from merging_core.space.depth import Depth

CONFIG = {"model_type": "vit", "hidden_size": 2, "num_attention_heads": 1, "hidden_act": "gelu"}


def model(
    folder: Path, name: str, tensors: dict[str, torch.Tensor], config: dict[str, object] | None = None
) -> Checkpoint:
    path = folder / name
    path.mkdir()
    save_file(tensors, path / "model.safetensors")
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    return open_checkpoint(path, Ref("zoo", f"tiny/{name}"), label=name)


def leaves(value: float, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return {
        "layers.10.w": torch.full((2,), value, dtype=dtype),
        "layers.2.w": torch.full((2, 3), value, dtype=dtype),
        "embeddings.w": torch.full((1,), value, dtype=dtype),
        "norm.scale": torch.tensor(value, dtype=dtype),
        "norm.nothing": torch.empty(0, 5, dtype=dtype),
        "position_ids": torch.arange(4),
        "attention.mask": torch.tensor([True, False]),
    }


def test_floating_leaves_lie_in_natural_order_without_gaps(tmp_path: Path) -> None:
    space = build_space(model(tmp_path, "base", leaves(0)), [model(tmp_path, "digits", leaves(1))])
    assert [(leaf.name, leaf.start, leaf.stop, leaf.shape) for leaf in space.leaves] == [
        ("embeddings.w", 0, 1, (1,)),
        ("layers.2.w", 1, 7, (2, 3)),
        ("layers.10.w", 7, 9, (2,)),
        ("norm.nothing", 9, 9, (0, 5)),
        ("norm.scale", 9, 10, ()),
    ]
    assert space.size == 10
    assert [leaf.depth for leaf in space.leaves[:3]] == [
        Depth("blocks", None, 11, "before"), Depth("blocks", 2, 11, "inside"), Depth("blocks", 10, 11, "inside"),
    ]  # fmt: skip


def test_integers_and_booleans_are_copied_from_the_base_with_the_reason(tmp_path: Path) -> None:
    base, expert = model(tmp_path, "base", leaves(0)), model(tmp_path, "digits", leaves(1))
    assert [(leaf.name, leaf.source, leaf.reason) for leaf in build_space(base, [expert]).copied] == [
        ("attention.mask", "base", "BOOL is not averaged; taken from the base"),
        ("position_ids", "base", "I64 is not averaged; taken from the base"),
    ]
    assert build_space(None, [expert, base]).copied[0].source == "digits"
    assert "the first model" in build_space(None, [expert, base]).copied[0].reason


def test_what_is_not_averaged_need_not_be_in_every_model_and_constants_are_not(tmp_path: Path) -> None:
    weights = {"h.0.attn.c_attn.weight": torch.zeros(4, 2), "h.1.attn.bias": torch.zeros(4)}
    constants = {
        "h.0.attn.bias": torch.ones(1, 1, 4, 4),
        "h.0.attn.masked_bias": torch.tensor(-1e4),
        "h.0.rotary_emb.inv_freq": torch.ones(2),
        "position_ids": torch.arange(4),
    }
    old, new = model(tmp_path, "old", weights | constants), model(tmp_path, "new", weights)
    space = build_space(old, [new])
    assert [leaf.name for leaf in space.leaves] == list(weights)
    assert [leaf.name for leaf in space.copied] == list(constants)
    assert space.copied[0].reason == "a constant of the architecture, no weight; taken from the base"
    assert build_space(new, [old]).copied == ()
    longer = model(tmp_path, "longer", weights | {"h.0.attn.bias": torch.ones(1, 1, 8, 8) > 0})
    assert build_space(old, [longer]).size == 12
    with pytest.raises(SpaceError, match="new: some leaf is floating, but none came"):
        build_space(old, [replace(new, leaves={"h.0.attn.bias": old.leaves["h.0.attn.bias"]})])


def test_the_flat_vector_holds_the_leaves_and_views_give_them_back(tmp_path: Path) -> None:
    tensors = leaves(1)
    tensors["layers.2.w"] = torch.arange(6.0).reshape(2, 3)
    base = model(tmp_path, "base", tensors)
    space = build_space(base, [])
    flat = space.flat(base)
    assert flat.tolist() == [1, 0, 1, 2, 3, 4, 5, 1, 1, 1]
    views = space.views(flat)
    assert list(views) == [leaf.name for leaf in space.leaves]
    assert all(torch.equal(view, tensors[name]) and view.shape == tensors[name].shape for name, view in views.items())
    flat[9] = 7
    assert views["norm.scale"].item() == 7
    for wrong in (flat[:-1], flat.view(1, -1)):
        with pytest.raises(SpaceError, match=r"a vector of this space has shape \(10,\)"):
            space.views(wrong)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn], ids=str)
def test_models_of_other_floating_dtypes_share_a_space_and_are_widened_exactly(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    base = model(tmp_path, "base", leaves(0.0))
    expert = model(tmp_path, "digits", leaves(0.40625, dtype))
    space = build_space(base, [expert])
    assert space.flat(expert).dtype == torch.float32
    assert space.flat(expert).unique().tolist() == [0.40625]
    assert {leaf.dtype for leaf in space.leaves} == {"F32"}


def test_a_number_too_large_for_float32_is_refused_by_name(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"w": torch.tensor([1.0, 1e300], dtype=torch.float64)})
    with pytest.raises(NonFiniteError, match="base: w in float32: every element is finite, but 0 NaN and 1 infinite"):
        build_space(base, []).flat(base)


def test_equal_headers_make_equal_spaces(tmp_path: Path) -> None:
    one, two = model(tmp_path, "one", leaves(0)), model(tmp_path, "two", leaves(1))
    assert build_space(one, [two]).leaves == build_space(two, [one]).leaves
    assert build_space(None, [one, two]) == build_space(None, [one])


def test_every_problem_of_every_model_is_told_at_once(tmp_path: Path) -> None:
    base = model(tmp_path, "base", leaves(0), CONFIG)
    missing = leaves(1)
    del missing["layers.2.w"]
    missing["lora.A"] = torch.zeros(2)
    other = leaves(2)
    other["embeddings.w"] = torch.zeros(32_002)
    other["layers.10.w"] = torch.zeros(2, dtype=torch.int64)
    other["position_ids"] = torch.zeros(4)
    experts = [
        model(tmp_path, "digits", missing, CONFIG),
        model(tmp_path, "letters", other, {**CONFIG, "num_attention_heads": 2, "hidden_act": "quick_gelu"}),
    ]
    with pytest.raises(SpaceError) as refused:
        build_space(base, experts)
    assert [str(problem) for problem in refused.value.problems] == [
        "digits: layers.2.w: the leaf is there, as in base, but no such leaf came.",
        "digits: lora.A: every leaf is in base too, but an extra leaf came.",
        "letters: config hidden_act: hidden_act is 'gelu' as in base, but 'quick_gelu' came.",
        "letters: config num_attention_heads: num_attention_heads is 1 as in base, but 2 came.",
        "letters: embeddings.w: the shape is [1] as in base, but [32002] came.",
        "letters: layers.10.w: the dtype is floating (F32) as in base, but not floating (I64) came.",
        "letters: position_ids: the dtype is not floating (I64) as in base, but floating (F32) came.",
    ]


def test_long_lists_end_with_a_count(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {f"w{at}": torch.zeros(1) for at in range(20)})
    with pytest.raises(SpaceError) as refused:
        build_space(base, [model(tmp_path, "digits", {f"v{at}": torch.zeros(1) for at in range(30)})])
    told = [str(problem) for problem in refused.value.problems]
    assert len(told) == 18
    assert told[0].startswith("digits: w0:")
    assert "12 more missing leaves" in told[8] and "22 more extra leaves" in told[17]


def test_nested_configurations_are_compared_and_unlisted_keys_are_not(tmp_path: Path) -> None:
    base = model(tmp_path, "base", leaves(0), {"vision_config": {"patch_size": 16}, "transformers_version": "4"})
    same = model(tmp_path, "same", leaves(0), {"vision_config": {"patch_size": 16}, "transformers_version": "5"})
    bare = model(tmp_path, "bare", leaves(0))
    assert build_space(base, [same, bare]).size == 10
    other = model(tmp_path, "other", leaves(0), {"vision_config": {"patch_size": 32}})
    with pytest.raises(SpaceError, match="other: vision_config: config patch_size: .* 16 as in base, but 32"):
        build_space(base, [other])


def test_quantised_weights_and_models_without_weights_are_refused(tmp_path: Path) -> None:
    base = model(tmp_path, "base", leaves(0), {"quantization_config": {"quant_method": "fp8"}})
    with pytest.raises(SpaceError, match="weights are not quantised"):
        build_space(base, [])
    with pytest.raises(SpaceError, match="counts: some leaf is floating, but none"):
        build_space(model(tmp_path, "counts", {"n": torch.arange(3)}), [])
    with pytest.raises(SpaceError, match="one model or more"):
        build_space(None, [])


def test_segments_gather_each_depth_in_order(tmp_path: Path) -> None:
    tensors = {name: torch.zeros(2) for name in (
        "a_head.w", "embeddings.w", "layers.0.a", "layers.0.b", "layers.1.a", "norm.w", "pos_embed")}  # fmt: skip
    space = build_space(model(tmp_path, "base", tensors), [])
    assert [(segment.depth.side, segment.depth.index, segment.spans) for segment in space.segments_by_depth] == [
        ("before", None, ((2, 4), (12, 14))),
        ("inside", 0, ((4, 8),)),
        ("inside", 1, ((8, 10),)),
        ("after", None, ((0, 2), (10, 12))),
    ]
    assert sum(segment.elements for segment in space.segments_by_depth) == space.size


def test_a_checkpoint_of_another_space_is_refused_when_it_is_read(tmp_path: Path) -> None:
    space = build_space(model(tmp_path, "base", {"w": torch.zeros(2), "v": torch.zeros(2)}), [])
    with pytest.raises(CheckpointError, match="other: the leaf exists, but v came"):
        space.flat(model(tmp_path, "other", {"w": torch.zeros(2)}))
    with pytest.raises(SpaceError, match=r"other2: v: the leaf has shape \[2\]"):
        space.flat(model(tmp_path, "other2", {"w": torch.zeros(1), "v": torch.zeros(1)}))
