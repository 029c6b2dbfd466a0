"""SCE: where experts differ, how much each counts, and whose sign."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.registry import method
from merging_core.methods.sce import SCE
from tests.engines.leaves64 import sce64
from tests.methods.whole import combine, drawn


def test_golden_two_experts_select_half() -> None:
    # Variances of (4, 0), (1, 1), (−2, 2), (0, 1): 4, 0, 4, ¼. Half of the three that vary, one, ties with another:
    # elements 0 and 2 stay, (4, 0, −2, 0) and (0, 0, 2, 0). Mean squares 5 and 1. Element 0: 4. Element 2: the sum is
    # 0 and counts as +, so 2 of the second expert.
    leaves = torch.tensor([[4.0, 1.0, -2.0, 0.0], [0.0, 1.0, 2.0, 1.0]])
    assert combine(SCE, leaves, select=0.5).tolist() == [4.0, 0.0, 2.0, 0.0]
    # Merging all: element 1 is 1 of both, element 3 is 1 of the second alone.
    assert combine(SCE, leaves, select=0.5, merged="all").tolist() == [4.0, 1.0, 2.0, 1.0]


def test_golden_strong_experts_count_more() -> None:
    # Everything stays; mean squares (1 + 9)/2 = 5 and (9 + 1)/2 = 5, variances of (1, 3) and (3, 1): 1 and 1.
    assert combine(SCE, torch.tensor([[1.0, 3.0], [3.0, 1.0]]), select=1.0, weigh_by="squares").tolist() == [2.0, 2.0]
    # Mean squares 20 and 5: (20·2 + 5·1)/25 = 1.8 and (20·6 + 5·3)/25 = 5.4.
    found = combine(SCE, torch.tensor([[2.0, 6.0], [1.0, 3.0]]), select=1.0, weigh_by="squares")
    np.testing.assert_allclose(found.numpy(), [1.8, 5.4], rtol=1e-6)


@given(
    st.integers(1, 4),
    st.floats(0.01, 1.0),
    st.sampled_from(["variance", "squares"]),
    st.sampled_from(["selected", "all"]),
    st.integers(0, 2**31),
)
def test_it_agrees_with_float64(count: int, select: float, weigh_by: str, merged: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    leaves = rng.normal(size=(count, 5, 7)).astype(np.float32)
    weights = [float(weight) for weight in rng.choice([1.0, 0.5, -0.25, 0.0], size=count)]
    if not any(weights):
        weights[0] = 1.0
    params = {"select": select, "weigh_by": weigh_by, "merged": merged}
    found = combine(SCE, torch.from_numpy(leaves), *weights, **params).numpy()
    np.testing.assert_allclose(found, sce64(leaves, weights, select, weigh_by, merged), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weigh_by", ["variance", "squares"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_equal_experts_give_the_expert(weigh_by: str, count: int) -> None:
    leaf = drawn(1, 6, 9)
    found = combine(SCE, leaf.repeat(count, 1, 1), weigh_by=weigh_by)
    torch.testing.assert_close(found, leaf[0], rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("weigh_by", ["variance", "squares"])
def test_one_element_and_constant_leaves_are_merged(weigh_by: str) -> None:
    assert combine(SCE, torch.tensor([2.0, 4.0]), select=1.0, weigh_by=weigh_by).item() == pytest.approx(
        3.0 if weigh_by == "variance" else (4 * 2 + 16 * 4) / 20
    )
    constant = torch.stack([torch.full((3,), 2.0), torch.full((3,), 4.0)])
    assert combine(SCE, constant, weigh_by="variance").tolist() == [3.0, 3.0, 3.0]


def test_a_smaller_selection_keeps_less_and_only_what_differs() -> None:
    leaves = drawn(3, 40, 50)
    kept = [int((combine(SCE, leaves, select=share) != 0).sum()) for share in (0.05, 0.2, 0.9, 1.0)]
    assert kept[0] == 100 and kept == sorted(kept)
    leaves[:, 0] = leaves[0, 0]
    assert not combine(SCE, leaves, select=0.99)[0].any()
    assert method("sce") is SCE
