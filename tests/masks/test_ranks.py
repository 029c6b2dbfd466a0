"""Ranks among magnitudes: counted, selected and shared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from merging_core.masks.magnitude import MAGNITUDE, kept_count
from merging_core.masks.ranks import Rewalked, magnitudes_at, magnitudes_of_ranks, standings
from merging_core.methods.info import Parameters


@settings(max_examples=20)
@given(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=12),
    st.integers(1, 12),
    st.integers(3, 7),
)
def test_the_threshold_is_the_kth_largest_in_a_sorted_list(numbers: list[float], k: int, cut: int) -> None:
    vector = torch.tensor(numbers)
    k = min(k, len(numbers))
    expected = sorted((abs(number) for number in vector.tolist()), reverse=True)[k - 1]
    assert magnitudes_of_ranks([vector], (k,)).item() == expected
    assert magnitudes_of_ranks(vector.split(cut), (k,)).item() == expected


class Lazily:
    """Pieces that are made anew on every walk, as from a file; their size is not known beforehand."""

    def __init__(self, *pieces: torch.Tensor) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (piece.clone() for piece in self.pieces)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_counting_agrees_with_sorting_on_pieces_that_come_lazily(k: int) -> None:
    pieces = torch.tensor([3.0, -7.0]), torch.tensor([]), torch.tensor([7.0, 0.0, -1e-42])
    assert torch.equal(magnitudes_of_ranks(Lazily(*pieces), (k,)), magnitudes_of_ranks(pieces, (k,)))
    assert torch.equal(
        magnitudes_of_ranks(pieces, (k,)), torch.cat(pieces).abs().sort(descending=True).values[k - 1 : k]
    )
    with pytest.raises(ValueError, match="rank 6"):
        magnitudes_of_ranks(Lazily(*pieces), (6,))


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
def test_small_and_large_leaves_find_the_same_threshold(size: int) -> None:
    vector = torch.randn(size, generator=torch.Generator().manual_seed(size))
    params = Parameters(density=0.2)
    for pieces in ([vector], Lazily(*vector.split(1000))):
        assert torch.equal(
            MAGNITUDE.thresholds(pieces, params), magnitudes_of_ranks([vector], (kept_count(size, 0.2),))
        )


def test_a_vector_without_elements_has_no_threshold() -> None:
    with pytest.raises(ValueError, match="rank"):
        MAGNITUDE.thresholds([torch.zeros(0)], Parameters(density=0.5))


def test_the_threshold_agrees_with_torch_at_size_and_for_subnormal_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(200_001, generator=generator) * 10.0 ** torch.randint(-44, 30, (200_001,), generator=generator)
    for k in (1, 2, 777, 100_000, 200_000, 200_001):
        expected = torch.kthvalue(vector.abs(), vector.numel() + 1 - k).values.view(1)
        assert torch.equal(magnitudes_of_ranks([vector[:5], vector[5:]], (k,)), expected)


@pytest.mark.parametrize("k", [0, 4])
def test_a_rank_that_no_element_has_is_an_error(k: int) -> None:
    with pytest.raises(ValueError, match="rank"):
        magnitudes_of_ranks([torch.ones(3)], (k,))
    with pytest.raises(ValueError, match="rank"):
        magnitudes_of_ranks([], (1,))


def test_several_ranks_are_found_in_one_go_and_in_the_order_asked() -> None:
    vector = torch.randn(100_003, generator=torch.Generator().manual_seed(3))
    expected = vector.abs().sort(descending=True).values
    ranks = (1, 50_000, 3, 100_003)
    for pieces in ([vector], Lazily(*vector.split(20_001))):
        assert magnitudes_at(pieces, lambda size: ranks).tolist() == [expected[rank - 1].item() for rank in ranks]


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=5, max_size=5), min_size=1, max_size=4))
def test_standings_are_the_mean_ranks_of_scipy(numbers: list[list[int]]) -> None:
    rows = torch.tensor(numbers, dtype=torch.float32)
    expected = (rankdata(np.abs(rows.numpy()), method="average", axis=1) - 0.5) / 5
    np.testing.assert_allclose(standings(rows).numpy(), expected, rtol=1e-6)


def test_one_element_stands_in_the_middle_and_columns_are_not_rows() -> None:
    assert standings(torch.tensor([[3.0], [-7.0]])).tolist() == [[0.5], [0.5]]
    assert standings(torch.tensor([[1.0, 2.0], [40.0, -30.0]])).tolist() == [[0.25, 0.75], [0.75, 0.25]]


class Walked:
    """Counts how often its pieces are walked."""

    def __init__(self, vector: torch.Tensor) -> None:
        self.vector = vector
        self.walks = 0

    def read(self) -> Iterator[torch.Tensor]:
        self.walks += 1
        return iter(self.vector.split(70_001))


@pytest.mark.parametrize("ranks", [(1,), (40_000,), (100, 150_000), (200_000,)])
def test_a_sample_saves_a_walk_and_a_misleading_one_changes_nothing(ranks: tuple[int, ...]) -> None:
    vector = torch.randn(200_000, generator=torch.Generator().manual_seed(3))
    expected = vector.abs().sort(descending=True).values[[rank - 1 for rank in ranks]]

    def found(sample: torch.Tensor | None) -> int:
        walked = Walked(vector)
        pieces = Rewalked(walked.read, vector.numel(), None if sample is None else lambda: iter(sample.split(9)))
        assert torch.equal(magnitudes_at(pieces, lambda size: ranks), expected)
        return walked.walks

    assert found(None) == 2
    assert found(vector[::7]) == 1
    for misleading in (torch.randn(50_000) * 1e-20, torch.zeros(50_000), torch.zeros(1), torch.empty(0)):
        assert found(misleading) <= 3
    assert found(torch.zeros(1)) == 2


def test_a_guess_that_holds_too_much_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = Walked(torch.rand(1 << 17, generator=torch.Generator().manual_seed(4)) + 1.0)
    pieces = Rewalked(walked.read, 1 << 17, lambda: iter([torch.rand(1000) * 1e-9]))
    largest = walked.vector.max().item()
    assert magnitudes_at(pieces, lambda size: (1,)).item() == largest and walked.walks == 1
    monkeypatch.setattr("merging_core.masks.ranks.MOST_HELD", 1000)
    assert magnitudes_at(pieces, lambda size: (1,)).item() == largest and walked.walks == 4
