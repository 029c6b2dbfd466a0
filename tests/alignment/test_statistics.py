"""Batch normalisation in alignment: running statistics are permuted with their channels, and re-estimated exactly."""

from __future__ import annotations

import pytest
import torch

from merging_core.alignment.activation_matching import match_activations, moments_of
from merging_core.alignment.certificate import certified
from merging_core.alignment.observing import layers_in, observed
from merging_core.alignment.permuting import inverse, permuted
from merging_core.alignment.statistics import re_estimated
from merging_core.alignment.symmetry import AxisClass, Free, Symmetry
from merging_core.alignment.templates import by_name
from merging_core.alignment.weight_matching import match_weights
from merging_core.evaluation.architectures import architecture

CONFIG = {"model_type": "basin_cnn", "image_size": 8, "block_channels": [6, 5, 4], "num_labels": 3}
FOUND = architecture(CONFIG)
CLAIMED = by_name(CONFIG, FOUND.leaves)
ROWS = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def drawn(seed: int) -> dict[str, torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    found = {
        name: torch.randn(shape, generator=chance, dtype=torch.float64) * 0.4 for name, shape in FOUND.leaves.items()
    }
    return {name: leaf.abs() + 0.1 if name.endswith("running_var") else leaf for name, leaf in found.items()}


def test_channels_are_certified_and_a_specification_without_running_statistics_is_caught() -> None:
    whole = certified(CLAIMED, FOUND.forward, drawn(1), ROWS)
    assert whole.frozen == () and whole.change < 1e-12 and len(whole.symmetry.groups) == 3
    for forgotten in ("running_mean", "running_var"):
        groups = [
            Free(AxisClass(units.name, units.size, tuple(one for one in units.sites if forgotten not in one.leaf)))
            if units.name == "channels 1" else Free(units)
            for units in CLAIMED.classes
        ]  # fmt: skip
        faulty = certified(Symmetry(tuple(groups)), FOUND.forward, drawn(1), ROWS)
        assert [one.group for one in faulty.frozen] == ["channels 1"] and faulty.frozen[0].change > 1e-3


def test_what_convolutions_read_and_write_is_seen_with_positions_as_observations() -> None:
    weights = drawn(2)
    layers = layers_in(FOUND.forward, weights, ROWS)
    assert [layer.leaf for layer in layers] == [*FOUND.statistics, "head.weight"]
    first = torch.nn.functional.conv2d(ROWS, weights["blocks.0.conv.weight"], padding=1)
    assert torch.allclose(layers[0].output(weights), first.movedim(1, -1).flatten(0, -2))
    seen = observed(CLAIMED, weights, layers)
    assert [tuple(seen[f"channels {index}"].shape) for index in range(3)] == [(9 * 64, 6), (9 * 16, 5), (9, 4)]
    norm = torch.nn.functional.batch_norm(
        first, *(weights[f"blocks.0.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    )
    assert torch.allclose(seen["channels 0"], norm.relu().movedim(1, -1).flatten(0, -2))


def test_a_permuted_copy_is_recovered_by_activations_and_by_weights() -> None:
    weights, member = drawn(3), CLAIMED.drawn(4)
    copy = permuted(CLAIMED, weights, member)
    moments = moments_of(CLAIMED, FOUND.forward, weights, copy, [ROWS])
    *_, by_weights = match_weights(CLAIMED, weights, copy, restarts=6)
    for found in (match_activations(CLAIMED, moments)[0], by_weights.member):
        assert all((found[name] == inverse(member)[name]).all() for name in member)


def test_running_values_do_not_decide_which_weights_are_alike() -> None:
    weights, other = drawn(5), drawn(6)
    loud = {name: leaf * 1e6 if "running" in name else leaf for name, leaf in other.items()}
    found = [list(match_weights(CLAIMED, weights, one))[-1] for one in (other, loud)]
    assert found[0].gain == found[1].gain


def test_re_estimated_statistics_are_those_of_the_rows_through_all_layers_before() -> None:
    parents = drawn(7), drawn(8)
    merged = {name: 0.5 * (leaf + parents[1][name]) for name, leaf in parents[0].items()}
    found = re_estimated(FOUND.forward, merged, parents, ROWS, FOUND.statistics)
    values = ROWS
    for index in range(3):
        block = f"blocks.{index}"
        values = torch.nn.functional.conv2d(values, merged[f"{block}.conv.weight"], stride=2 if index else 1, padding=1)
        assert torch.allclose(found.weights[f"{block}.norm.running_mean"], values.mean((0, 2, 3)), rtol=1e-12)
        variance = values.var((0, 2, 3), unbiased=False)
        assert torch.allclose(found.weights[f"{block}.norm.running_var"], variance, rtol=1e-12)
        values = torch.nn.functional.batch_norm(
            values, None, None, merged[f"{block}.norm.weight"], merged[f"{block}.norm.bias"], training=True
        ).relu()
    truth = torch.nn.functional.linear(values.mean((2, 3)), merged["head.weight"], merged["head.bias"])
    assert torch.allclose(FOUND.forward(found.weights, ROWS), truth, rtol=1e-10)
    assert all(torch.equal(found.weights[name], leaf) for name, leaf in merged.items() if "running" not in name)


def test_what_is_told_of_layers_is_variance_beside_that_of_the_parents() -> None:
    parents = tuple(
        re_estimated(FOUND.forward, drawn(seed), [drawn(seed)], ROWS, FOUND.statistics).weights for seed in (10, 11)
    )
    merged = {name: 0.5 * (leaf + parents[1][name]) for name, leaf in parents[0].items()}
    found = re_estimated(FOUND.forward, merged, parents, ROWS, FOUND.statistics)
    assert [one.leaf for one in found.layers] == list(FOUND.statistics)
    assert all(one.after == pytest.approx(1.0, abs=0.01) for one in found.layers)
    first = layers_in(FOUND.forward, merged, ROWS)[0].output(merged).var(0, unbiased=False)
    shares = first / merged["blocks.0.norm.running_var"]
    assert found.layers[0].before == pytest.approx(float(shares.mean()), rel=1e-3)
