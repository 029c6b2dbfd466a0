"""Iso-C and Iso-CTS: every direction of the merged matrix has the same strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.isotropic import common_and_own
from merging_core.methods.registry import method
from tests.methods.whole import combine, drawn

ISO_C, ISO_CTS = method("iso_c"), method("iso_cts")


def spectrum(matrix: torch.Tensor) -> np.ndarray:
    return np.linalg.svd(matrix.double().numpy(), compute_uv=False)


def test_golden_a_diagonal_and_a_turn() -> None:
    # The sum diag(3, 1) has the mean singular value 2; turned by 90°, the same with columns exchanged.
    one, two = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert combine(ISO_C, torch.stack([one, two])).tolist() == [[2.0, 0.0], [0.0, 2.0]]
    turned = torch.stack([one, two]).flip(2)
    assert combine(ISO_C, turned).tolist() == [[0.0, 2.0], [2.0, 0.0]]


def test_golden_a_missing_direction_stays_missing_and_counts_in_the_mean() -> None:
    leaf = torch.tensor([[[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    assert combine(ISO_C, leaf).tolist() == [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (9, 9)])
def test_iso_c_agrees_with_float64(shape: tuple[int, int]) -> None:
    leaves, weights = drawn(4, *shape), (1.0, 0.5, -2.0, 1.5)
    total = sum(w * leaf.double().numpy() for w, leaf in zip(weights, leaves, strict=True))
    u, s, v = np.linalg.svd(total, full_matrices=False)
    np.testing.assert_allclose(combine(ISO_C, leaves, *weights).numpy(), s.mean() * u @ v, rtol=0, atol=2e-6)


def cts64(leaves: torch.Tensor, share: float) -> np.ndarray:
    """The paper's algorithm in numpy, for leaves of full rank."""
    matrices = [leaf.double().numpy() for leaf in leaves]
    rank, count = min(matrices[0].shape), len(matrices)
    own = round((rank - int(rank * share)) / count)
    common = rank - own * count
    u, s, v = np.linalg.svd(sum(matrices), full_matrices=False)
    lefts, values, rights = [], [], []
    for matrix in matrices:
        a, b, c = np.linalg.svd(matrix - u[:, :common] @ u[:, :common].T @ matrix, full_matrices=False)
        lefts.append(a[:, :own])
        values.extend(b[:own])
        rights.append(c[:own])
    left, right = np.hstack([*lefts, u[:, :common]]), np.vstack([*rights, v[:common]])
    left, right = (p @ q for p, _, q in (np.linalg.svd(side, full_matrices=False) for side in (left, right)))
    return np.asarray(np.mean([*values, *s[:common]]) * left @ right)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(12, 20), (20, 12)])
def test_iso_cts_agrees_with_float64(shape: tuple[int, int], share: float) -> None:
    leaves = drawn(3, *shape)
    np.testing.assert_allclose(combine(ISO_CTS, leaves, common=share).numpy(), cts64(leaves, share), rtol=0, atol=2e-6)


def test_with_all_directions_common_iso_cts_is_iso_c() -> None:
    leaves = drawn(3, 10, 14)
    torch.testing.assert_close(combine(ISO_CTS, leaves, common=1.0), combine(ISO_C, leaves), rtol=0, atol=1e-6)


@given(st.integers(2, 40), st.floats(0.0, 1.0), st.integers(1, 12))
def test_common_and_own_directions_fill_the_rank(rank: int, share: float, count: int) -> None:
    common, own = common_and_own(rank, share, count)
    assert common >= 0 and own >= 0
    assert common + own * count == rank


@pytest.mark.parametrize("info", [ISO_C, ISO_CTS], ids=lambda info: info.name)
def test_the_spectrum_is_flat_where_that_of_the_sum_is_steep(info: object) -> None:
    # A strong common direction makes the sum's spectrum steep; merged, the strongest is as strong as the weakest.
    common = torch.outer(torch.ones(12), torch.ones(16))
    leaves = drawn(4, 12, 16) + common
    steep, flat = spectrum(leaves.sum(0)), spectrum(combine(info, leaves))  # type: ignore[arg-type]
    assert steep[0] / steep[-1] > 10
    assert flat[0] / flat[-1] == pytest.approx(1.0, abs=1e-5)


def test_iso_c_keeps_the_sum_of_the_singular_values() -> None:
    leaves = drawn(3, 7, 11)
    assert spectrum(combine(ISO_C, leaves)).sum() == pytest.approx(spectrum(leaves.sum(0)).sum(), rel=1e-6)


def test_iso_cts_holds_a_task_that_the_common_directions_drown() -> None:
    # Three experts share four strong directions; the fourth has one of its own, too weak for the common half.
    leaves = torch.zeros(4, 8, 8)
    for expert in range(3):
        leaves[expert, :5, :5] = torch.eye(5) * 3
    leaves[3, 7, 7] = 1.0
    found = combine(ISO_CTS, leaves, common=0.5)
    assert found[7, 7] > 1.0
