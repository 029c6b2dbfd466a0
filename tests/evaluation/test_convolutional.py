"""The convolutional net answers as torch's own modules do, in every leaf, and refuses strange configurations."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from merging_core.errors import EvaluationError
from merging_core.evaluation.architectures import architecture

CONFIG = {"model_type": "basin_cnn", "num_channels": 2, "image_size": 7, "block_channels": [5, 4, 3], "num_labels": 3}


def drawn(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return random leaves in float64, variances above 0."""
    chance = torch.Generator().manual_seed(seed)
    found = {
        name: torch.randn(shape, generator=chance, dtype=torch.float64)
        for name, shape in architecture(CONFIG).leaves.items()
    }
    return {name: leaf.abs() + 0.1 if name.endswith("running_var") else leaf for name, leaf in found.items()}


def of_torch() -> torch.nn.Module:
    """Return the same net of torch's modules, whose leaves have the same names."""
    blocks = torch.nn.ModuleList()
    for index, (inside, outside) in enumerate(((2, 5), (5, 4), (4, 3))):
        conv = torch.nn.Conv2d(inside, outside, 3, stride=2 if index else 1, padding=1, bias=False)
        norm = torch.nn.BatchNorm2d(outside)
        blocks.append(torch.nn.ModuleDict({"conv": conv, "norm": norm}))
    return torch.nn.ModuleDict({"blocks": blocks, "head": torch.nn.Linear(3, 3)}).double().eval()


def test_it_answers_as_the_modules_of_torch_do() -> None:
    weights, model = drawn(), of_torch()
    missing = model.load_state_dict(weights, strict=False)
    assert missing.unexpected_keys == [] and all("num_batches" in name for name in missing.missing_keys)
    values = rows = torch.randn(4, 2, 7, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for block in model["blocks"]:  # type: ignore[index]
        values = block["norm"](block["conv"](values)).relu()
    truth = model["head"](values.mean((2, 3)))  # type: ignore[index]
    assert torch.allclose(architecture(CONFIG).forward(weights, rows), truth, rtol=1e-12, atol=1e-12)


def test_every_leaf_has_a_derivative() -> None:
    weights = {name: leaf.requires_grad_() for name, leaf in drawn(2).items()}
    architecture(CONFIG).forward(weights, torch.ones(2, 2, 7, 7, dtype=torch.float64)).square().sum().backward()
    assert all(leaf.grad is not None and bool(leaf.grad.abs().sum() > 0) for leaf in weights.values())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"block_channels": []}, "block_channels are 1 to 32 whole numbers from 1 to 4096, but [] came"),
        ({"block_channels": [8, True]}, "block_channels are"),
        ({"image_size": None}, "image_size is from 1 to 4096"),
        ({"num_channels": 0}, "num_channels is from 1 to 64"),
        ({"num_labels": 1}, "num_labels is from 2 to 100000"),
        ({"batch_norm_eps": 0.0}, "batch_norm_eps is from 1e-12 to 1"),
        ({"activation": "gelu"}, "activation is one of relu"),
    ],
)
def test_a_convolutional_net_out_of_range_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        architecture({**CONFIG, **changes})
    assert sentence in str(caught.value)
