"""Arcee Fusion: outstanding differences alone are taken over."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from merging_core.methods.arcee_fusion import ARCEE_FUSION
from merging_core.methods.registry import method
from tests.engines.leaves64 import fused64
from tests.methods.whole import combine, drawn


def test_golden_one_outstanding_number_in_one_row() -> None:
    # Within one row KL is one number, so importance is proportional to |difference|: 0.1, 0.1, 0.1, 5.
    # Quartiles 0.1, 0.1 and 0.1 + ¼·4.9 = 1.325: the limit is 0.1 + 1.5·1.225 = 1.9375, and only 5 lies above.
    leaves = torch.tensor([[[1.0, 2.0, 3.0, 4.0]], [[1.1, 2.1, 3.1, 9.0]]])
    assert combine(ARCEE_FUSION, leaves).tolist() == [[1.0, 2.0, 3.0, 9.0]]


@pytest.mark.parametrize("shape", [(1,), (7,), (6, 9), (40, 2), (2, 3, 4, 5)])
@pytest.mark.parametrize("outlier", [0.0, 0.7, 1.5])
def test_it_agrees_with_float64(shape: tuple[int, ...], outlier: float) -> None:
    leaves = drawn(2, *shape, seed=len(shape), common=3.0)
    found = combine(ARCEE_FUSION, leaves, outlier=outlier).numpy()
    np.testing.assert_allclose(found, fused64(*leaves.numpy(), outlier), rtol=1e-6)


def test_each_number_is_one_of_the_two() -> None:
    first, second = drawn(2, 33, 17)
    found = combine(ARCEE_FUSION, torch.stack([first, second]))
    taken = found == second
    assert bool((taken | (found == first)).all()) and 0 < int(taken.sum()) < taken.numel() / 4


def test_equal_models_one_element_and_no_dimension_are_no_division_by_zero() -> None:
    leaf = drawn(1, 4, 5)[0]
    assert torch.equal(combine(ARCEE_FUSION, torch.stack([leaf, leaf])), leaf)
    assert combine(ARCEE_FUSION, torch.tensor([1.0, 2.0])).item() == 2.0
    assert combine(ARCEE_FUSION, torch.tensor([[1.0], [2.0]])).tolist() == [2.0]
    assert method("arcee_fusion") is ARCEE_FUSION
