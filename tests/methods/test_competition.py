"""Parameter competition balancing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.competition import PCB
from merging_core.methods.contract import CombineContext, gather_ranks
from merging_core.methods.registry import method
from tests.engines.leaves64 import pcb64


def merged(
    vectors: torch.Tensor, weights: list[float] | None = None, piece: int | None = None, **params: float
) -> torch.Tensor:
    scale = torch.tensor(weights or [1.0] * len(vectors))
    given = PCB.defaults().changed(**params)
    pieces = vectors.split(piece or vectors.shape[1], dim=1)
    context = CombineContext(given, gather_ranks(PCB, pieces, vectors.shape[1], scale, CombineContext(given)))
    return torch.cat([PCB.combine(piece, scale, context) for piece in pieces])


def test_golden_one_expert_of_four_changes() -> None:
    # T = 1, no cut: x = 0, ⅓, ⅔, 1 of (1, 2, 3, 4); scores exp(x² − 1)·tanh(v²): the two best are those of 3 and 4,
    # and 3, the least of them, gets the share 0.
    assert merged(torch.tensor([[1.0, -2.0, 3.0, -4.0]]), density=0.5).tolist() == [0.0, 0.0, 0.0, -4.0]


def test_golden_two_experts_that_agree_and_one_place_where_they_do_not() -> None:
    # Element 0: both say 2. Element 1: 1 and −1 cancel, so neither scores. Element 2: each alone has its smallest.
    vectors = torch.tensor([[2.0, 1.0, 0.0], [2.0, -1.0, 0.0]])
    assert merged(vectors, density=1.0).tolist() == [2.0, 0.0, 0.0]


@given(st.integers(1, 4), st.floats(0.05, 1.0), st.sampled_from([0.0, 0.05]), st.integers(0, 2**31))
def test_it_agrees_with_float64(count: int, density: float, outliers: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 80)).astype(np.float32)
    weights = [float(weight) for weight in rng.choice([1.0, 0.5, 0.0], size=count)]
    found = merged(torch.from_numpy(vectors), weights, density=density, cut=outliers)
    expected = pcb64(vectors.astype(np.float64) * np.array(weights)[:, None], density, outliers)
    assert np.isclose(found.numpy(), expected, rtol=1e-3, atol=1e-5).mean() > 0.97


def test_large_outliers_are_cut_to_the_next() -> None:
    vectors = torch.linspace(0.1, 1.0, 100).repeat(2, 1)
    vectors[0, -1] = 1000.0
    given = PCB.defaults().changed(cut=0.01, density=1.0)
    statistics = gather_ranks(PCB, [vectors], 100, torch.ones(2), CombineContext(given))
    assert statistics["bounds"][0].tolist() == pytest.approx([float(vectors[0, 1]), float(vectors[0, -2])])
    assert float(PCB.combine(vectors, torch.ones(2), CombineContext(given, statistics)).max()) <= 1.0


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_pieces_give_the_bits_of_the_whole(piece: int) -> None:
    vectors = torch.randn(3, 1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(merged(vectors, piece=piece), merged(vectors))


def test_one_element_equal_experts_and_zeros_are_no_division_by_zero() -> None:
    assert merged(torch.tensor([[3.0], [3.0]])).tolist() == [3.0]
    assert merged(torch.zeros(2, 5)).tolist() == [0.0] * 5
    assert merged(torch.full((2, 4), 0.5), density=1.0).tolist() == [0.5] * 4
    assert not merged(torch.stack([torch.ones(3), -torch.ones(3)])).any()
    assert method("pcb") is PCB
