"""The random mask of DARE: its coins are fair, independent, and the same wherever they are tossed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from merging_core.masks.dare import dare_hash, dare_keep, dare_key, drop_and_rescale
from merging_core.masks.info import MaskContext, MaskSpec
from merging_core.methods.info import Parameters
from tests.masks.leafwise import LeafSpan, masked

COUNT = 1 << 17
GOLDEN_TENTH = "0001000000000000000001000000000001000000000000000000000000000000"
GOLDEN_HALF = "1100010001110010011101010100010011101010101111000001001111011001"
GOLDEN_KEY = 0x65828D82A6A6651E


def reference(key: int, index: int) -> int:
    """The hash of one element in unbounded integers."""

    def lowbias32(x: int) -> int:
        x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
        x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
        return x ^ (x >> 16)

    low, high = index % 2**32, index // 2**32
    return lowbias32(lowbias32(low ^ (key // 2**32)) ^ (key % 2**32) ^ lowbias32(high))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 30))
def test_the_hash_agrees_with_unbounded_integers(key: int, start: int, count: int) -> None:
    assert dare_hash(key, start, count).tolist() == [reference(key, start + i) for i in range(count)]


@pytest.mark.parametrize("start", [2**16 - 3, 2**32 - 3, 2**33 + 2**16 - 1])
def test_the_hash_is_right_where_the_index_carries(start: int) -> None:
    key = dare_key(5, "content", "leaf")
    assert dare_hash(key, start, 6).tolist() == [reference(key, start + i) for i in range(6)]


def test_golden_coins_never_change() -> None:
    key = dare_key(0, "0" * 64, "vision_model.encoder.layers.0.self_attn.q_proj.weight")
    assert key == GOLDEN_KEY
    assert "".join("01"[kept] for kept in dare_keep(key, 0, 64, 0.5).tolist()) == GOLDEN_HALF
    assert "".join("01"[kept] for kept in dare_keep(key, 2**32, 64, 0.1).tolist()) == GOLDEN_TENTH


@given(st.integers(0, 200_000), st.integers(0, 3000), st.integers(0, 3000))
def test_a_piece_has_the_coins_of_the_whole(start: int, first: int, second: int) -> None:
    key = dare_key(1, "c", "leaf")
    whole = dare_keep(key, start, first + second, 0.3)
    pieces = dare_keep(key, start, first, 0.3), dare_keep(key, start + first, second, 0.3)
    assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("key", [0, 1, 2**63, dare_key(0, "a", "b"), dare_key(1, "a", "b")])
def test_hashes_are_uniform(key: int) -> None:
    hashes = dare_hash(key, 0, COUNT).numpy()
    assert hashes.min() >= 0
    assert hashes.max() < 2**32
    for shift in (0, 12, 24):
        counts = np.bincount((hashes >> shift) & 0xFF, minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.9])
def test_the_fraction_kept_is_the_density(density: float) -> None:
    kept = int(dare_keep(dare_key(3, "x", "y"), 0, COUNT, density).sum())
    assert stats.binomtest(kept, COUNT, density).pvalue > 1e-4


def test_coins_of_other_seeds_models_and_leaves_are_independent() -> None:
    names = [(seed, content, leaf) for seed in (0, 1) for content in ("a", "b") for leaf in ("l.0", "l.1")]
    coins = [dare_keep(dare_key(*name), 0, COUNT, 0.5).numpy() for name in names]
    for first, second in itertools.combinations(coins, 2):
        table = np.bincount(first * 2 + second, minlength=4).reshape(2, 2)
        assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize("lag", [1, 2, 160, 1024, 65_536])
def test_neighbours_at_any_distance_are_independent(lag: int) -> None:
    coins = dare_keep(dare_key(0, "a", "l"), 0, COUNT, 0.5).numpy()
    table = np.bincount(coins[:-lag] * 2 + coins[lag:], minlength=4).reshape(2, 2)
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_names_cannot_be_confused() -> None:
    keys = {dare_key(1, "2", "3"), dare_key(1, "23", ""), dare_key(12, "", "3"), dare_key(1, "", "23")}
    assert len(keys) == 4


def test_a_larger_density_keeps_what_a_smaller_one_kept() -> None:
    key = dare_key(9, "a", "l")
    small, large = dare_keep(key, 0, 5000, 0.2), dare_keep(key, 0, 5000, 0.6)
    assert bool((large | ~small).all())


def test_density_one_keeps_everything_as_it_is() -> None:
    assert bool(dare_keep(7, 0, 1000, 1.0).all())
    vector = torch.tensor([1.0, -0.0, 3.0])
    assert drop_and_rescale(vector, MaskContext(Parameters(density=1.0), key=7)) is vector


def test_survivors_are_divided_by_the_density_and_the_mean_stays() -> None:
    density = 0.25
    kept = drop_and_rescale(torch.ones(COUNT), MaskContext(Parameters(density=density), key=11))
    assert set(kept.tolist()) == {0.0, 4.0}
    deviation = (1 / density - 1) ** 0.5 / COUNT**0.5
    assert abs(float(kept.mean()) - 1) < 5 * deviation


def test_a_whole_vector_is_masked_leaf_by_leaf() -> None:
    vector = torch.randn(900, generator=torch.Generator().manual_seed(0))
    spans = [LeafSpan("a", 0, 400), LeafSpan("b", 400, 900)]
    params = Parameters(density=0.5)
    whole = masked(vector, spans, MaskSpec("dare", params), seed=4, content="c")
    pieces = [
        drop_and_rescale(vector[:400], MaskContext(params, key=dare_key(4, "c", "a"))),
        drop_and_rescale(vector[400:500], MaskContext(params, key=dare_key(4, "c", "b"))),
        drop_and_rescale(vector[500:], MaskContext(params, key=dare_key(4, "c", "b"), start=100)),
    ]
    assert torch.equal(torch.cat(pieces), whole)
    assert not torch.equal(masked(vector, spans, MaskSpec("dare", params), seed=5, content="c"), whole)
    assert not torch.equal(masked(vector, spans, MaskSpec("dare", params), seed=4, content="d"), whole)
