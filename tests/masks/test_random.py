"""The random mask: chance alone decides, and what stays is not scaled up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from merging_core.masks.coins import coin_key
from merging_core.masks.dare import drop_and_rescale
from merging_core.masks.info import MaskContext
from merging_core.masks.random import keep_at_random
from merging_core.methods.info import Parameters

COUNT = 1 << 17


def drawn(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("density", [0.01, 0.3, 0.9])
def test_each_element_stays_as_it_is_with_the_probability_density(density: float) -> None:
    vector = drawn(COUNT) + 10.0
    found = keep_at_random(vector, MaskContext(Parameters(density=density), key=coin_key(3, "x", "y")))
    kept = found != 0
    assert torch.equal(found[kept], vector[kept])
    assert stats.binomtest(int(kept.sum()), COUNT, density).pvalue > 1e-4


def test_whether_an_element_stays_does_not_depend_on_its_size() -> None:
    vector = drawn(COUNT)
    kept = keep_at_random(vector, MaskContext(Parameters(density=0.5), key=coin_key(1, "x", "y"))) != 0
    large = vector.abs() > vector.abs().median()
    table = np.bincount((kept.long() * 2 + large.long()).numpy(), minlength=4).reshape(2, 2)
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_the_expected_value_shrinks_to_the_density() -> None:
    density = 0.25
    found = keep_at_random(torch.ones(COUNT), MaskContext(Parameters(density=density), key=11))
    deviation = (density * (1 - density) / COUNT) ** 0.5
    assert abs(float(found.mean()) - density) < 5 * deviation


@given(st.integers(0, 2**64 - 1), st.floats(0.01, 0.99))
def test_dare_is_this_mask_divided_by_the_density(key: int, density: float) -> None:
    vector, context = drawn(300), MaskContext(Parameters(density=density), key=key)
    assert torch.equal(drop_and_rescale(vector, context), keep_at_random(vector, context) * (1.0 / density))


@given(st.integers(0, 70_000), st.integers(0, 400), st.integers(0, 400))
def test_a_piece_is_masked_as_it_is_within_its_leaf(start: int, first: int, second: int) -> None:
    params, vector = Parameters(density=0.4), drawn(first + second)
    whole = keep_at_random(vector, MaskContext(params, key=5, start=start))
    left = keep_at_random(vector[:first], MaskContext(params, key=5, start=start))
    right = keep_at_random(vector[first:], MaskContext(params, key=5, start=start + first))
    assert torch.equal(torch.cat((left, right)), whole)


def test_density_one_keeps_everything_as_it_is() -> None:
    vector = torch.tensor([1.0, -0.0, 3.0])
    assert keep_at_random(vector, MaskContext(Parameters(density=1.0), key=7)) is vector


def test_golden_survivors() -> None:
    # The first coins of this key at density 0.5, as tests/masks/test_coins.py keeps them: 1100 0100.
    key = coin_key(0, "0" * 64, "vision_model.encoder.layers.0.self_attn.q_proj.weight")
    found = keep_at_random(torch.arange(1.0, 9.0), MaskContext(Parameters(density=0.5), key=key))
    assert found.tolist() == [1.0, 2.0, 0.0, 0.0, 0.0, 6.0, 0.0, 0.0]
