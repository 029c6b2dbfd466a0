"""Consensus merging with TALL masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.methods.consensus import CONSENSUS, consensus
from merging_core.methods.contract import CombineContext, gather_ranks
from merging_core.methods.info import Parameters
from merging_core.methods.registry import method


def merged(vectors: torch.Tensor, agreement: float, experts: int, weights: torch.Tensor | None = None) -> torch.Tensor:
    context = CombineContext(Parameters(agreement=agreement, experts=experts))
    return consensus(vectors, torch.ones(len(vectors)) if weights is None else weights, context)


def reference(voices: np.ndarray, agreement: float, experts: int) -> np.ndarray:
    result = np.zeros(voices.shape[1])
    for i in range(voices.shape[1]):
        total = voices[:, i].sum()
        votes = sum(abs(voice) > agreement * abs(total - voice) for voice in voices[:, i])
        result[i] = total if votes >= experts else 0.0
    return result


def test_golden_one_alone_two_together_and_two_against_each_other() -> None:
    # element 0: 8 and 1: 8 > 0.5·1 votes, 1 > 0.5·8 does not. element 1: 2 and 3: both vote.
    # element 2: 4 and −3: 4 > 1.5 and 3 > 2 both vote, the sum is 1. element 3: nothing.
    vectors = torch.tensor([[8.0, 2.0, 4.0, 0.0], [1.0, 3.0, -3.0, 0.0]])
    assert merged(vectors, 0.5, 2).tolist() == [0.0, 5.0, 1.0, 0.0]
    assert merged(vectors, 0.5, 1).tolist() == [9.0, 5.0, 1.0, 0.0]


def test_no_votes_needed_is_the_plain_sum_and_more_than_there_are_is_the_base() -> None:
    vectors = torch.randn(3, 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(merged(vectors, 0.4, 0), vectors[0] + vectors[1] + vectors[2])
    assert not merged(vectors, 0.4, 4).any()


@pytest.mark.parametrize(("count", "factor"), [(1, 0.0), (2, 2.0), (3, 3.0), (4, 0.0)])
def test_equal_experts_agree_while_the_others_do_not_hide_them(count: int, factor: float) -> None:
    # |τ| against 0.4·(k − 1)·|τ|: with two and three equal experts each is heard, with four 1.2 hides it.
    expert = torch.randn(1, 50, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(merged(expert.repeat(count, 1), 0.4, 2), factor * expert[0])


@given(st.integers(1, 5), st.integers(0, 6), st.floats(0.0, 2.0), st.integers(0, 2**31))
def test_it_agrees_with_float64(count: int, experts: int, agreement: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 50)).astype(np.float32)
    weights = rng.uniform(-0.5, 1.5, count).astype(np.float32)
    found = merged(torch.from_numpy(vectors), agreement, experts, torch.from_numpy(weights)).numpy()
    expected = reference(vectors.astype(np.float64) * weights[:, None].astype(np.float64), agreement, experts)
    # A vote that stands within a rounding of the line may fall on either side.
    same = np.isclose(found, expected, rtol=1e-5, atol=1e-6)
    assert same.sum() >= 49


def test_golden_the_sum_of_ties_is_kept_where_the_whole_changes_agree_with_it() -> None:
    # density 0.5 of four keeps two each: 8, 2 of the first and −3, 3 of the second. Signs: 8, −3 (alone), 2 + 3.
    # Element 1: s = −3; the first's own 1 is small beside |−3 − 1| = 4 at 0.5, the second's is its own: one vote.
    vectors = torch.tensor([[8.0, 1.0, 2.0, 0.5], [1.0, -3.0, 3.0, 0.25]])
    params = Parameters(agreement=0.5, experts=1, vector="ties", density=0.5)
    found = gather_ranks(CONSENSUS, [vectors], 4, torch.ones(2), CombineContext(params))
    assert found["trim"].tolist() == [[2.0], [3.0]]
    context = CombineContext(params, found)
    assert consensus(vectors, torch.ones(2), context).tolist() == [8.0, -3.0, 5.0, 0.0]
    two = CombineContext(params.changed(experts=2), found)
    assert consensus(vectors, torch.ones(2), two).tolist() == [0.0, 0.0, 5.0, 0.0]


def test_trimmed_changes_that_cancel_take_nothing_and_the_plain_sum_needs_no_walk() -> None:
    vectors = torch.tensor([[3.0, 1.0], [-3.0, 1.0]])
    params = Parameters(agreement=0.4, experts=0, vector="ties", density=0.5)
    found = gather_ranks(CONSENSUS, [vectors], 2, torch.ones(2), CombineContext(params))
    assert not consensus(vectors, torch.ones(2), CombineContext(params, found)).any()
    assert gather_ranks(CONSENSUS, [vectors], 2, torch.ones(2), CombineContext(CONSENSUS.defaults())) == {}


def test_more_votes_keep_less() -> None:
    vectors = torch.randn(6, 2000, generator=torch.Generator().manual_seed(2))
    kept = [int((merged(vectors, 0.4, experts) != 0).sum()) for experts in range(8)]
    assert kept == sorted(kept, reverse=True) and kept[1] > kept[3] > kept[7] == 0
    assert method("consensus") is CONSENSUS
    assert CONSENSUS.defaults() == Parameters(agreement=0.4, experts=2, vector="sum")
