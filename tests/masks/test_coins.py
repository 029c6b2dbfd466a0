"""The coins of random masks are fair, independent, and the same wherever they are tossed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from merging_core.masks.coins import coin_hash, coin_key, coins, hash_on

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
    expected = [reference(key, start + i) for i in range(count)]
    assert coin_hash(key, start, count).tolist() == expected
    assert hash_on(torch.device("cpu"), key, start, count).tolist() == expected


@pytest.mark.parametrize("start", [2**15 - 3, 2**16 - 3, 2**32 - 3, 2**33 + 2**16 - 1])
def test_the_hash_is_right_where_the_index_carries(start: int) -> None:
    key = coin_key(5, "content", "leaf")
    assert coin_hash(key, start, 6).tolist() == [reference(key, start + i) for i in range(6)]


def test_golden_coins_never_change() -> None:
    key = coin_key(0, "0" * 64, "vision_model.encoder.layers.0.self_attn.q_proj.weight")
    assert key == GOLDEN_KEY
    assert "".join("01"[kept] for kept in coins(key, 0, 64, 0.5).tolist()) == GOLDEN_HALF
    assert "".join("01"[kept] for kept in coins(key, 2**32, 64, 0.1).tolist()) == GOLDEN_TENTH


@given(st.integers(0, 200_000), st.integers(0, 3000), st.integers(0, 3000))
def test_a_piece_has_the_coins_of_the_whole(start: int, first: int, second: int) -> None:
    key = coin_key(1, "c", "leaf")
    whole = coins(key, start, first + second, 0.3)
    pieces = coins(key, start, first, 0.3), coins(key, start + first, second, 0.3)
    assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("key", [0, 1, 2**63, coin_key(0, "a", "b"), coin_key(1, "a", "b")])
def test_hashes_are_uniform(key: int) -> None:
    hashes = coin_hash(key, 0, COUNT).numpy()
    assert hashes.min() >= 0
    assert hashes.max() < 2**32
    for shift in (0, 12, 24):
        counts = np.bincount((hashes >> shift) & 0xFF, minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.9])
def test_the_fraction_kept_is_the_density(density: float) -> None:
    kept = int(coins(coin_key(3, "x", "y"), 0, COUNT, density).sum())
    assert stats.binomtest(kept, COUNT, density).pvalue > 1e-4


def test_coins_of_other_seeds_models_and_leaves_are_independent() -> None:
    names = [(seed, content, leaf) for seed in (0, 1) for content in ("a", "b") for leaf in ("l.0", "l.1")]
    tossed = [coins(coin_key(*name), 0, COUNT, 0.5).numpy() for name in names]
    for first, second in itertools.combinations(tossed, 2):
        table = np.bincount(first * 2 + second, minlength=4).reshape(2, 2)
        assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize("lag", [1, 2, 160, 1024, 65_536])
def test_neighbours_at_any_distance_are_independent(lag: int) -> None:
    tossed = coins(coin_key(0, "a", "l"), 0, COUNT, 0.5).numpy()
    table = np.bincount(tossed[:-lag] * 2 + tossed[lag:], minlength=4).reshape(2, 2)
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_names_cannot_be_confused() -> None:
    keys = {coin_key(1, "2", "3"), coin_key(1, "23", ""), coin_key(12, "", "3"), coin_key(1, "", "23")}
    assert len(keys) == 4


def test_a_larger_density_keeps_what_a_smaller_one_kept() -> None:
    key = coin_key(9, "a", "l")
    small, large = coins(key, 0, 5000, 0.2), coins(key, 0, 5000, 0.6)
    assert bool((large | ~small).all())


def test_density_one_keeps_everything() -> None:
    assert bool(coins(7, 0, 1000, 1.0).all())
