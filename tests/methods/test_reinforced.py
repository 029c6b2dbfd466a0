"""Reinforced agent merging."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.contract import CombineContext, gather
from merging_core.methods.registry import method
from merging_core.methods.reinforced import RAM_PLUS, rescaled, unique_and_shared
from tests.engines.leaves64 import rescaled64
from tests.methods.whole import combine


def merged(vectors: torch.Tensor, weights: torch.Tensor, epsilon: float = 1e-5) -> torch.Tensor:
    return unique_and_shared(vectors, weights, CombineContext(method("ram").defaults().changed(epsilon=epsilon)))


def test_golden_unique_changes_stay_and_shared_ones_are_averaged() -> None:
    vectors = torch.tensor([[4.0, 0.0, 1.0, 1e-6], [2.0, -3.0, 0.0, 0.0], [0.0, 0.0, -2.0, 0.0]])
    assert merged(vectors, torch.ones(3)).tolist() == [3.0, -3.0, -0.5, 0.0]
    assert merged(vectors, torch.ones(3), epsilon=2.5).tolist() == [4.0, -3.0, 0.0, 0.0]


@given(st.integers(1, 5), st.floats(0.0, 1.0), st.integers(0, 2**31))
def test_it_agrees_with_float64(count: int, epsilon: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(count, 60)) * (rng.random((count, 60)) < 0.5)).astype(np.float32)
    weights = rng.uniform(-0.5, 1.5, count).astype(np.float32)
    found = merged(torch.from_numpy(vectors), torch.from_numpy(weights), epsilon).numpy()
    expected = np.zeros(60)
    for i in range(60):
        voices = vectors[:, i].astype(np.float64) * weights
        spoken = [voice for voice in voices if abs(np.float32(voice)) > np.float32(epsilon)]
        expected[i] = np.mean(spoken) if spoken else 0.0
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_disjoint_experts_are_added_without_loss() -> None:
    vectors = torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 4.0]])
    assert torch.equal(merged(vectors, torch.ones(2)), vectors.sum(dim=0))


def test_golden_unique_changes_grow_with_what_is_shared() -> None:
    # Expert 0 shares element 0 and has elements 1 and 2 alone: ρ = ½. Expert 1 has only what it shares.
    leaves = torch.tensor([[2.0, 1.0, -4.0, 0.0], [4.0, 0.0, 0.0, 0.0]])
    assert combine(RAM_PLUS, leaves, r=0.5, alpha=1.0).tolist() == [3.0, 1.25, -5.0, 0.0]
    assert combine(RAM_PLUS, leaves, r=0.5, alpha=0.2).tolist() == pytest.approx([3.0, 1.1, -4.4, 0.0])
    assert torch.equal(combine(RAM_PLUS, leaves, r=0.0), merged(leaves, torch.ones(2)))
    assert method("ramplus_tl") is RAM_PLUS


@given(st.integers(1, 5), st.floats(0.0, 2.0), st.floats(0.0, 3.0), st.integers(0, 2**31))
def test_ram_plus_agrees_with_float64_however_it_counts(count: int, r: float, alpha: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(count, 60)) * (rng.random((count, 60)) < 0.3)).astype(np.float32)
    params = RAM_PLUS.defaults().changed(r=r, alpha=alpha)
    expected = rescaled64(vectors.astype(np.float64), params)
    whole = torch.from_numpy(vectors)
    np.testing.assert_allclose(combine(RAM_PLUS, whole, r=r, alpha=alpha).numpy(), expected, atol=2e-5, rtol=1e-5)
    context = CombineContext(params, gather(RAM_PLUS, whole.split(7, dim=1), torch.ones(count), params))
    pieces = [rescaled(piece, torch.ones(count), context) for piece in whole.split(11, dim=1)]
    np.testing.assert_allclose(torch.cat(pieces).numpy(), expected, atol=2e-5, rtol=1e-5)
