"""REPAIR: every layer of the mended model writes with the interpolated means and deviations of its parents."""

from __future__ import annotations

import pytest
import torch

from merging_core.alignment.repair import repaired, spreads
from tests.alignment.test_symmetry import drawn

LAYERS = {
    "mlp": ["layers.0.weight", "layers.1.weight"],
    "vit": [
        f"encoder.layer.{layer}.{part}.weight"
        for layer in range(2)
        for part in ("attention.attention.value", "attention.output.dense", "intermediate.dense", "output.dense")
    ],
    "gpt2": [f"transformer.h.{layer}.mlp.c_fc.weight" for layer in range(2)],
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_the_mended_weights_alone_give_each_layer_what_its_parents_have(name: str) -> None:
    found, first, inputs, _ = drawn(name, 1)
    _, second, _, _ = drawn(name, 2)
    forward = found.forward  # type: ignore[attr-defined]
    merged = {leaf: 0.75 * value + 0.25 * second[leaf] for leaf, value in first.items()}
    parents = [spreads(forward, one, inputs, LAYERS[name]) for one in (first, second)]
    before = spreads(forward, merged, inputs, LAYERS[name])
    mended = repaired(forward, merged, parents, (0.75, 0.25), inputs, LAYERS[name], before)
    now = spreads(forward, mended.weights, inputs, LAYERS[name])
    for leaf, told in zip(LAYERS[name], mended.layers, strict=True):
        mean, spread = (0.75 * parents[0][leaf][part] + 0.25 * parents[1][leaf][part] for part in (0, 1))
        alive = before[leaf][1] > 0.05
        assert alive.any() and told.before is not None and told.leaf == leaf
        torch.testing.assert_close(now[leaf][0], mean, rtol=2e-3, atol=2e-3)
        torch.testing.assert_close(now[leaf][1][alive], spread[alive], rtol=1e-2, atol=2e-3)
        vary = torch.stack([one[leaf][1] ** 2 for one in parents]).mean()
        assert told.after == pytest.approx(float((now[leaf][1] ** 2).mean() / vary), rel=1e-2)
    assert {leaf for leaf in merged if mended.weights[leaf] is not merged[leaf]} >= set(LAYERS[name])


def test_what_layers_write_is_that_of_a_plain_product() -> None:
    found, weights, inputs, _ = drawn("mlp")
    seen = spreads(found.forward, weights, inputs, ["layers.0.weight"])  # type: ignore[attr-defined]
    plain = inputs.flatten(1).double() @ weights["layers.0.weight"].double().T + weights["layers.0.bias"].double()
    mean, spread = seen["layers.0.weight"]
    torch.testing.assert_close(mean, plain.mean(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(spread, plain.std(0, unbiased=False), rtol=1e-5, atol=1e-6)
