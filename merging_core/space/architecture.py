"""Whether two configurations describe one architecture, as far as a merge cares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from merging_core.errors import Problem

__all__ = ["architecture_problems"]

_COMPARED = frozenset(
    {
        "model_type",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "hidden_act",
        "activation_function",
        "qkv_bias",
        "attention_bias",
        "mlp_bias",
        "layer_norm_eps",
        "layer_norm_epsilon",
        "rms_norm_eps",
        "patch_size",
        "image_size",
        "num_channels",
        "projection_dim",
        "vocab_size",
        "max_position_embeddings",
        "type_vocab_size",
        "position_embedding_type",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "partial_rotary_factor",
        "sliding_window",
        "n_layer",
        "n_head",
        "n_embd",
        "n_inner",
        "n_positions",
        "n_ctx",
        "d_model",
        "d_ff",
        "d_kv",
        "num_layers",
        "num_decoder_layers",
        "num_heads",
        "feed_forward_proj",
        "relative_attention_num_buckets",
        "relative_attention_max_distance",
        "tie_word_embeddings",
        "num_local_experts",
        "num_experts",
        "num_experts_per_tok",
        "sizes",
        "widths",
        "hidden_sizes",
        "activation",
        "input_size",
        "output_size",
    }
)
_NESTED = ("vision_config", "text_config")


def architecture_problems(reference: Mapping[str, Any], other: Mapping[str, Any], label: str, of: str) -> list[Problem]:
    """Say where `other` (the model `label`) computes something else than `reference` (the model `of`).

    Only keys that change what the leaves mean, and that both configurations state, are compared: heads, activation,
    patches, rotary settings and the like can differ although every shape agrees. A model without a configuration is
    not compared.

    >>> print(architecture_problems({"num_attention_heads": 4}, {"num_attention_heads": 8}, "digits", "base")[0])
    digits: config num_attention_heads: num_attention_heads is 4 as in base, but 8 came.
    """
    problems = []
    for key in sorted(_COMPARED & reference.keys() & other.keys()):
        if reference[key] != other[key]:
            must = f"{key} is {_shown(reference[key])} as in {of}"
            problems.append(Problem(must, _shown(other[key]), f"{label}: config {key}"))
    for key in _NESTED:
        inner, outer = reference.get(key), other.get(key)
        if isinstance(inner, Mapping) and isinstance(outer, Mapping):
            problems.extend(architecture_problems(inner, outer, f"{label}: {key}", of))
    return problems


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:80] + "…"
