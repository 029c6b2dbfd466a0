"""Reinforced agent merging."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.contract import CombineContext
from merging_core.methods.registry import method
from merging_core.methods.reinforced import unique_and_shared


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
