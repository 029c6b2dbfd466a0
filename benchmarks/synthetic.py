"""Synthetic checkpoints of Llama's shape, made once in a folder and used again: a base and experts near it.

The numbers are normal: σ = 0.02 for the base, and of a task vector a tenth of that, rounded to bfloat16.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.writer import write_checkpoint

__all__ = ["SIZES", "Size", "family"]

EXPERTS = 3


@dataclass(frozen=True)
class Size:
    """The shape of a Llama."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int

    def config(self) -> dict[str, Any]:
        """Return the configuration that transformers and others read."""
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": self.hidden,
            "intermediate_size": self.intermediate, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.key_heads, "vocab_size": self.vocabulary,
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
            "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2,
        }  # fmt: skip

    def leaves(self) -> tuple[LeafSpec, ...]:
        """Return every leaf of the model."""
        hidden, keys = self.hidden, self.hidden // self.heads * self.key_heads
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary, hidden)}
        for layer in range(self.layers):
            start = f"model.layers.{layer}."
            for name, shape in (
                ("self_attn.q_proj", (hidden, hidden)), ("self_attn.k_proj", (keys, hidden)),
                ("self_attn.v_proj", (keys, hidden)), ("self_attn.o_proj", (hidden, hidden)),
                ("mlp.gate_proj", (self.intermediate, hidden)), ("mlp.up_proj", (self.intermediate, hidden)),
                ("mlp.down_proj", (hidden, self.intermediate)), ("input_layernorm", (hidden,)),
                ("post_attention_layernorm", (hidden,)),
            ):  # fmt: skip
                shapes[f"{start}{name}.weight"] = shape
        shapes |= {"model.norm.weight": (hidden,), "lm_head.weight": (self.vocabulary, hidden)}
        return tuple(LeafSpec(name, "BF16", shape) for name, shape in shapes.items())


SIZES = {
    "250m": Size(1024, 2816, 14, 16, 16, 32_000),
    "1b": Size(2048, 5632, 22, 32, 4, 32_000),
    "tiny-leaves": Size(8, 16, 400, 2, 2, 64),
    "small": Size(128, 352, 2, 4, 4, 2048),
}
"""About 245 million and 1.1 billion parameters, 3 603 leaves with hardly any, and a million to try a command with."""


def family(root: Path, name: str) -> tuple[Path, tuple[Path, ...]]:
    """Return the folders of a base and of its experts below `root`, written where they are not there yet."""
    size = SIZES[name]
    folders = [root / name / one for one in ("base", *(f"expert-{number}" for number in range(1, EXPERTS + 1)))]
    for number, folder in enumerate(folders):
        if not (folder / "config.json").is_file():
            write_checkpoint(folder, _weights(size, number), size.leaves(), size.config())
        if not (folder / "generation_config.json").is_file():
            (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 2}))
    return folders[0], tuple(folders[1:])


def _weights(size: Size, number: int) -> Iterator[tuple[str, torch.Tensor]]:
    for place, leaf in enumerate(size.leaves()):
        base = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(place)) * 0.02
        if number:
            change = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(place + 100_000 * number))
            base += change * 0.002
        yield leaf.name, base.to(torch.bfloat16)
