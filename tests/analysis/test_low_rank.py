"""Randomised decompositions against exact ones in float64, and against the bound that the paper proves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from merging_core.analysis.low_rank import error_of, factors, low_rank, normal, rank_for


def made(rows: int, columns: int, values: np.ndarray, seed: int = 0) -> torch.Tensor:
    """A matrix with these singular values and random directions."""
    random = np.random.default_rng(seed)
    left, _ = np.linalg.qr(random.standard_normal((rows, len(values))))
    right, _ = np.linalg.qr(random.standard_normal((columns, len(values))))
    return torch.from_numpy(left * values @ right.T)


@pytest.mark.parametrize("shape", [(90, 140), (140, 90)])
def test_leading_directions_are_those_of_an_exact_decomposition(shape: tuple[int, int]) -> None:
    values = 0.8 ** np.arange(90)
    matrix = made(*shape, values)
    found = low_rank(matrix, most=12, key=5)
    assert found.left.shape == (shape[0], 12)
    np.testing.assert_allclose(found.values, values[:12], rtol=1e-6)
    left, exact, right = np.linalg.svd(matrix.numpy(), full_matrices=False)
    best = left[:, :12] * exact[:12] @ right[:12]
    b, a = factors(found, 12)
    assert np.linalg.norm((b @ a).numpy() - best) < 1e-3 * exact[12]
    assert found.total == pytest.approx(np.square(values).sum(), rel=1e-12)
    np.testing.assert_allclose(b.square().sum(0), a.square().sum(1), rtol=1e-12)


def test_what_is_lost_is_known_exactly_from_what_is_kept() -> None:
    matrix = made(60, 80, 1.0 / (1.0 + np.arange(60)))
    for iterations in (0, 1):
        found = low_rank(matrix, most=10, key=1, oversampling=4, iterations=iterations)
        for rank in (1, 4, 10):
            b, a = factors(found, rank)
            assert error_of(matrix, b, a) == pytest.approx((1 - found.kept(rank)) * found.total, rel=1e-10)


def test_the_mean_error_without_power_iterations_is_within_the_bound_of_the_paper() -> None:
    values, k, p = 1.0 / (1.0 + np.arange(100)) ** 0.7, 10, 5
    matrix = made(100, 120, values)
    least = math.sqrt(np.square(values[k:]).sum())
    found = [low_rank(matrix, k + p, key, oversampling=0, iterations=0) for key in range(40)]
    errors = [math.sqrt((1 - one.kept(k + p)) * one.total) for one in found]
    assert np.mean(errors) < math.sqrt(1 + k / (p - 1)) * least
    assert min(errors) > math.sqrt(np.square(values[k + p :]).sum())
    better = low_rank(matrix, k, 0, p, iterations=4)
    assert math.sqrt((1 - better.kept(k)) * better.total) < 1.01 * least


def test_a_matrix_of_low_rank_is_recovered_to_rounding() -> None:
    matrix = made(200, 150, np.array([5.0, 2.0, 0.5]))
    found = low_rank(matrix, most=16, key=9, iterations=0)
    assert len(found.values) == 3
    b, a = factors(found, rank_for(found, 1.0))
    assert math.sqrt(error_of(matrix, b, a) / found.total) < 1e-13


def test_the_rank_is_the_least_that_keeps_the_energy() -> None:
    values = np.array([4.0, 3.0, 2.0, 1.0])
    found = low_rank(made(40, 30, values), most=4, key=0)
    shares = np.square(values).cumsum() / np.square(values).sum()
    for rank, share in enumerate(shares, start=1):
        assert rank_for(found, share - 1e-9) == rank
        assert rank_for(found, min(1.0, share + 1e-9)) == min(rank + 1, 4)
    assert rank_for(low_rank(made(40, 30, values), most=2, key=0), 0.999) == 2
    assert rank_for(low_rank(torch.zeros(5, 4, dtype=torch.float64), most=2, key=0), 0.9) == 0


def test_random_directions_are_normal_and_named_by_their_key() -> None:
    numbers = normal(3, 500, 401)
    assert numbers.mean().abs() < 0.01
    assert abs(numbers.std() - 1) < 0.01
    assert abs(numbers.pow(4).mean() - 3) < 0.1
    assert (numbers[:, :200] * numbers[:, 200:400]).mean().abs() < 0.01
    matrix = made(60, 80, 1.0 / (1.0 + np.arange(60)))
    again = [low_rank(matrix, 5, key) for key in (1, 1, 2)]
    assert torch.equal(again[0].right, again[1].right)
    assert not torch.equal(again[0].right, again[2].right)
