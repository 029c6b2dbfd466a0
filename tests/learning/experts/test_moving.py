"""Which leaves move, by the names that architectures give them."""

from __future__ import annotations

import pytest

from merging_core.learning.experts.moving import moving
from merging_core.methods.info import Parameters
from merging_core.space.depth import depths
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf

NAMES = {
    "clip": (
        "embeddings.class_embedding",
        "encoder.layers.0.layer_norm1.weight",
        "encoder.layers.0.self_attn.q_proj.weight",
        "encoder.layers.0.self_attn.q_proj.bias",
        "encoder.layers.1.mlp.fc1.weight",
        "pre_layrnorm.weight",
        "post_layernorm.bias",
    ),
    "llama": (
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.o_proj.weight",
        "model.layers.1.mlp.gate_proj.weight",
        "model.norm.weight",
    ),
    "t5": (
        "shared.weight",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "encoder.block.0.layer.0.layer_norm.weight",
        "encoder.block.1.layer.1.DenseReluDense.wi.weight",
        "encoder.final_layer_norm.weight",
    ),
    "gpt2": ("wte.weight", "h.0.ln_1.weight", "h.0.attn.c_attn.weight", "h.1.mlp.c_fc.bias", "ln_f.weight"),
}
MOVED = {
    ("clip", "attention"): (2, 3),
    ("clip", "mlp"): (4,),
    ("clip", "norms_and_biases"): (1, 3, 5, 6),
    ("clip", "last_blocks"): (4, 6),
    ("llama", "attention"): (2,),
    ("llama", "mlp"): (3,),
    ("llama", "norms_and_biases"): (1, 4),
    ("llama", "last_blocks"): (3, 4),
    ("t5", "attention"): (1,),
    ("t5", "mlp"): (3,),
    ("t5", "norms_and_biases"): (2, 4),
    ("t5", "last_blocks"): (3, 4),
    ("gpt2", "attention"): (2,),
    ("gpt2", "mlp"): (3,),
    ("gpt2", "norms_and_biases"): (1, 3, 4),
    ("gpt2", "all"): (0, 1, 2, 3, 4),
}


@pytest.mark.parametrize(("model", "moves"), MOVED)
def test_leaves_move_by_what_their_names_say(model: str, moves: str) -> None:
    names = NAMES[model]
    deep = depths(names)
    leaves = tuple(SpaceLeaf(name, "F32", (1,), at, at + 1, deep[name]) for at, name in enumerate(names))
    found = moving(ParameterSpace(leaves, (), len(names)), Parameters(moves=moves, blocks=1))
    assert tuple(names.index(leaf.name) for leaf in found) == MOVED[model, moves]
