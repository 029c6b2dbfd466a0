"""The weighted average."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.contract import CombineContext
from merging_core.methods.info import Parameters
from merging_core.methods.linear import linear, weights_cancel

AVERAGE, SUM = CombineContext(Parameters(normalize=True)), CombineContext(Parameters(normalize=False))


def test_golden_average_and_sum() -> None:
    # (2·[1, 2] + 1·[4, 8] − 1·[3, 0]) / 2 = [3, 12] / 2
    vectors = torch.tensor([[1.0, 2.0], [4.0, 8.0], [3.0, 0.0]])
    weights = torch.tensor([2.0, 1.0, -1.0])
    assert linear(vectors, weights, AVERAGE).tolist() == [1.5, 6.0]
    assert linear(vectors, weights, SUM).tolist() == [3.0, 12.0]


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_float64(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, weights = rng.normal(size=(6, 300)).astype(np.float32), rng.uniform(0.1, 2.0, 6).astype(np.float32)
    reference = np.average(vectors.astype(np.float64), axis=0, weights=weights.astype(np.float64))
    found = linear(torch.from_numpy(vectors), torch.from_numpy(weights), AVERAGE)
    np.testing.assert_allclose(found.numpy(), reference, rtol=0, atol=2e-6)


@given(st.lists(st.floats(0.0625, 16.0, width=32), min_size=1, max_size=6), st.floats(-100, 100, width=32))
def test_the_average_of_one_point_is_that_point_whatever_the_weights(weights: list[float], point: float) -> None:
    vectors = torch.full((len(weights), 3), point)
    found = linear(vectors, torch.tensor(weights), AVERAGE)
    torch.testing.assert_close(found, vectors[0], rtol=1e-6, atol=1e-6)


def test_a_common_factor_of_the_weights_does_not_matter() -> None:
    vectors = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([1.0, 2.0, 0.5])
    assert torch.equal(linear(vectors, weights, AVERAGE), linear(vectors, weights * 4, AVERAGE))


@pytest.mark.parametrize(
    ("weights", "cancel"),
    [
        ((1.0,), False),
        ((1.0, -1.0), True),
        ((0.0, 0.0), True),
        ((1.0, -1.0, 1e-9), True),
        ((1.0, -1.0, 1e-6), False),
        # In float32, in this order, the small weight is lost before the large ones cancel.
        ((1.0, 3e-8, -1.0), True),
        # In float32 their sum is 6e-8, which is nothing but rounding.
        ((0.1, 0.6, -0.7), True),
    ],
)
def test_weights_cancel_when_their_sum_is_lost_beside_their_sizes(weights: tuple[float, ...], cancel: bool) -> None:
    assert weights_cancel(weights) is cancel
    if not cancel:
        assert torch.isfinite(linear(torch.ones(len(weights), 1), torch.tensor(weights), AVERAGE)).all()
