"""The weighted sum of task vectors, and DARE linear, which is that sum after the random mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from merging_core.masks.info import MaskSpec
from merging_core.methods.contract import CombineContext
from merging_core.methods.info import Parameters
from merging_core.methods.registry import method
from merging_core.methods.task_arithmetic import task_arithmetic
from tests.masks.leafwise import LeafSpan, masked


def test_golden_addition_negation_and_analogy() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]])
    assert task_arithmetic(vectors, torch.tensor([1.0, 1.0, 1.0]), CombineContext()).tolist() == [5.0, 6.0]
    assert task_arithmetic(vectors[:1], torch.tensor([-1.0]), CombineContext()).tolist() == [-1.0, -0.0]
    assert task_arithmetic(vectors, torch.tensor([1.0, -1.0, 1.0]), CombineContext()).tolist() == [5.0, 2.0]


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_float64(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, weights = rng.normal(size=(6, 300)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    found = task_arithmetic(torch.from_numpy(vectors), torch.from_numpy(weights), CombineContext())
    np.testing.assert_allclose(found.numpy(), weights.astype(np.float64) @ vectors.astype(np.float64), atol=4e-6)


def test_dare_linear_is_the_sum_of_randomly_masked_task_vectors() -> None:
    info, params = method("dare_linear"), Parameters(density=0.25)
    vectors = torch.randn(3, 4000, generator=torch.Generator().manual_seed(1))
    spans = [LeafSpan("a", 0, 1500), LeafSpan("b", 1500, 4000)]
    spec = MaskSpec(info.owned_mask, params)
    kept = torch.stack([masked(vector, spans, spec, seed=3, content=str(i)) for i, vector in enumerate(vectors)])
    found = info.combine(kept, torch.tensor([1.0, 1.0, -2.0]), CombineContext(params))
    scaled = np.where(kept.numpy() != 0, vectors.double().numpy() * 4, 0.0)
    np.testing.assert_allclose(found.numpy(), scaled[0] + scaled[1] - 2 * scaled[2], atol=1e-5)
    assert 0.2 < float((kept != 0).float().mean()) < 0.3
