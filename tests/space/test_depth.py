"""Depth of a leaf: read from the names, checked on models that transformers itself builds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf

from merging_core.errors import SpaceError
from merging_core.space.depth import Depth, depths, leaf_depth

SIZES = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
IMAGE = {"image_size": 8, "patch_size": 4}
BLOCKS = 12  # two digits, so that order by text would show


def clip() -> Any:
    text = {**SIZES, "num_hidden_layers": 2, "vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2}
    vision = {**SIZES, **IMAGE, "num_hidden_layers": 3}
    return hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=4))


def gpt2() -> Any:
    return hf.GPT2LMHeadModel(
        hf.GPT2Config(n_embd=8, n_layer=BLOCKS, n_head=2, vocab_size=20, n_positions=8, bos_token_id=1, eos_token_id=2)
    )


def t5() -> Any:
    return hf.T5ForConditionalGeneration(
        hf.T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=2, num_decoder_layers=3, num_heads=2, vocab_size=20)
    )


def with_blocks(model: Any, config: Any, **more: Any) -> Callable[[], Any]:
    return lambda: model(config(**SIZES, num_hidden_layers=BLOCKS, **more))


# Model, then per stack: the part of a name that says “block”, and how many there are.
MODELS: dict[str, tuple[Callable[[], Any], dict[str, tuple[str, int]]]] = {
    "ViT": (with_blocks(hf.ViTModel, hf.ViTConfig, **IMAGE), {"blocks": ("layers.", BLOCKS)}),
    "ViT with a head": (
        with_blocks(hf.ViTForImageClassification, hf.ViTConfig, **IMAGE),
        {"blocks": ("vit.layers.", BLOCKS)},
    ),
    "CLIP vision": (
        with_blocks(hf.CLIPVisionModel, hf.CLIPVisionConfig, **IMAGE),
        {"encoder": ("encoder.layers.", BLOCKS)},
    ),
    "CLIP": (clip, {"text": ("text_model.encoder.layers.", 2), "vision": ("vision_model.encoder.layers.", 3)}),
    "BERT": (with_blocks(hf.BertModel, hf.BertConfig, vocab_size=20), {"encoder": ("encoder.layer.", BLOCKS)}),
    "BERT with a head": (
        with_blocks(hf.BertForMaskedLM, hf.BertConfig, vocab_size=20),
        {"encoder": ("bert.encoder.layer.", BLOCKS)},
    ),
    "RoBERTa": (
        with_blocks(hf.RobertaForSequenceClassification, hf.RobertaConfig, vocab_size=20),
        {"encoder": ("roberta.encoder.layer.", BLOCKS)},
    ),
    "GPT-2": (gpt2, {"blocks": ("transformer.h.", BLOCKS)}),
    "Llama": (
        with_blocks(hf.LlamaForCausalLM, hf.LlamaConfig, vocab_size=20),
        {"blocks": ("model.layers.", BLOCKS)},
    ),
    "T5": (t5, {"encoder": ("encoder.block.", 2), "decoder": ("decoder.block.", 3)}),
}

# Segments that stand only in names of leaves before the blocks, written independently of the code under test.
BEFORE = ("embeddings.", "wte.", "wpe.", "embed_tokens.", "shared.", "pre_layrnorm.")


@pytest.mark.parametrize("name", MODELS)
def test_every_leaf_of_a_real_model_has_its_depth(name: str) -> None:
    build, stacks = MODELS[name]
    with torch.device("meta"):
        model = build()
    names = list(model.state_dict())
    config = model.config.to_dict()
    found = depths(names)
    seen: dict[str, set[int]] = {stack: set() for stack in stacks}
    for leaf in names:
        depth = found[leaf]
        inside = [(stack, start, count) for stack, (start, count) in stacks.items() if leaf.startswith(start)]
        if inside:
            stack, start, count = inside[0]
            index = int(leaf.removeprefix(start).split(".")[0])
            assert depth == Depth(stack, index, count, "inside"), leaf
            assert depth.position == index / (count - 1)
            seen[stack].add(index)
            assert leaf_depth(leaf, config) == depth, "the configuration and the names say the same"
        else:
            assert depth.index is None, leaf
            assert depth.side == ("before" if any(part in leaf for part in BEFORE) else "after"), leaf
            assert leaf_depth(leaf, config).side == depth.side
    assert seen == {stack: set(range(count)) for stack, (_, count) in stacks.items()}


def test_blocks_numbered_inside_a_block_do_not_count() -> None:
    found = depths([f"encoder.block.{at}.layer.{part}.wi.weight" for at in range(3) for part in range(2)])
    assert [(depth.index, depth.count) for depth in found.values()] == [(0, 3), (0, 3), (1, 3), (1, 3), (2, 3), (2, 3)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (  # timm
            ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.1.norm1.bias",
             "norm.weight", "fc_norm.bias", "head.weight"],
            ["before", "before", "before", 0, 1, "after", "after", "after"],
        ),
        (  # OpenCLIP's vision tower
            ["visual.class_embedding", "visual.positional_embedding", "visual.conv1.weight", "visual.ln_pre.bias",
             "visual.transformer.resblocks.0.ln_1.weight", "visual.transformer.resblocks.1.mlp.c_fc.bias",
             "visual.ln_post.weight", "visual.proj"],
            ["before", "before", "before", "before", 0, 1, "after", "after"],
        ),
        (  # ViT as transformers stored it before version 5
            ["vit.embeddings.cls_token", "vit.encoder.layer.0.attention.attention.query.weight",
             "vit.encoder.layer.1.output.dense.bias", "vit.layernorm.weight", "vit.pooler.dense.bias"],
            ["before", 0, 1, "after", "after"],
        ),
        (  # CLIP's vision tower as transformers stored it before version 5
            ["vision_model.embeddings.class_embedding", "vision_model.pre_layrnorm.weight",
             "vision_model.encoder.layers.0.mlp.fc1.bias", "vision_model.encoder.layers.1.mlp.fc1.bias",
             "vision_model.post_layernorm.bias"],
            ["before", "before", 0, 1, "after"],
        ),
        (["h.0.attn.c_attn.weight", "h.1.attn.bias", "wte.weight", "ln_f.bias"], [0, 1, "before", "after"]),  # GPT-2
        (["layers.0.weight", "layers.0.bias", "layers.1.weight"], [0, 0, 1]),  # the zoo's perceptrons
    ],
)  # fmt: skip
def test_other_spellings_are_known(names: list[str], expected: list[int | str]) -> None:
    found = depths(names)
    assert [depth.side if depth.index is None else depth.index for depth in found.values()] == expected
    assert {depth.count for depth in found.values()} == {2}


def test_the_towers_of_openclip_are_two_stacks() -> None:
    vision = [f"visual.transformer.resblocks.{at}.w" for at in range(3)]
    found = depths(vision + [f"transformer.resblocks.{at}.w" for at in range(2)])
    assert {(depth.stack, depth.count) for depth in found.values()} == {("vision", 3), ("text", 2)}


def test_stacks_that_would_share_a_name_keep_apart() -> None:
    found = depths(["left.layers.0.w", "left.layers.1.w", "right.layers.0.w"])
    assert [(depth.stack, depth.count) for depth in found.values()] == [
        ("left.layers", 2), ("left.layers", 2), ("right.layers", 1),
    ]  # fmt: skip


def test_the_only_block_has_position_one() -> None:
    assert depths(["layers.0.w"])["layers.0.w"].position == 1.0


def test_positions_outside_the_blocks_are_the_ends() -> None:
    assert Depth("", None, 0, "before").position == 0.0
    assert Depth("", None, 0, "after").position == 1.0


def test_a_model_without_blocks_lies_outside() -> None:
    found = depths(["weight", "embeddings.weight", "layers", "h.x.w"])
    assert [(depth.index, depth.count, depth.side) for depth in found.values()] == [
        (None, 0, "after"), (None, 0, "before"), (None, 0, "after"), (None, 0, "after"),
    ]  # fmt: skip


@pytest.mark.parametrize("config", [{}, {"num_hidden_layers": None}, {"num_hidden_layers": True}, {"n_layer": 3}])
def test_one_leaf_alone_needs_a_configuration_that_counts_the_blocks(config: dict[str, object]) -> None:
    with pytest.raises(SpaceError, match="h.3.w: the configuration says how many blocks there are"):
        leaf_depth("h.3.w", config)


def test_the_perceptron_of_the_zoo_counts_its_linear_layers() -> None:
    config = {"model_type": "basin_mlp", "hidden_sizes": [32, 32, 32]}
    assert leaf_depth("layers.3.weight", config) == Depth("blocks", 3, 4, "inside")
