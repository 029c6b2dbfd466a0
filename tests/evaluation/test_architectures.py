from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, ViTConfig, ViTModel

from merging_core.errors import EvaluationError
from merging_core.evaluation.architectures import architecture, fitting
from tests.evaluation.standins import CLIP_CONFIG, MLP_CONFIG, mlp_weights, random_weights

CPU = torch.device("cpu")
VIT_CONFIG: dict[str, Any] = {
    "model_type": "vit", "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_channels": 3, "image_size": 12, "patch_size": 4, "hidden_act": "gelu",
}  # fmt: skip


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu", "gelu_pytorch_tanh", "relu", "silu"])
@pytest.mark.parametrize("layers", [1, 3])
def test_clip_gives_what_transformers_gives(activation: str, layers: int) -> None:
    config = CLIP_CONFIG | {"hidden_act": activation, "num_hidden_layers": layers}
    found = architecture(config)
    weights = random_weights(dict(found.leaves), 5)
    model = CLIPVisionModel(CLIPVisionConfig(**config)).eval()
    assert {name: tuple(leaf.shape) for name, leaf in model.named_parameters()} == dict(found.leaves)
    model.load_state_dict(weights, strict=False)
    images = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = model(pixel_values=images).pooler_output
        torch.testing.assert_close(found.forward(weights, images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"qkv_bias": False}, {"pooler_output_size": 7, "pooler_act": "relu"}])
def test_vit_gives_what_transformers_gives_for_the_file_it_writes(changes: dict[str, Any], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    config = VIT_CONFIG | changes
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = ViTModel(ViTConfig(**config)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.4)
    model.save_pretrained(tmp_path)
    weights, found = load_file(tmp_path / "model.safetensors"), architecture(config)
    assert {name: tuple(leaf.shape) for name, leaf in weights.items()} == dict(found.leaves)
    images = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = model(pixel_values=images).pooler_output
        torch.testing.assert_close(found.forward(weights, images), expected, rtol=1e-5, atol=1e-5)


def test_a_perceptron_is_linear_layers_with_relu_between_them() -> None:
    found, weights = architecture(MLP_CONFIG), mlp_weights(1)
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    hidden = (images.reshape(4, 64).double() @ weights["layers.0.weight"].double().T + weights["layers.0.bias"]).clamp(
        0
    )
    expected = hidden @ weights["layers.1.weight"].double().T + weights["layers.1.bias"]
    torch.testing.assert_close(found.forward(weights, images).double(), expected, rtol=1e-5, atol=1e-5)


def test_what_a_stranger_adds_to_a_configuration_has_no_effect() -> None:
    added = {"auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": True, "_attn_implementation_internal": "x"}
    assert architecture(CLIP_CONFIG | added).leaves == architecture(CLIP_CONFIG).leaves


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is from 1 to 256, but 1000000000 came"),
        ({"hidden_size": "12"}, "hidden_size is from 1 to 16384, but '12' came"),
        ({"hidden_size": True}, "hidden_size is from 1 to 16384, but True came"),
        ({"hidden_act": "exec"}, "hidden_act is one of"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is from 0 to 1, but nan came"),
        ({"num_attention_heads": 5}, "heads divide the width, but 12 and 5 came"),
        ({"patch_size": 3}, "patches divide the image, but 8 and 3 came"),
        ({"image_size": [8, 8]}, "image_size is from 1 to 4096"),
        ({"model_type": "clip_vision"}, "did you mean “clip_vision_model”?"),
        ({"model_type": None}, "known are: clip_vision_model, clip, vit, basin_mlp, basin_cnn"),
        ({"model_type": ["vit"]}, "the architecture is one that can be evaluated"),
    ],
)
def test_a_configuration_out_of_range_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        architecture(CLIP_CONFIG | changes)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"input_size": 63}, {"hidden_sizes": 7}, {"hidden_sizes": [0]}, {"activation": "gelu"}, {"num_labels": None}],
)
def test_a_perceptron_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError):
        architecture(MLP_CONFIG | changes)


def test_every_leaf_that_does_not_fit_is_named() -> None:
    weights = mlp_weights(1)
    weights["layers.0.bias"] = torch.zeros(8)
    weights["layers.1.bias"] = torch.zeros(3, dtype=torch.int64)
    del weights["layers.1.weight"]
    with pytest.raises(EvaluationError) as caught:
        fitting(architecture(MLP_CONFIG), weights, CPU)
    assert sorted(problem.where for problem in caught.value.problems) == [
        "layers.0.bias", "layers.1.bias", "layers.1.weight",
    ]  # fmt: skip


def test_many_misfits_are_counted() -> None:
    with pytest.raises(EvaluationError) as caught:
        fitting(architecture(CLIP_CONFIG), {}, CPU)
    assert len(caught.value.problems) == 9
    assert caught.value.problems[-1].got == f"{len(architecture(CLIP_CONFIG).leaves) - 8} more that do not"


def test_binding_copies_nothing_and_takes_the_old_prefix() -> None:
    found = architecture(CLIP_CONFIG)
    weights = random_weights(dict(found.leaves), 5)
    plain = fitting(found, weights, CPU)
    old = fitting(found, {f"vision_model.{name}": leaf for name, leaf in weights.items()}, CPU)
    assert all(leaf.data_ptr() == weights[name].data_ptr() == old[name].data_ptr() for name, leaf in plain.items())


def test_half_precision_weights_are_computed_in_float32() -> None:
    weights = {name: leaf.bfloat16() for name, leaf in mlp_weights(1).items()}
    bound = fitting(architecture(MLP_CONFIG), weights, CPU)
    assert all(leaf.dtype == torch.float32 and torch.equal(leaf, weights[name].float()) for name, leaf in bound.items())
