"""What linear layers read: of our own models and of transformers', layers of GPT-2 among them."""

from __future__ import annotations

import warnings
from typing import Literal

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from merging_core.evaluation.architectures import architecture
from merging_core.evaluation.attention import PlainAttention
from merging_core.evaluation.multilayer_perceptron import PerceptronShape
from merging_core.learning.batches import sources
from merging_core.learning.measuring.alone import means
from merging_core.learning.measuring.grams import COUNT, gram_sums
from merging_core.learning.measuring.watching import Watching
from merging_core.methods.info import Parameters
from merging_core.methods.matrices import is_matrix
from tests.learning.world import CONFIG, SHAPES, World


def test_a_perceptron_reads_its_inputs_and_then_what_is_left_of_them(small: World) -> None:
    generator = torch.Generator().manual_seed(0)
    leaves = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    source = next(iter(sources(CONFIG, leaves, small.tasks[:1], "train", "entropy", torch.device("cpu"))))
    rows = source.inputs[:9]
    found = gram_sums(source, leaves, rows, ["layers.0.weight", "layers.1.weight", "layers.0.bias"])
    first = source.task.prepared(rows).flatten(1).double()
    second = (first @ leaves["layers.0.weight"].double().T + leaves["layers.0.bias"].double()).relu()
    assert PerceptronShape((16, 6, 3)).widths[1] == second.shape[1]
    torch.testing.assert_close(found["gram/layers.0.weight"], first.T @ first, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found["gram/layers.1.weight"], second.T @ second, rtol=1e-5, atol=1e-5)
    assert {name for name in found if name.startswith(COUNT)} == {COUNT + "layers.0.weight", COUNT + "layers.1.weight"}
    mean = means(found, 9)["gram/layers.1.weight"]
    torch.testing.assert_close(mean, (second.T @ second / 9).float(), rtol=1e-5, atol=1e-5)
    assert torch.equal(mean, mean.T)
    halves = [gram_sums(source, leaves, part, ["layers.0.weight"]) for part in rows.split(5)]
    both = sum(half["gram/layers.0.weight"] for half in halves)
    torch.testing.assert_close(both, found["gram/layers.0.weight"])
    assert float(sum(half[COUNT + "layers.0.weight"] for half in halves)) == 9


MODELS = {
    "next tokens": {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": 32},
    "text classes": {
        "model_type": "bert",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "max_position_embeddings": 16,
        "vocab_size": 32,
    },
}


@pytest.mark.parametrize("asked", ["next tokens", "text classes"])
def test_every_layer_of_a_model_of_transformers_is_seen_the_right_way_round(
    asked: Literal["next tokens", "text classes"],
) -> None:
    found = architecture(MODELS[asked], asked, 2)
    generator = torch.Generator().manual_seed(0)
    leaves = {leaf: torch.randn(shape, generator=generator) * 0.3 for leaf, shape in found.leaves.items()}
    rows = torch.ones(3, 2, 5, dtype=torch.int64)
    rows[:, 0] = torch.randint(1, 32, (3, 5), generator=generator)
    seen: dict[str, tuple[torch.Size, bool]] = {}

    def told(leaf: str, inputs: torch.Tensor, turned: bool) -> None:
        seen[leaf] = inputs.shape, turned

    with torch.enable_grad(), Watching(leaves, told):
        found.forward(leaves, rows)
    matrices = {
        leaf for leaf, shape in found.leaves.items() if len(shape) == 2 and is_matrix(leaf, shape, Parameters())
    }
    assert matrices <= set(seen)
    for leaf in matrices:
        shape, turned = seen[leaf]
        assert turned == (asked == "next tokens")
        assert shape[-1] == found.leaves[leaf][0 if turned else 1]


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_what_torch_says(causal: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 6, generator=generator).unbind()
    mask = None if causal else torch.rand(5, 5, generator=generator) > 0.3
    added = None if causal else torch.randn(5, 5, generator=generator)
    for given in (mask, added):
        plain = scaled_dot_product_attention(query, key, value, attn_mask=given, is_causal=causal)
        with PlainAttention():
            ours = scaled_dot_product_attention(query, key, value, attn_mask=given, is_causal=causal)
        torch.testing.assert_close(ours.nan_to_num(), plain.nan_to_num(), rtol=1e-5, atol=1e-6)


def test_gradients_of_all_classes_are_found_at_once_without_a_warning() -> None:
    found = architecture(MODELS["text classes"], "text classes", 2)
    generator = torch.Generator().manual_seed(0)
    leaves = {leaf: torch.randn(shape, generator=generator) * 0.3 for leaf, shape in found.leaves.items()}
    moved = {name: leaf.requires_grad_() for name, leaf in leaves.items()}
    rows = torch.zeros(1, 2, 5, dtype=torch.int64)
    rows[:, 0] = torch.randint(1, 32, (1, 5), generator=generator)
    with warnings.catch_warnings(), PlainAttention():
        warnings.simplefilter("error")
        output = found.forward(moved, rows)[0]
        together = torch.autograd.grad(
            output, list(moved.values()), torch.eye(2), is_grads_batched=True, retain_graph=True, allow_unused=True
        )
        for place in (0, 1):
            alone = torch.autograd.grad(output[place], list(moved.values()), retain_graph=True, allow_unused=True)
            for one, all_of in zip(alone, together, strict=True):
                assert (one is None) == (all_of is None)
                if one is not None and all_of is not None:
                    torch.testing.assert_close(all_of[place], one, rtol=1e-4, atol=1e-6)
