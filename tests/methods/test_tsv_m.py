"""TSV-M: the strongest directions of each expert, turned until they do not interfere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging_core.methods.registry import method
from merging_core.methods.tsv_m import directions_kept
from tests.methods.whole import combine, drawn

TSV_M = method("tsv_m")


def reference(leaves: torch.Tensor, weights: list[float], keep: int) -> np.ndarray:
    """The paper's algorithm in numpy; a negative weight goes into the matrix before it is decomposed."""
    parts = [
        np.linalg.svd(weight * leaf.double().numpy(), full_matrices=False)
        for weight, leaf in zip(weights, leaves, strict=True)
    ]
    left, right = np.hstack([u[:, :keep] for u, _, _ in parts]), np.vstack([v[:keep] for _, _, v in parts])
    sides = []
    for side in (left, right):
        p, s, q = np.linalg.svd(side, full_matrices=False)
        there = s > 1e-6
        sides.append(p[:, there] @ q[there])
    return np.asarray(sides[0] @ np.diag(np.concatenate([s[:keep] for _, s, _ in parts])) @ sides[1])


def test_golden_experts_on_different_axes_are_added_untouched() -> None:
    # Rank 2 shared by two: the leading triplet of each. They are perpendicular, so nothing is turned.
    one, two = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.5, 0.0], [0.0, 2.0]])
    assert combine(TSV_M, torch.stack([one, two])).tolist() == [[3.0, 0.0], [0.0, 2.0]]


def test_golden_equal_experts_are_the_expert_cut_to_its_share_of_the_rank() -> None:
    # Both keep 3·e₁e₁ᵀ; the polar factor of [e₁ e₁] is [e₁ e₁]/√2 on either side: 3/2 + 3/2 = 3.
    leaf = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    found = combine(TSV_M, torch.stack([leaf, leaf]))
    torch.testing.assert_close(found, torch.tensor([[3.0, 0.0], [0.0, 0.0]]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(12, 18), (18, 12), (12, 12)])
@pytest.mark.parametrize("keep", ["share", "all"])
def test_it_agrees_with_float64(shape: tuple[int, int], keep: str) -> None:
    leaves, weights = drawn(3, *shape), [1.0, -0.5, 2.0]
    expected = reference(leaves, weights, directions_kept(12, 3, keep))
    np.testing.assert_allclose(combine(TSV_M, leaves, *weights, keep=keep).numpy(), expected, rtol=0, atol=5e-6)


def test_one_expert_alone_is_itself() -> None:
    leaf = drawn(1, 7, 9)
    torch.testing.assert_close(combine(TSV_M, leaf), leaf[0], rtol=1e-6, atol=1e-6)


@given(st.integers(2, 400), st.integers(1, 30))
def test_every_expert_keeps_its_share_but_at_least_one(rank: int, count: int) -> None:
    kept = directions_kept(rank, count, "share")
    assert 1 <= kept <= rank
    assert kept * count <= max(rank, count)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 5), st.floats(0.0, 2.0))
def test_the_strength_is_what_the_experts_kept(seed: int, count: int, common: float) -> None:
    # Û and V̂ have orthonormal columns where there is room, so the singular values are those that were kept.
    leaves = drawn(count, 10, 13, seed=seed, common=common)
    keep = directions_kept(10, count, "share")
    kept = np.concatenate([np.linalg.svd(leaf.double(), compute_uv=False)[:keep] for leaf in leaves])
    found = np.linalg.svd(combine(TSV_M, leaves).double(), compute_uv=False)[: len(kept)]
    np.testing.assert_allclose(found, np.sort(kept)[::-1], rtol=1e-4, atol=1e-5)


def test_it_decorrelates_what_the_experts_have_in_common() -> None:
    # Interference as in the paper: how far the experts' kept directions are from perpendicular. Merged, an expert's
    # strongest input gets nearer to that expert's own answer than in the sum of all.
    leaves = drawn(3, 24, 24, seed=1)
    # The strongest directions of all experts lean on one axis.
    leaves = (
        leaves
        + 12.0
        * torch.nn.functional.normalize(drawn(3, 24, seed=2, common=1.0), dim=1)[:, :, None]
        * (torch.nn.functional.normalize(drawn(3, 24, seed=3, common=1.0), dim=1)[:, None, :])
    )
    merged, total = combine(TSV_M, leaves), leaves.sum(0)
    for leaf in leaves:
        right = torch.linalg.svd(leaf)[2][0]
        wanted = leaf @ right
        assert (merged @ right - wanted).norm() < 0.8 * (total @ right - wanted).norm()
